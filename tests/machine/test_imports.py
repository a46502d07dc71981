"""Nothing happens at an import, in any order: no output, exit, MPI, CNTK, stream or handler."""

import ast
import glob
import os
import random
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT
from wgan.datasets.images import write_image

from draw_faces import draw_face

MODULES = sorted(os.path.relpath(path, ROOT)[:-3].replace(os.sep, '.')
                 for path in glob.glob(os.path.join(ROOT, 'wgan', '*', '*.py'))
                 if not path.endswith('__init__.py'))
PROGRAMS = sorted(path for folder in ('.', 'bench', 'data', 'experiments')
                  for path in glob.glob(os.path.join(ROOT, folder, '*.py')))
# They say what they lack, or stand alone, to be copied.
OTHERS = ('cntk_doctor.py', 'convert_inception.py', 'speed_pytorch.py', 'symbolic_gradient.py')

STATE = '''
import os, signal, sys
def state():
    return [sys.stdin, sys.stdout, sys.stderr, os.getcwd(), sorted(os.listdir("/proc/self/fd")),
            [signal.getsignal(number) for number in range(1, signal.NSIG)]]
before = state()
'''
CHECK = '''
assert state() == before
loaded = [name for name in ("cntk", "mpi4py", "torch") if name in sys.modules]
assert not loaded, loaded
assert b"libmpi" not in open("/proc/self/maps", "rb").read()
'''


def silent(program, **variables):
    """Whether a program of these lines ends with nothing said."""
    process = subprocess.run([sys.executable, '-c', program], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=dict(os.environ, PYTHONPATH=ROOT, **variables))
    return (process.returncode, process.stdout.decode()) == (0, '') or process.stdout.decode()


def imports(names):
    return STATE + ''.join('import %s\n' % name for name in names) + CHECK


@pytest.mark.slow
@pytest.mark.parametrize('seed', [
    pytest.param(seed, marks=[pytest.mark.slow] if seed else []) for seed in range(4)])
def test_nothing_happens_in_any_order(seed):
    """Nor where a launcher has started several processes, and a switch is set to nonsense."""
    names = random.Random(seed).sample(MODULES, len(MODULES))
    assert silent(imports(names), OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2',
                  WGAN_KERNELS='nonsense') is True


@pytest.mark.slow
def test_no_program_loads_cntk_before_it_runs():
    """So help, and an option that is refused, come at once."""
    programs = [path for path in PROGRAMS if not path.endswith(OTHERS)]
    lines = ['import sys'] + ['sys.path.insert(0, %r)' % folder
                              for folder in sorted(set(map(os.path.dirname, programs)))]
    for path in programs:
        name = os.path.basename(path)[:-3]
        lines += ['import ' + name, 'assert "cntk" not in sys.modules, %r' % name]
    assert len(programs) > 25 and silent('\n'.join(lines)) is True


@pytest.mark.slow
def test_cntk_is_imported_in_one_place():
    """Elsewhere it would be loaded with its noise, and without the kernels."""
    found = set()
    for path in glob.glob(os.path.join(ROOT, '**', '*.py'), recursive=True):
        inside = os.path.relpath(path, ROOT)
        if inside.startswith(('tests', '.')):
            continue
        with open(path, encoding='utf-8') as file:
            nodes = list(ast.walk(ast.parse(file.read())))
        names = [alias.name for node in nodes if isinstance(node, ast.Import)
                 for alias in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
        if any(name.split('.')[0] == 'cntk' for name in names):
            found.add(inside)
    assert found == {os.path.join('wgan', 'machine', 'cntk.py'), 'symbolic_gradient.py',
                     'cntk_doctor.py'}


@pytest.mark.slow
@pytest.mark.parametrize('program, arguments', [
    ('data/draw_faces.py', ['--out', 'x', '--count', 1]), ('data/make_names.py', [
        '--out', 'x', '--count', 5]), ('wgan_animate.py', ['run', '--out', 'x.gif']),
    ('plot_losses.py', ['run/wgan.csv', '--out', 'x.png']),
    ('data/prepare_faces.py', ['photos', '--out', 'x', '--size', 8])])
def test_programs_without_cntk(command, tmp_path, untrained, program, arguments):
    """They do their work where it can't be imported."""
    (tmp_path / 'cntk.py').write_text('raise ImportError("no CNTK here")')
    (tmp_path / 'photos').mkdir()
    write_image(str(tmp_path / 'photos' / 'x.png'), draw_face(200, np.random.RandomState(2))[0])
    result = command(program, *arguments, PYTHONPATH=str(tmp_path))
    assert result.code == 0, result.err


@pytest.mark.parametrize('program, name', [
    ('plot_losses.py', 'tqdm'), ('wgan_training.py', 'numpy')])
def test_a_missing_package(command, tmp_path, program, name):
    """While a program imports: one sentence, with all that is missing."""
    (tmp_path / (name + '.py')).write_text(
        'raise ModuleNotFoundError("No module named %r", name=%r)' % (name, name))
    sentence = command(program, '--help', PYTHONPATH=str(tmp_path)).sentence
    assert 'lacks ' in sentence and 'run "make setup" once' in sentence


@pytest.mark.slow
def test_a_cntk_that_can_not_be_loaded(command, tmp_path, images):
    (tmp_path / 'cntk.py').write_text('raise ImportError("libmpi.so.12: not there")')
    sentence = command('wgan_training.py', '--data', images, '--out', 'x',
                       PYTHONPATH=str(tmp_path)).sentence
    assert 'CNTK can not be imported: libmpi.so.12: not there; "make setup" builds' in sentence
    assert not (tmp_path / 'x').exists()
