"""Losses and weights that are NaN or infinite: the run ends, and nothing is saved of them."""

import os

import numpy as np
import pytest

from helpers import SMALL, TINY, tree
from wgan.machine import processes
from wgan.machine.cntk import C
from wgan.training.image_run import ImageRun
from wgan.datasets.images import ImageBatches
from wgan.runs.recorder import Recorder


@pytest.mark.slow
@pytest.mark.parametrize('what', ['generator', 'critic', 'average'])
def test_nothing_is_saved_of_weights_that_are_no_numbers(run, train, monkeypatch, what):
    """Not by a grid, a score or a checkpoint; whichever is due first."""
    from wgan.training.updates import Updates
    real = Updates.update_generator

    def broken(self, step):
        real(self, step)
        network = self.average.generator if what == 'average' else getattr(self, what)
        p = network.parameters[0]
        p.value = np.full(p.shape, np.nan, np.float32)
    monkeypatch.setattr(Updates, 'update_generator', broken)

    class Scores:                               # to which any generator is the best yet
        best_step, measure = None, lambda *_: {}
        is_better, append = lambda *_: True, lambda *_: None

        def __init__(self, *_):
            pass

        def described(self):
            return None
    scored = {'critic': [], 'generator': ['--score-every', 1, '--inception', 'x'],
              'average': ['--checkpoint-every', 5, '--score-every', 1, '--inception', 'x']}[what]
    monkeypatch.setattr(ImageRun, 'make_scores', Scores)
    before = tree(run)
    sentence = train('--out', 'run', '--resume', '--iterations', 9, *scored).sentence
    assert 'iteration 4: ' in sentence and 'NaN or infinite' in sentence
    assert 'step_00000003' in sentence
    changed = {name for name, content in tree(run).items() if before.get(name) != content}
    assert changed <= {'wgan.csv', 'config.json'}


@pytest.mark.slow
def test_rmsprop_squares_that_are_no_numbers(train, a_run, monkeypatch):
    from wgan.training.optimizers import RmsProp
    real = RmsProp.arrays
    monkeypatch.setattr(RmsProp, 'arrays', lambda self: {
        name: np.full_like(value, np.inf) for name, value in real(self).items()})
    sentence = train('--data', a_run / 'pics', '--out', 'run', '--objective', 'wgan',
                     '--iterations', 2, *TINY).sentence
    assert 'squares' in sentence and not os.listdir('run/checkpoints')
    assert os.listdir('run/samples') == ['real.png']


def break_image(monkeypatch):
    """A pixel of the sixth minibatch is no number; the first one is shown, not trained on."""
    real_next, calls = ImageBatches.next, []

    def broken(self):
        calls.append(self)
        images, labels = real_next(self)
        if len(calls) == 6:
            images[0, 0, 0, 0] = np.nan
        return images, labels
    monkeypatch.setattr(ImageBatches, 'next', broken)


def break_weight(monkeypatch):
    """Just before the checkpoint of the fourth iteration, after losses that were still numbers."""
    real_log = Recorder._log

    def broken(self, step, row):
        if step == 4:
            p = self.updates.critic.parameters[0]
            p.value = np.full(p.shape, np.inf, np.float32)
        return real_log(self, step, row)
    monkeypatch.setattr(Recorder, '_log', broken)


def break_loss(monkeypatch):
    real_mean, calls = processes.mean, []

    def broken(values):
        calls.append(values)
        return [v if len(calls) < 3 or i != 1 else float('nan')
                for i, v in enumerate(real_mean(values))]
    monkeypatch.setattr(processes, 'mean', broken)


@pytest.mark.slow
@pytest.mark.parametrize('break_it, iteration, said, good', [
    (break_image, 3, 'C_loss nan', 2),
    (break_weight, 4, 'a weight of the critic (', 2),
    (break_loss, 3, 'C_loss nan', 2),
])
def test_what_is_no_number_is_not_saved(train, images, tmp_path, monkeypatch, break_it,
                                        iteration, said, good):
    break_it(monkeypatch)
    sentence = train('--data', images, '--out', 'run', '--iterations', 8, '--checkpoint-every',
                     2, *SMALL).sentence
    assert 'iteration %d: ' % iteration in sentence and said in sentence
    assert 'last good checkpoint is' in sentence and 'step_%08d' % good in sentence
    found = tmp_path / 'run' / 'checkpoints'
    assert sorted(os.listdir(str(found))) == ['step_%08d' % good]
    for name in ('critic', 'generator'):
        saved = C.Function.load(str(found / ('step_%08d' % good) / name))
        for p in saved.parameters:
            assert np.isfinite(p.value).all()
