"""Training by several processes over MPI, against one process; skipped where mpiexec is missing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import (
    ROOT, SMALL, TESTS, TRAINING, assert_same_run, finished, losses, rows, wait_for, write_images)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not shutil.which('mpiexec'), reason='mpiexec is not installed (package openmpi-bin)')]
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT='1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM='1',
                   OMP_NUM_THREADS='1', MKL_NUM_THREADS='1', PYTHONPATH=ROOT)
GRADIENTS = os.path.join(TESTS, 'programs', 'gradients.py')


def started(tmp_path, count, *arguments):
    return subprocess.Popen(
        ['mpiexec', '--oversubscribe', '--bind-to', 'none', '-n', str(count), sys.executable]
        + [str(a) for a in arguments], cwd=str(tmp_path), env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def mpiexec(tmp_path, count, *arguments):
    return finished(started(tmp_path, count, *arguments))


def alive(pid):
    """Whether a process runs; one that has ended and was not asked for its code does not."""
    try:
        with open('/proc/%d/stat' % pid) as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    for count in (1, 2):
        result = mpiexec(tmp_path, count, GRADIENTS)
        assert result.code == 0, result.err
    one, *two = (dict(np.load(str(tmp_path / name))) for name in (
        '0 of 1.npz', '0 of 2.npz', '1 of 2.npz'))
    for name, expected in one.items():
        for found in two:
            # Biases before a normalisation have no gradient: only rounding.
            assert np.abs(found[name] - expected).max() < 1e-5 * max(np.abs(expected).max(), 1e-2)


WATCHED = '''
import sys
import wgan_training as w
import numpy as np
networks = []
def watch(make):
    def made(*args, **kwargs):
        networks.append(make(*args, **kwargs))
        return networks[-1]
    return made
w.models.generator, w.models.critic = watch(w.models.generator), watch(w.models.critic)
real_end = w.processes.end
def end():
    np.savez('weights %d' % w.processes.RANK, *[p.value for n in networks for p in n.parameters])
    real_end()
w.processes.end = end
w.run(w.main)
'''


@pytest.mark.parametrize('objective', ['wgan-gp', 'wgan', 'r3gan', 'sn-gan'])
def test_weights_stay_the_same_in_all(images, tmp_path, objective):
    """After 100 iterations, to the last bit: Adam, RMSProp, and power iterations."""
    (tmp_path / 'watched.py').write_text(WATCHED)
    iterations = 100 if objective == 'wgan-gp' else 20
    result = mpiexec(tmp_path, 2, 'watched.py', '--data', images, '--out', 'run',
                     '--iterations', iterations, '--objective', objective, *SMALL)
    assert result.code == 0, result.err
    a, b = (np.load(str(tmp_path / ('weights %d.npz' % i))) for i in (0, 1))
    for name in a.files:
        np.testing.assert_array_equal(a[name], b[name])
    table = losses(tmp_path / 'run')
    assert len(table) == iterations and np.isfinite(table.values).all()
    assert result.out.count('%d iterations in run' % iterations) == 1       # one speaks


def test_resume(script, images, tmp_path):
    """With what the processes have to agree on: adaptive augmentation, by all images held out."""
    start = ['--data', images, '--checkpoint-every', 2, '--augment', '--augment-target', 0.3,
             '--hold-out', 0.2] + SMALL
    for run, iterations in (('whole', 5), ('parts', 3)):
        assert mpiexec(tmp_path, 2, TRAINING, '--out', run, '--iterations', iterations,
                       *start).code == 0
    assert 'trained by 2 processes, and now there are 1' in script(
        'wgan_training.py', '--out', 'parts', '--iterations', 5, '--resume').sentence
    assert mpiexec(tmp_path, 2, TRAINING, '--out', 'parts', '--iterations', 5,
                   '--resume').code == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts')
    assert losses(tmp_path / 'parts')['wasserstein_held_out'].nunique() == 5
    # Each process has a part of the images; all must know if they are others.
    (images / '9.png').write_bytes((images / '1.png').read_bytes())
    result = mpiexec(tmp_path, 2, TRAINING, '--out', 'parts', '--iterations', 6, '--resume')
    assert result.code == 2 and 'not those that the run was trained on' in result.err


def test_labels(tmp_path):
    """Each process has its part of the images, and all know how many each label has."""
    (tmp_path / 'kinds').mkdir()
    for i, name in enumerate(('one', 'other')):
        write_images(tmp_path / 'kinds' / name, count=4 + 3 * i, seed=i)
    result = mpiexec(tmp_path, 2, TRAINING, '--data', 'kinds', '--labels', 'folders', '--out',
                     'run', '--iterations', 3, *SMALL)
    assert result.code == 0, result.err
    about = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert about['labels'] == {'names': ['one', 'other'], 'counts': [4, 7]}
    assert result.err.count('labels: one 4, other 7') == 1


def test_text(tmp_path):
    """Each process has its part of the lines, all have the same characters; and they go on."""
    (tmp_path / 'names.txt').write_text('\n'.join('abcdef'[i % 5:] + 'xyzw'[:i % 4] for i in range(
        60)))
    start = ['--text', '--data', 'names.txt', '--width', 4, '--batch-size', 4, '--n-critic', 1,
             '--score-every', 1, '--score-count', 10]
    for more in (['--iterations', 2] + start, ['--iterations', 4, '--resume']):
        result = mpiexec(tmp_path, 2, TRAINING, '--out', 'run', *more)
        assert result.code == 0, result.err
    about = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert about['settings']['processes'] == 2 and about['lines'] == 27     # of 54, and 6 held out
    assert len(losses(tmp_path / 'run')) == 4


def test_all_end_when_one_is_killed(images, tmp_path):
    run = tmp_path / 'run'
    process = started(tmp_path, 2, TRAINING, '--data', images, '--out', run, '--iterations',
                      10000, *SMALL)
    wait_for(lambda: rows(run) > 2, process)
    workers = subprocess.check_output(['pgrep', '-P', str(process.pid)]).split()
    assert len(workers) == 2
    os.kill(int(workers[1]), signal.SIGKILL)
    begin = time.time()
    assert finished(process).code != 0
    while any(alive(int(worker)) for worker in workers):
        time.sleep(0.05)
        assert time.time() - begin < 10


def test_all_save_and_end_on_sigterm(images, tmp_path):
    run = tmp_path / 'run'
    process = started(tmp_path, 2, TRAINING, '--data', images, '--out', run, '--iterations',
                      10000, *SMALL)
    wait_for(lambda: rows(run) > 2, process)
    worker = subprocess.check_output(['pgrep', '-P', str(process.pid)]).split()[1]
    os.kill(int(worker), signal.SIGTERM)                # one process gets it, all end
    result = finished(process)
    assert 'stopped after iteration' in result.out
    assert (run / 'checkpoints' / ('step_%08d' % len(losses(run)))).exists()


LIKE_SLURM = '''
import os, sys
rank, count = os.environ.pop('OMPI_COMM_WORLD_RANK'), os.environ.pop('OMPI_COMM_WORLD_SIZE')
for name in [name for name in os.environ if name.startswith('OMPI_COMM_WORLD_')]:
    del os.environ[name]
os.environ.update(SLURM_PROCID=rank, SLURM_STEP_NUM_TASKS=count, SLURM_LOCALID='7')
os.execv(sys.executable, [sys.executable] + sys.argv[1:])
'''


def test_without_the_variables_of_openmpi(images, tmp_path):
    """Slurm's own srun starts processes that MPI knows of, and tells them in its own words."""
    (tmp_path / 'like_slurm.py').write_text(LIKE_SLURM)
    start = ('--data', images, '--iterations', 3) + tuple(SMALL)
    for run, before in (('a', ()), ('b', ('like_slurm.py',))):
        result = mpiexec(tmp_path, 2, *before, TRAINING, *start, '--out', run)
        assert result.code == 0 and result.out.count('3 iterations in ' + run) == 1, result.err
    assert_same_run(tmp_path / 'a', tmp_path / 'b')


def test_which_of_this_machine(tmp_path):
    """For the choice of a GPU; also where each process can't see the others' machines."""
    (tmp_path / 'which.py').write_text(
        'import platform, os\n'
        'if int(os.environ["OMPI_COMM_WORLD_RANK"]) in (1, 2): platform.node = lambda: "other"\n'
        'from wgan.machine import processes as p\n'
        'p.start()\n'
        'open("%d" % p.RANK, "w").write("%d of %d" % p.local_place())\n'
        'p.end()\n')
    result = mpiexec(tmp_path, 3, 'which.py')
    assert result.code == 0, result.err
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == [
        '0 of 1', '0 of 2', '1 of 2']


@pytest.mark.parametrize('variables, launcher', [
    (dict(PMI_RANK='0', PMI_SIZE='2'), "another MPI's mpiexec"),
    (dict(SLURM_PROCID='0', SLURM_STEP_NUM_TASKS='2'), "Slurm's srun"),
])
def test_started_by_what_this_mpi_does_not_know(command, images, tmp_path, variables, launcher):
    """Else each would train alone, all into the same folder."""
    result = command('wgan_training.py', '--data', images, '--out', 'run', *SMALL, **variables)
    assert launcher + ' says that this is one of 2 processes, but MPI sees 1' in result.sentence
    assert not (tmp_path / 'run').exists()


def test_a_batch_job_is_no_launcher(command, images):
    """Slurm sets some of its variables also where it starts one process only."""
    result = command('wgan_training.py', '--data', images, '--out', 'run', '--iterations', 1,
                     *SMALL, SLURM_PROCID='0', SLURM_NTASKS='4', SLURM_LOCALID='0')
    assert result.code == 0 and '1 iterations in run' in result.out, result.err


@pytest.mark.parametrize('arguments, said', [
    (['--batch-size', 5], ['--batch-size 5', '2 processes']),
    (['--data', 'nowhere'], ['nowhere does not exist']),
    (['--data', 'seven', '--batch-size', 8],
     ['--batch-size is 8', 'only 3 readable', '2 processes']),
])
def test_bad_input(images, tmp_path, arguments, said):
    (tmp_path / 'seven').mkdir()
    for i in range(7):
        shutil.copy(str(images / ('%d.png' % i)), str(tmp_path / 'seven'))
    result = mpiexec(tmp_path, 2, TRAINING, '--data', images, '--out', 'run', *SMALL,
                     *arguments)
    assert result.code == 2
    lines = [line for line in result.err.splitlines() if line.startswith('error: ')]
    assert not (tmp_path / 'run').exists()
    assert len(lines) == 1 and all(words in lines[0] for words in said), result.err
