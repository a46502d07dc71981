"""Scores of a run while it trains: their CSV and plot, the best generator, resuming."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest

from wgan.command_line import UserError
from helpers import SMALL, assert_same_run, onnx_network, weights
from wgan.training_scores import COLUMNS, TrainingScores, training_images

EVERY = ['--score-every', 2, '--score-count', 12, '--scale', 'raw', '--inception', 'n.onnx']


def scores(run):
    return pd.read_csv(str(run / 'scores.csv'))


@pytest.fixture
def scored(train, images, tmp_path):
    """scored(run, …): a training beside the network n.onnx, which has to end well; its Result."""
    onnx_network(tmp_path / 'n.onnx')

    def call(run, *arguments):
        result = train('--data', images, '--out', run, *SMALL, *arguments)
        assert result.code == 0, result.err
        return result
    return call


@pytest.mark.slow
def test_scores_of_a_run(scored, script, tmp_path):
    run = tmp_path / 'run'
    # Average and sample grid as in any run; steps large enough for the scores to move.
    result = scored(run, '--iterations', 6, '--learning-rate', 0.01, *EVERY)
    found = scores(run)
    assert list(found['step']) == [2, 4, 6] and found['fid'].nunique() == 3
    assert 'iteration 6: Inception Score' in result.out
    assert (run / 'scores.png').stat().st_size > 5000
    said = json.loads((run / 'config.json').read_text())['scores']
    assert (said['scale'], said['splits'], said['reference_count']) == ('raw', 10, 10)

    # The scores are those of inception_score.py, for the generator that the run shows.
    best = int(found['step'][found['fid'].idxmin()])
    script('inception_score.py', run, '--count', 12, '--inception', 'n.onnx', '--scale', 'raw',
           '--json', 'r.json')
    row = found[found['step'] == best].iloc[0]
    again = json.loads((tmp_path / 'r.json').read_text())
    assert again['inception_score_mean'] == pytest.approx(row['inception_score_mean'], rel=1e-7)
    assert again['what'] == str(run)
    generators = [weights(run / ('wgan_generator_%s.model' % n)) for n in ('best', 'average')]
    same = all(np.array_equal(a, b) for a, b in zip(*generators))
    assert same == (best == 6)
    # Its checkpoint is kept, whatever came after.
    assert (run / 'checkpoints' / ('step_%08d' % best)).exists()

    # Scoring draws nothing from the training's random numbers.
    scored(tmp_path / 'plain', '--iterations', 6, '--learning-rate', 0.01)
    for name in ('wgan_generator.model', 'wgan_critic.model'):
        for a, b in zip(weights(run / name), weights(tmp_path / 'plain' / name)):
            np.testing.assert_array_equal(a, b)

    # It can be drawn with other runs.
    shutil.copytree(str(run), str(tmp_path / 'other'))
    assert script('plot_losses.py', 'run/scores.csv', 'other/scores.csv', '--out',
                  's.png').code == 0


@pytest.mark.slow
def test_resumed_scores_are_the_same(scored, tmp_path):
    scored(tmp_path / 'once', '--iterations', 6, *EVERY)
    run = tmp_path / 'parts'
    scored(run, '--iterations', 4, *EVERY)
    with open(str(run / 'scores.csv'), 'a') as file:        # rows from after the checkpoint
        file.write('6' + ',1' * (len(COLUMNS) - 1) + '\n')
    scored(run, '--iterations', 6, '--resume')
    assert (run / 'scores.csv').read_text() == (tmp_path / 'once' / 'scores.csv').read_text()
    for a, b in zip(*(weights(r / 'wgan_generator_best.model') for r in (run, tmp_path / 'once'))):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize('step, checkpoint_every', [(2, 100), (4, 2), (6, 100)])
def test_a_signal_ends_the_measuring(scored, train, monkeypatch, tmp_path, step, checkpoint_every):
    """The checkpoint is saved by then, or at once; the score is made up for when it is resumed."""
    arguments = ['--iterations', 6, '--checkpoint-every', checkpoint_every, *EVERY]
    scored(tmp_path / 'once', *arguments)
    run, real = tmp_path / 'parts', TrainingScores.measure
    saved = run / 'checkpoints' / ('step_%08d' % step)

    def measure(self, now, generator):
        if now == step:
            there.append(saved.exists())
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return real(self, now, generator)
    there = []
    with monkeypatch.context() as patched:
        patched.setattr(TrainingScores, 'measure', measure)
        result = train('--data', 'images', '--out', run, *SMALL, *arguments)
    assert result.code == 128 + signal.SIGTERM and saved.exists()
    assert there == [checkpoint_every == 2 or step == 6]
    assert 'stopped after iteration %d and saved' % step in result.out
    assert not (run / 'scores.csv').exists() or step not in set(scores(run)['step'])
    scored(run, '--resume')
    assert (run / 'scores.csv').read_text() == (tmp_path / 'once' / 'scores.csv').read_text()
    assert_same_run(run, tmp_path / 'once')
    for a, b in zip(*(weights(r / 'wgan_generator_best.model') for r in (run, tmp_path / 'once'))):
        np.testing.assert_array_equal(a, b)
    assert 'is complete' in scored(run, '--resume').out


@pytest.mark.slow
def test_scores_can_begin_later(scored, script, tmp_path):
    run = tmp_path / 'run'
    scored(run, '--iterations', 2)
    assert not (run / 'scores.csv').exists()
    scored(run, '--iterations', 4, '--resume', *EVERY)
    assert list(scores(run)['step']) == [4]
    assert 'scale was raw and is now torchvision' in script(
        'wgan_training.py', '--out', run, '--resume', '--iterations', 6, '--scale',
        'torchvision').sentence


def test_few_training_images(images):
    """The option that is named is one that training has."""
    for name in '3456789':
        (images / (name + '.png')).unlink()
    with pytest.raises(UserError, match='3 images, and --score-every .* needs at least 10'):
        training_images(str(images), 32, 12)


@pytest.mark.parametrize('arguments, said', [
    (['--score-every', 2], ['--score-every and --inception need each other']),
    (['--inception', 'n.onnx'], ['--score-every and --inception need each other']),
    (['--score-every', 2, '--inception', 'gone.onnx'], ['no network gone.onnx']),
    (['--score-every', 2, '--inception', 'n.onnx', '--score-count', 5], ['--score-count', '10']),
    (['--score-every', 2, '--inception', 'n.onnx', '--classes-output', 'z'], ['no output z']),
])
def test_bad_input(script, images, tmp_path, arguments, said):
    onnx_network(tmp_path / 'n.onnx')
    sentence = script('wgan_training.py', '--data', images, '--out', 'run', *SMALL,
                      *arguments).sentence
    for words in said:
        assert words in sentence
    assert not (tmp_path / 'run' / 'wgan.csv').exists()
