"""What may happen to a run: kills, damage, full disks, signals, numbers that are none."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import ROOT, Result
from wgan.cntk import C
from test_training import SMALL, assert_same_run, losses

import kill_and_resume

TRAIN = os.path.join(ROOT, 'wgan_training.py')


def started(tmp_path, *arguments, limit=None):
    """A training under way; limit: how large a file may become, in bytes."""
    def set_limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return subprocess.Popen(
        [sys.executable, TRAIN] + [str(a) for a in arguments], cwd=str(tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=set_limit if limit else None)


def ended(process):
    out, err = process.communicate(timeout=120)
    result = Result.__new__(Result)
    result.code, result.out, result.err = process.returncode, out.decode(), err.decode()
    return result


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def rows(run):
    try:
        return max(0, (run / 'wgan.csv').read_text().count('\n') - 1)
    except FileNotFoundError:
        return 0


@pytest.fixture
def whole(script, images, tmp_path):
    """An undisturbed run of eight iterations with a checkpoint every second one."""
    run = tmp_path / 'whole'
    assert script('wgan_training.py', '--data', images, '--out', run, '--iterations', 8,
                  '--checkpoint-every', 2, *SMALL).code == 0
    return run


@pytest.fixture
def half(whole, script, images, tmp_path):
    """The same run, stopped after four."""
    run = tmp_path / 'half'
    assert script('wgan_training.py', '--data', images, '--out', run, '--iterations', 4,
                  '--checkpoint-every', 2, *SMALL).code == 0
    return run


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
def test_files_that_can_not_be_written(script, whole, half, tmp_path, limit, where):
    """A limit for files meets settings, a grid, a checkpoint, the losses; then it is lifted."""
    if limit is None:                           # in the middle of a row of losses
        limit = (half / 'config.json').stat().st_size + 10
        with open(str(half / 'wgan.csv'), 'a') as file:         # half rows, as a kill leaves them
            file.write('5,0.1,0.2,0.3')
    before = {p: p.read_bytes() for p in (half / 'checkpoints').glob('*/*')}
    result = ended(started(tmp_path, '--out', half, '--iterations', 8, '--resume',
                           '--sample-every', 2, limit=limit))
    assert result.code == 2 and 'File too large' in result.sentence and where in result.sentence
    assert 'step_00000004 is complete' in result.sentence
    assert before == {p: p.read_bytes() for p in (half / 'checkpoints').glob('step_0000000?/*')}
    assert script('wgan_training.py', '--out', half, '--iterations', 8, '--resume').code == 0
    assert_same_run(whole, half)


def test_sigterm_saves_and_ends(script, images, tmp_path):
    run = tmp_path / 'run'
    process = started(tmp_path, '--data', images, '--out', run, '--iterations', 10000, *SMALL)
    wait_for(lambda: rows(run) > 2, process)
    process.send_signal(signal.SIGTERM)
    result = ended(process)
    assert result.code == 128 + signal.SIGTERM and 'stopped after iteration' in result.out
    done = len(losses(run))
    assert (run / 'checkpoints' / ('step_%08d' % done)).exists()
    assert script('wgan_training.py', '--out', run, '--resume', '--iterations', done + 2).code == 0


def test_one_run_one_process(script, images, tmp_path):
    run = tmp_path / 'run'
    process = started(tmp_path, '--data', images, '--out', run, '--iterations', 10000,
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


BROKEN = '''
import sys
sys.path.insert(0, %r)
import numpy as np
import wgan_training as w
from wgan import recorder
from wgan.images import Batches
from wgan.learners import C
calls = [0]
%s
w.run(w.main)
'''

IMAGE = '''
real_next = Batches.next
def broken(self):
    calls[0] += 1
    batch = real_next(self)
    if calls[0] == 6:
        batch[0, 0, 0, 0] = np.nan
    return batch
Batches.next = broken
'''
# Just before the checkpoint of the fourth iteration, after losses that were still numbers.
PARAMETER = '''
real_build = w.models.critic
def build(*args, **kwargs):
    global critic
    critic = real_build(*args, **kwargs)
    return critic
w.models.critic = build
real_log = recorder.Recorder._log
def log(self, step, row):
    if step == 4:
        p = critic.parameters[0]
        p.value = np.full(p.shape, np.inf, np.float32)
    return real_log(self, step, row)
recorder.Recorder._log = log
'''
LOSS = '''
real_mean = w.processes.mean
def mean(values):
    calls[0] += 1
    return [v if calls[0] < 3 or i != 2 else float('nan') for i, v in enumerate(real_mean(values))]
w.processes.mean = mean
'''


@pytest.mark.parametrize('code, iteration, said, good', [
    (IMAGE, 3, 'C_loss nan', 2),
    (PARAMETER, 4, 'a weight of the critic (', 2),
    (LOSS, 3, 'C_loss nan', 2),
])
def test_what_is_no_number_is_not_saved(images, tmp_path, code, iteration, said, good):
    process = subprocess.Popen(
        [sys.executable, '-c', BROKEN % (ROOT, code), '--data', str(images), '--out', 'run',
         '--iterations', '8', '--checkpoint-every', '2'] + [str(a) for a in SMALL],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    sentence = ended(process).sentence
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
