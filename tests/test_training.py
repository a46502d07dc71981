"""wgan_training.py as a user runs it: what it writes, resuming, stopping, and bad input."""

import json
import os
import signal
import struct

import cv2
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from helpers import SMALL, assert_same_run, finished, losses, rows, start_training, wait_for
from wgan.machine.cntk import C
from wgan.generators.evaluation import evaluate_in_training
import models
from wgan.runs import recorder
from wgan.training.moving_average import MovingAverage
from wgan.training.options import parse


@pytest.mark.slow
def test_what_a_run_writes(command, images, tmp_path):
    """As a user calls it."""
    run = tmp_path / 'run'
    result = command('wgan_training.py', '--data', images, '--out', run, '--iterations', 5,
                     '--sample-every', 2, '--checkpoint-every', 2, *SMALL)
    assert result.code == 0, result.err
    assert 'Selected CPU' not in result.err and 'not covered' not in result.err
    assert sorted(os.listdir(str(run))) == [
        '.lock', 'checkpoints', 'config.json', 'losses.png', 'samples', 'training.gif',
        'wgan.csv',
        'wgan_critic.model', 'wgan_generator.model', 'wgan_generator_average.model']
    assert sorted(os.listdir(str(run / 'samples'))) == [
        'real.png', 'step_000002.png', 'step_000004.png', 'step_000005.png']
    assert sorted(os.listdir(str(run / 'checkpoints'))) == ['step_00000004', 'step_00000005']
    assert cv2.imread(str(run / 'samples' / 'step_000005.png')).shape == (256, 256, 3)

    table = losses(run)
    assert list(table) == ['step', 'G_loss', 'C_loss', 'GP', 'wasserstein', 'grad_norm', 'seconds']
    assert table['step'].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(table['C_loss'], 10 * table['GP'] - table['wasserstein'], rtol=1e-4)
    assert (table['grad_norm'] > 0).all() and (table['seconds'] > 0).all()

    config = json.loads((run / 'config.json').read_text())
    assert config['settings']['beta2'] == pytest.approx((0.999 ** (1 / 720)) ** 4, rel=1e-12)
    assert config['settings']['learning_rate'] == 1e-4 and config['images'] == 10
    assert set(config['versions']) == {'wgan', 'python', 'cntk', 'numpy', 'opencv'}


def test_defaults_are_the_articles(script):
    text = script('wgan_training.py', '--help').out
    for setting in ('of the images (default: 256)', 'of the generator (default: 50000)'):
        assert setting in ' '.join(text.split())
    options = parse([])
    assert (options.image_size, options.iterations, options.batch_size, options.n_critic,
            options.penalty_weight, options.learning_rate, options.beta1) == (
                256, 50000, 16, 5, 10.0, 1e-4, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize('seconds, expected', [(0, [2, 4, 5]), (1000, [5])])
def test_plots_are_drawn_when_the_last_are_old(train, images, tmp_path, monkeypatch, seconds,
                                               expected):
    """And at the end: a plot takes as long as many iterations of small networks."""
    drawn, real = [], recorder.plot_table
    monkeypatch.setattr(recorder, 'PLOT_EVERY', seconds)
    monkeypatch.setattr(recorder, 'plot_table', lambda out, name: (
        drawn.append(rows(tmp_path / 'run')), real(out, name)))
    result = train('--data', images, '--out', 'run', '--iterations', 5, '--checkpoint-every', 2,
                   *SMALL)
    assert result.code == 0 and drawn == expected, result.err
    assert (tmp_path / 'run' / 'losses.png').exists()


@pytest.mark.slow
def test_resumed_is_the_same_as_uninterrupted(script, images, tmp_path):
    """6 of 10 iterations and then the rest, against 10 at a stretch: bit for bit."""
    start = ['--data', images, '--checkpoint-every', 2] + SMALL
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert script('wgan_training.py', '--out', whole, '--iterations', 10, *start).code == 0
    assert script('wgan_training.py', '--out', parts, '--iterations', 6, *start).code == 0
    assert len(losses(parts)) == 6
    assert script('wgan_training.py', '--out', parts, '--iterations', 10, '--resume').code == 0
    assert_same_run(whole, parts)
    assert ((whole / 'samples' / 'step_000010.png').read_bytes()
            == (parts / 'samples' / 'step_000010.png').read_bytes())

    other = tmp_path / 'other'
    assert script('wgan_training.py', '--out', other, '--iterations', 1, '--seed', 1, *start
                  ).code == 0
    assert losses(other)['C_loss'][0] != losses(whole)['C_loss'][0]


@pytest.mark.slow
def test_moving_average():
    """Against NumPy: the warm-up, the weights, batch normalisation's running statistics."""
    rng = np.random.RandomState(0)
    generator = models.generator(32, latent_size=5, width=2, seed=1)
    average = MovingAverage(generator, 0.9)

    def state(network):
        return [p.value for p in list(network.parameters) + list(network.constants)]

    expected = state(generator)
    for step in range(1, 101):
        for p in generator.parameters:
            p.value = p.value + rng.randn(*p.shape).astype(np.float32)
        evaluate_in_training(generator, {
            generator.arguments[0]: rng.randn(8, 5).astype(np.float32)})
        average.update(step)
        beta = min(0.9, (1 + step) / (10 + step))
        expected = [beta * e + (1 - beta) * v for e, v in zip(expected, state(generator))]
    for found, e, raw in zip(state(average.generator), expected, state(generator)):
        np.testing.assert_allclose(found, e, rtol=1e-4, atol=1e-4)
    assert any(np.abs(found - raw).max() > 0.1
               for found, raw in zip(state(average.generator), state(generator)))


@pytest.mark.slow
def test_without_moving_average_and_with_tensorboard(script, images, tmp_path):
    run = tmp_path / 'run'
    assert script('wgan_training.py', '--data', images, '--out', run, '--iterations', 3,
                  '--ema', 0, '--tensorboard', '--sample-every', 2, *SMALL).code == 0
    assert not (run / 'wgan_generator_average.model').exists()
    events = [e for path in (run / 'tensorboard').iterdir() for e in read_events(path)]
    scalars = {(v.tag, e.step): v.simple_value for e in events for v in e.summary.value
               if v.HasField('simple_value')}
    table = losses(run)
    for column in ('G_loss', 'C_loss', 'GP', 'wasserstein', 'grad_norm'):
        for step, value in zip(table['step'], table[column]):
            assert scalars[column, step] == pytest.approx(value, rel=1e-6)
    grids = {e.step: v.image for e in events for v in e.summary.value if v.HasField('image')}
    assert sorted(grids) == [2, 3]
    shown = cv2.imdecode(np.frombuffer(grids[3].encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert (shown == cv2.imread(str(run / 'samples' / 'step_000003.png'))).all()


def read_events(path):
    """The events of a TensorBoard file: length, its checksum, the event, its checksum; again."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        length, = struct.unpack_from('<Q', data, at)
        yield event_pb2.Event.FromString(data[at + 12:at + 12 + length])
        at += length + 16


@pytest.mark.slow
def test_ctrl_c_saves_and_ends(script, images, tmp_path):
    run, whole = tmp_path / 'run', tmp_path / 'whole'
    arguments = ['--data', images, '--iterations', 100000] + SMALL
    process = start_training(tmp_path, '--out', run, *arguments)
    wait_for(lambda: rows(run) > 4, process)
    process.send_signal(signal.SIGINT)
    result = finished(process)
    assert result.code == 130 and 'Traceback' not in result.err
    done = len(losses(run))
    assert ('stopped after iteration %d and saved' % done) in result.out

    assert script('wgan_training.py', '--out', run, '--resume', '--iterations', done + 2).code == 0
    assert script('wgan_training.py', '--out', whole, *(arguments + ['--iterations', done + 2])
                  ).code == 0
    assert_same_run(run, whole)


@pytest.mark.slow
def test_overwrite_only_when_told(script, images, tmp_path):
    run = tmp_path / 'run'
    arguments = ['--data', images, '--out', run, '--iterations', 2] + SMALL
    assert script('wgan_training.py', *arguments).code == 0
    (run / 'notes.txt').write_text('mine')
    before = (run / 'wgan.csv').read_bytes()
    sentence = script('wgan_training.py', *arguments).sentence
    assert str(run) in sentence and '--resume' in sentence and '--overwrite' in sentence
    assert (run / 'wgan.csv').read_bytes() == before
    assert script('wgan_training.py', '--overwrite', '--seed', 1, *arguments).code == 0
    assert (run / 'wgan.csv').read_bytes() != before
    assert (tmp_path / 'run.1' / 'wgan.csv').read_bytes() == before
    assert (tmp_path / 'run.1' / 'notes.txt').read_text() == 'mine'


@pytest.mark.slow
def test_resume_refuses_what_does_not_fit(script, images, tmp_path):
    run = tmp_path / 'run'
    assert 'holds no run' in script('wgan_training.py', '--resume', '--out', run).sentence
    assert script('wgan_training.py', '--data', images, '--out', run, '--iterations', 2,
                  *SMALL).code == 0
    before = (run / 'config.json').read_bytes()
    sentence = script('wgan_training.py', '--resume', '--out', run, '--iterations', 4,
                      '--penalty-weight', 5, '--seed', 3).sentence
    assert 'penalty_weight was 10.0 and is now 5.0' in sentence
    assert 'seed was 0 and is now 3' in sentence and 'iterations was' not in sentence
    done = script('wgan_training.py', '--resume', '--out', run)
    assert done.code == 0 and 'is complete: it has its 2 iterations' in done.out
    assert 'exclude each other' in script('wgan_training.py', '--resume', '--overwrite', '--out',
                                          run).sentence
    # Other networks than those that were saved, as another version of the project might have.
    (run / 'config.json').write_text(before.decode().replace('"width": 2', '"width": 3'))
    assert 'was written by another version of this project' in script(
        'wgan_training.py', '--resume', '--out', run, '--iterations', 4).sentence
    (run / 'config.json').write_bytes(before)
    (images / '0.png').unlink()
    assert 'had 10 readable images and now has 9' in script(
        'wgan_training.py', '--resume', '--out', run, '--iterations', 4).sentence
    assert (run / 'config.json').read_bytes() == before
    for checkpoint in (run / 'checkpoints').iterdir():
        checkpoint.rename(checkpoint.with_suffix('.away'))
    assert 'no complete checkpoint' in script('wgan_training.py', '--resume', '--out', run,
                                              '--iterations', 4).sentence


@pytest.mark.parametrize('arguments, said', [
    (['--data', 'nowhere'], ['nowhere does not exist', '--data']),
    (['--data', 'empty'], ['no image in the folder empty']),
    (['--data', 'unreadable'], ['none of the 1 images in unreadable can be read']),
    (['--data', 'map.txt'], ['map.txt, line 2', 'gone.png']),
    (['--image-size', 100], ['--image-size', '100', '32, 64, 128, 256']),
    (['--batch-size', 0], ['--batch-size', 'at least 1']),
    (['--batch-size', 11], ['--batch-size is 11', 'only 10']),
    (['--learning-rate', -1e-4], ['--learning-rate', 'above 0']),
    (['--learning-rate', 'nan'], ['--learning-rate', 'is not a number']),
    (['--learning-rate', 'fast'], ['--learning-rate', "'fast' is not a number"]),
    (['--penalty-weight', -1], ['--penalty-weight', 'at least 0']),
    (['--beta1', 1], ['--beta1', 'below 1']),
    (['--n-critic', 1.5], ['--n-critic', 'whole number']),
    (['--out', 'map.txt/run'], ['map.txt/run']),
    (['--out', '/proc/run'], ['/proc/run']),
    (['--no-such-option'], ['--no-such-option']),
])
def test_bad_input(script, images, tmp_path, arguments, said):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'unreadable').mkdir()
    (tmp_path / 'unreadable' / 'x.png').write_bytes(b'no image')
    (tmp_path / 'map.txt').write_text('images/0.png\t0\ngone.png\t0\n')
    sentence = script('wgan_training.py', '--data', images, '--image-size', 32, '--width', 2,
                      '--batch-size', 4, '--iterations', 1, *arguments).sentence
    for words in said:
        assert words in sentence


def test_gpu_asked_for_and_none_there(script, images):
    if len(C.device.all_devices()) > 1:
        pytest.skip('there is a GPU')
    assert 'finds no GPU' in script('wgan_training.py', '--data', images, '--device', 'gpu',
                                    *SMALL).sentence


@pytest.mark.slow
def test_losses_that_are_no_numbers_stop_the_run(script, images, tmp_path):
    run = tmp_path / 'run'
    sentence = script('wgan_training.py', '--data', images, '--out', run, '--iterations', 50,
                      '--checkpoint-every', 1, '--learning-rate', 1e30, *SMALL).sentence
    assert 'NaN or infinite' in sentence
    for row in losses(run).itertuples():
        assert np.isfinite(row).all()
