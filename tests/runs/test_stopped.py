"""Runs that are stopped: by kills, signals, full disks; and two at once."""

import signal
import subprocess
import sys

import pytest

from helpers import (
    SMALL, TRAINING, assert_same_run, finished, full_disk, losses, rows, start_training, wait_for)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize('number', [
    signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_saves_and_ends(script, images, tmp_path, number):
    run = tmp_path / 'run'
    process = start_training(tmp_path, '--data', images, '--out', run, '--iterations', 10000,
                             *SMALL)
    wait_for(lambda: rows(run) > 2, process)
    process.send_signal(number)
    result = finished(process)
    assert result.code == 128 + number and 'stopped after iteration' in result.out
    assert result.err.count('stopping after this iteration') == 1
    done = len(losses(run))
    assert (run / 'checkpoints' / ('step_%08d' % done)).exists()
    assert script('wgan_training.py', '--out', run, '--resume', '--iterations', done + 2).code == 0


@pytest.mark.slow
def test_nohup(images, tmp_path):
    process = subprocess.Popen(
        ['nohup', sys.executable, TRAINING, '--data', str(images), '--out', 'run', '--iterations',
         '10000', *map(str, SMALL)], cwd=str(tmp_path), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    wait_for(lambda: rows(tmp_path / 'run') > 2, process)
    process.send_signal(signal.SIGHUP)
    seen = rows(tmp_path / 'run')
    wait_for(lambda: rows(tmp_path / 'run') > seen + 3, process)
    process.send_signal(signal.SIGTERM)
    assert finished(process).code == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize('outputs', ['2>&1 | head -1', '> /dev/full 2> /dev/full'])
def test_training_goes_on_if_nobody_reads(images, tmp_path, outputs):
    """The progress of training is no result: nothing is lost without it."""
    call = ' '.join(map(str, [sys.executable, TRAINING, '--data', images, '--out', 'run',
                              '--iterations', 20, '--checkpoint-every', 10, *SMALL]))
    code = subprocess.call(['bash', '-c', 'set -o pipefail; %s %s' % (call, outputs)],
                           cwd=str(tmp_path), stdout=subprocess.DEVNULL)
    assert code == 0 and rows(tmp_path / 'run') == 20
    assert (tmp_path / 'run' / 'checkpoints' / 'step_00000020').exists()
    assert (tmp_path / 'run' / 'losses.png').exists()


@pytest.mark.slow
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
