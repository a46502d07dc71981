"""Scores of a run while it trains: their CSV and plot, the best generator, resuming."""

import functools
import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest

from wgan.machine.command_line import UserError
from helpers import SMALL, assert_same_run, onnx_network, weights, write_images
from wgan.scores.image_network import ImageNetwork
from wgan.datasets.images import ImageSet
import wgan.training.image_run
from wgan.runs.results import BEST
from wgan.scores.scoring import measure
from wgan.scores.training_scores import COLUMNS, TrainingImages, TrainingScores, training_images

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
def test_the_best_begins_again_with_other_data(scored, script, tmp_path):
    """A generator that was near the old images is no rival of those trained on the new ones."""
    write_images(tmp_path / 'others', count=10)
    run = tmp_path / 'run'
    scored(run, '--iterations', 2, *EVERY)
    csv, old = run / 'scores.csv', weights(run / BEST)
    csv.write_text(re.sub(r'(?m)^2,([^,]*),([^,]*),[^,]*', r'2,\1,\2,1e-9', csv.read_text()))
    result = script('wgan_training.py', '--out', run, '--resume', '--iterations', 6, '--data',
                    'others', '--allow-change', 'data')
    assert result.code == 0, result.err
    found = scores(run)
    assert list(found['step']) == [2, 4, 6] and list(found['data_since']) == [0, 2, 2]
    assert 'best by the data up to iteration 2' in result.err
    for a, b in zip(old, weights(run / (BEST + '.kept1'))):
        np.testing.assert_array_equal(a, b)
    last = script('inception_score.py', run / BEST, '--count', 12, '--inception', 'n.onnx',
                  '--scale', 'raw', '--reference', 'others', '--json', 'r.json')
    assert last.code == 0, last.err
    assert json.loads((tmp_path / 'r.json').read_text())['fid'] == pytest.approx(
        found['fid'][1:].min(), rel=1e-3)
    # Once more, with nothing new: it is still what it was.
    assert script('wgan_training.py', '--out', run, '--resume', '--iterations', 8).code == 0
    assert list(scores(run)['data_since']) == [0, 2, 2, 2]
    assert not (run / (BEST + '.kept2')).exists()


def test_the_file_that_is_taken_is_named(script, untrained, tmp_path):
    """Of several generators; of one there is no question."""
    def said():
        result = script('wgan_generate.py', 'run', '--out', 'x.png', '--force')
        assert result.code == 0, result.err
        return result.err
    assert said() == ''
    for name in ('wgan_generator_average.model', BEST):
        shutil.copy('run/wgan_generator.model', 'run/' + name)
        assert 'taking %s, of the ' % name in said()


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


@pytest.mark.slow
@pytest.mark.parametrize('memory_limit', [1 << 30, 0])
def test_files_that_can_not_be_read_count_for_nothing(train, tmp_path, monkeypatch, memory_limit):
    """The run with 40 broken files is the run without them: its splits, labels, scores, weights."""
    monkeypatch.setattr(wgan.training.image_run, 'ImageSet',
                        functools.partial(ImageSet, memory_limit=memory_limit))
    onnx_network(tmp_path / 'n.onnx')
    for name in ('clean', 'broken'):
        (tmp_path / name).mkdir()
        for seed, label in enumerate(('cat', 'dog')):
            write_images(tmp_path / name / label, count=12, seed=seed)
    for i in range(20):
        (tmp_path / 'broken' / 'cat' / ('%d broken.png' % i)).write_bytes(b'no image')
        (tmp_path / 'broken' / 'dog' / ('a%d.jpg' % i)).write_bytes(b'')
    for name in ('clean', 'broken'):
        result = train('--data', name, '--out', 'run ' + name, '--labels', 'folders', '--hold-out',
                       0.25, '--iterations', 2, *SMALL, *EVERY)
        assert result.code == 0, result.err
        about = json.loads((tmp_path / ('run ' + name) / 'config.json').read_text())
        assert (about['images'], about['held_out_images']) == (18, 6)
        assert about['unreadable_images'] == (40 if name == 'broken' else 0)
        assert about['scores']['reference_count'] == 12 and sum(about['labels']['counts']) == 18
    assert '24 images from broken, 40 more could not be read' in result.out
    assert_same_run(tmp_path / 'run clean', tmp_path / 'run broken')
    assert scores(tmp_path / 'run clean').equals(scores(tmp_path / 'run broken'))


def test_few_training_images(images):
    """The option that is named is one that training has."""
    for name in '3456789':
        (images / (name + '.png')).unlink()
    with pytest.raises(UserError, match='3 images, and --score-every .* needs at least 10'):
        training_images(ImageSet(str(images), 32), 12)


def test_which_training_images_are_the_reference(colours, tmp_path):
    """Some of each kind, where kinds take turns; and the score is the same for any order."""
    images = TrainingImages(list(range(30)), 10, 'numbers')
    chosen = [i for batch in images.batches(4) for i in batch]
    assert len(set(chosen)) == 10 and chosen == sorted(chosen) and {i % 3 for i in chosen} == {
        0, 1, 2}
    assert [i for batch in images.batches(7) for i in batch] == chosen
    (tmp_path / 'sorted').mkdir()
    for i in range(30):                                     # red, green and blue in turn
        shutil.copy(str(tmp_path / 'three' / ('%02d.png' % i)),
                    str(tmp_path / 'sorted' / ('%d-%02d.png' % (i % 3, i))))
    network = ImageNetwork(colours, scale='raw')
    found = [measure(training_images(ImageSet(str(tmp_path / name), 32), 30), network, 5, 8)
             for name in ('three', 'sorted')]
    for name in ('inception_score_mean', 'inception_score_std'):
        assert found[0][name] == found[1][name]
    assert found[0]['inception_score_mean'] > 2.2


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
