"""What may happen to a run: kills, damage, full disks, signals, numbers that are none."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

from helpers import (
    SMALL, assert_same_run, finished, full_disk, losses, rows, start_training, wait_for)
from wgan import processes
from wgan.cntk import C
from wgan.images import Batches
from wgan.recorder import Recorder

import kill_and_resume


def test_killed_and_resumed(images, tmp_path):
    """The short form of experiments/kill_and_resume.py."""
    equal, _ = kill_and_resume.disturb(2, 1, str(images), str(tmp_path))
    assert equal == 2


@pytest.mark.parametrize('how', ['cut', 'flipped', 'removed'])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(script, whole, half, tmp_path,
                                                                  how):
    newest = half / 'checkpoints' / 'step_00000004'
    names = sorted(os.listdir(str(newest)))
    assert names == ['critic', 'critic.ckp', 'generator', 'generator.ckp', 'manifest.json',
                     'state_0.npz']
    for name in names if how == 'flipped' else names[::3]:
        run = tmp_path / ('run ' + name)
        shutil.copytree(str(half), str(run))
        path = run / 'checkpoints' / 'step_00000004' / name
        data = bytearray(path.read_bytes())
        if how == 'removed':
            path.unlink()
        elif how == 'cut':
            path.write_bytes(data[:len(data) // 2])
        else:
            data[len(data) // 2] ^= 0x80
            path.write_bytes(data)
        result = script('wgan_training.py', '--out', run, '--iterations', 8, '--resume')
        assert result.code == 0, result.err
        warning, = [line for line in result.err.splitlines() if line.startswith('warning')]
        assert 'step_00000004 is damaged: ' + name in warning
        assert_same_run(whole, run)


def test_no_whole_checkpoint(script, half):
    for checkpoint in (half / 'checkpoints').iterdir():
        (checkpoint / 'critic').unlink()
    assert 'no complete checkpoint' in script('wgan_training.py', '--out', half, '--iterations', 8,
                                              '--resume').sentence


@pytest.mark.parametrize('limit, where', [
    (700, 'half/config.json: File'), (30000, 'samples'), (900000, '.partial'), (None, '')])
def test_files_that_can_not_be_written(script, whole, half, limit, where):
    """A limit for files meets settings, a grid, a checkpoint, the losses; then it is lifted."""
    if limit is None:                           # in the middle of a row of losses
        limit = (half / 'config.json').stat().st_size + 10
        with open(str(half / 'wgan.csv'), 'a') as file:         # half rows, as a kill leaves them
            file.write('5,0.1,0.2,0.3')
    before = {p: p.read_bytes() for p in (half / 'checkpoints').glob('*/*')}
    with full_disk(limit):
        result = script('wgan_training.py', '--out', half, '--iterations', 8, '--resume',
                        '--sample-every', 2)
    assert result.code == 2 and 'File too large' in result.sentence and where in result.sentence
    assert 'step_00000004 is complete' in result.sentence
    assert before == {p: p.read_bytes() for p in (half / 'checkpoints').glob('step_0000000?/*')}
    assert script('wgan_training.py', '--out', half, '--iterations', 8, '--resume').code == 0
    assert_same_run(whole, half)


def test_sigterm_saves_and_ends(script, images, tmp_path):
    run = tmp_path / 'run'
    process = start_training(tmp_path, '--data', images, '--out', run, '--iterations', 10000,
                             *SMALL)
    wait_for(lambda: rows(run) > 2, process)
    process.send_signal(signal.SIGTERM)
    result = finished(process)
    assert result.code == 128 + signal.SIGTERM and 'stopped after iteration' in result.out
    done = len(losses(run))
    assert (run / 'checkpoints' / ('step_%08d' % done)).exists()
    assert script('wgan_training.py', '--out', run, '--resume', '--iterations', done + 2).code == 0


def test_one_run_one_process(script, images, tmp_path):
    run = tmp_path / 'run'
    process = start_training(tmp_path, '--data', images, '--out', run, '--iterations', 10000,
                             '--checkpoint-every', 2, *SMALL)
    wait_for(lambda: rows(run) > 4, process)
    for how in ('--resume', '--overwrite'):
        assert 'another process is training in' in script(
            'wgan_training.py', '--data', images, '--out', run, how, *SMALL,
            '--iterations', 20000).sentence
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert script('wgan_training.py', '--data', images, '--out', run, '--overwrite',
                  '--iterations', 2, *SMALL).code == 0


def break_image(monkeypatch):
    """A pixel of the sixth minibatch is no number; the first one is shown, not trained on."""
    real_next, calls = Batches.next, []

    def broken(self):
        calls.append(self)
        batch = real_next(self)
        if len(calls) == 6:
            batch[0, 0, 0, 0] = np.nan
        return batch
    monkeypatch.setattr(Batches, 'next', broken)


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
        return [v if len(calls) < 3 or i != 2 else float('nan')
                for i, v in enumerate(real_mean(values))]
    monkeypatch.setattr(processes, 'mean', broken)


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


def test_manifest_tells_what_the_run_was_made_with(half):
    manifest = json.loads((half / 'checkpoints' / 'step_00000004' / 'manifest.json').read_text())
    assert manifest['step'] == 4 and manifest['settings']['image_size'] == 32
    assert set(manifest['versions']) == {'python', 'cntk', 'numpy', 'opencv'}
    assert sorted(manifest['sha256']) == ['critic', 'critic.ckp', 'generator', 'generator.ckp',
                                          'state_0.npz']
