"""cntk-gpu on a machine without a card: it is imported, computes on the CPU, and all is the same;
and it calls cuDNN 9 and cuBLAS 12 in the place of its own.

The package (523 MB) is fetched once, into .venv. The driver, without which it can't be imported, is
stood in for, and so are a card, cuDNN 9 and cuBLAS 12: see conftest.py. What needs a card is
bench/gpu_check.py's.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT, SMALL, TESTS, assert_same_run, run_test_program
from wgan.machine import cudnn
from wgan.machine.cntk import libraries
from wgan.machine.device import driver_cards, has_gpu_part

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != 'linux', reason='the stand-ins are for Linux'),
    pytest.mark.skipif(has_gpu_part(), reason='all tests run under cntk-gpu already'),
    pytest.mark.skipif(bool(driver_cards()), reason='there is a card'),
    pytest.mark.skipif(not shutil.which('cc'), reason='needs a C compiler, cc')]
PACKAGE = os.path.join(ROOT, '.venv', 'cntk-gpu')


@pytest.fixture(scope='module')
def cntk_gpu(stand_ins):
    """The environment variables with which Python imports cntk-gpu in the place of cntk."""
    if not os.path.isdir(PACKAGE):
        install()
    return {'LD_LIBRARY_PATH': str(stand_ins), 'PYTHONPATH': PACKAGE, 'OMP_WAIT_POLICY': 'PASSIVE'}


@pytest.fixture(scope='module')
def with_cudnn_9(cntk_gpu, stand_ins):
    """The same where cuDNN 9 and cuBLAS 12 are installed, which compute nothing."""
    return dict(cntk_gpu, PYTHONPATH=os.pathsep.join([PACKAGE, str(stand_ins)]))


@pytest.fixture(scope='module')
def with_card(with_cudnn_9, stand_ins):
    """The same with a card of compute capability 9.0, which computes nothing."""
    return dict(with_cudnn_9, LD_PRELOAD=str(stand_ins / 'card.so'))


def install():
    with open(os.path.join(ROOT, 'requirements.txt')) as file:
        requirement = next(line.strip() for line in file if line.startswith('cntk-gpu'))
    shutil.rmtree(PACKAGE + '.partial', ignore_errors=True)
    pip = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check',
         '--no-cache-dir', '--no-deps', '--only-binary=:all:', '--target', PACKAGE + '.partial',
         requirement], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if pip.returncode:
        pytest.skip('%s could not be fetched: %s' % (
            requirement, pip.stdout.decode(errors='replace').strip().splitlines()[-1:]))
    for path in glob.glob(os.path.join(libraries(), 'libmpi*')):          # as setup.sh links them
        os.symlink(os.path.realpath(path), os.path.join(
            PACKAGE + '.partial', 'cntk', 'libs', os.path.basename(path)))
    os.rename(PACKAGE + '.partial', PACKAGE)


def test_it_is_what_is_imported(command, tmp_path, cntk_gpu):
    (tmp_path / 'which.py').write_text(
        'from wgan.machine.device import C, has_gpu_part, select_device\n'
        'print(C.__file__, has_gpu_part(), select_device("auto"), len(C.device.all_devices()))')
    result = command(str(tmp_path / 'which.py'), **dict(
        cntk_gpu, PYTHONPATH=os.pathsep.join([PACKAGE, ROOT])))
    assert result.out.split() == [os.path.join(PACKAGE, 'cntk', '__init__.py'), 'True', 'cpu',
                                  '1'], result.err


# The quick tests of what CNTK computes; the others do the same with either package.
COMPUTED = [os.path.join('tests', *name.split('/')) for name in (
    'test_symbolic_gradient.py', 'test_models.py', 'test_text_models.py', 'training/test_layers.py',
    'training/test_optimizers.py', 'training/test_objectives.py', 'training/test_updates.py',
    'training/test_objectives_pytorch.py', 'training/test_augmentation.py',
    'machine/test_onednn.py')]


def test_quick_tests_with_cudnn_9(with_cudnn_9):
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-m', 'not slow', '-p', 'no:cacheprovider', '-p',
         'programs.install_cudnn'] + COMPUTED,
        cwd=ROOT, env=dict(os.environ, **dict(with_cudnn_9, PYTHONPATH=os.pathsep.join(
            [with_cudnn_9['PYTHONPATH'], ROOT, TESTS]))),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = result.stdout.decode(errors='replace')
    assert result.returncode == 0, said[-5000:]


@pytest.mark.parametrize('objective', ['wgan-gp', 'wgan', 'sn-gan'])     # all normalisations
def test_numbers_are_the_same(command, images, tmp_path, cntk_gpu, objective):
    """To the last bit: losses, and the weights of both networks and of the average."""
    start = ('--data', images, '--iterations', 3, '--objective', objective) + tuple(SMALL)
    for run, variables in (('cpu package', {}), ('gpu package', cntk_gpu)):
        result = command('wgan_training.py', *start, '--out', run, **variables)
        assert result.code == 0, result.err
    assert_same_run(tmp_path / 'cpu package', tmp_path / 'gpu package')


def run_with(variables, program, *arguments):
    """The Result of one of tests/programs under cntk-gpu."""
    return run_test_program(program, *arguments, **variables)


def test_each_function_leads_where_the_table_says(with_cudnn_9):
    """All functions of cuDNN and cuBLAS that the linker's table of CNTK has."""
    result = run_with(with_cudnn_9, 'cudnn_functions.py', 'walk')
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert len(lines) == 82
    for line in lines:
        name, leads_to, what = line.split(' ', 2)
        assert what == cudnn.FUNCTIONS[name]
        expected = ('function' if what != cudnn.UNCHANGED else
                    'libcudnn.so.9' if name.startswith('cudnn') else 'libcublas.so.12')
        assert leads_to == expected, line


def test_cntk_itself_calls_them(with_cudnn_9):
    result = run_with(with_cudnn_9, 'cudnn_functions.py', 'version')
    assert (result.code, result.out.split()) == (0, ['91002']), result.err


@pytest.mark.parametrize('change, said', [
    ('another function', 'calls other functions'), ('one less', 'calls other functions'),
    ('used', 'computed on a card already'), ('not loaded', 'not one that it is known to work'),
    ('no cuDNN 9', 'libcudnn.so.9 is not installed'),
    ('no cuBLAS', 'libcublas.so.12 is not installed'), ('damaged', 'can not be loaded'),
    ('older', 'lacks a function'), ('Windows', 'on Linux only')])
def test_what_is_refused_leaves_all_as_it_was(with_cudnn_9, tmp_path, change, said):
    result = run_with(with_cudnn_9, 'cudnn_refused.py', change, tmp_path)
    assert result.code == 0, result.err
    assert said in result.out and result.out.endswith('all as it was\n')


def cudnn_calls(text, name):
    """(algorithm, math type, bytes of workspace) of each call of a convolution's function."""
    return [tuple(map(int, numbers)) for numbers in re.findall(
        r'^cudnn%s \S+ \S+: algorithm (\d+), math (\d+), (\d+)$' % name, text, re.M)]


COMPUTATIONS = 'ConvolutionForward', 'ConvolutionBackwardData', 'ConvolutionBackwardFilter'


def test_a_convolution_on_a_card(with_card):
    """CNTK's own engine: first what needs no workspace, then what was timed with the math type
    that is computed with, and its workspace for that; for fewer samples what is ranked first.
    """
    result = run_with(with_card, 'cudnn_convolution.py')
    assert result.code == 0, result.err
    for name in COMPUTATIONS:
        assert cudnn_calls(result.out, name) == [(0, 3, 0)] + [(1, 3, 108)] * 3
    assert 'cublasSetMathMode 77 0\n' in result.out


def test_a_convolution_with_tf32(with_card):
    result = run_with(with_card, 'cudnn_convolution.py', '--tf32')
    assert result.code == 0, result.err
    for name in COMPUTATIONS:
        assert cudnn_calls(result.out, name)[1:] == [(5, 0, 500)] * 3
    assert 'cublasSetMathMode 77 3\n' in result.out


def test_deterministic_algorithms_are_those_of_the_documentation(with_card):
    """cuDNN 9 names as not deterministic: backward data 0, backward filter 0 and 3."""
    result = run_with(with_card, 'cudnn_convolution.py', '--deterministic')
    assert result.code == 0, result.err
    assert {a for a, _, _ in cudnn_calls(result.out, 'ConvolutionForward')} == {0}
    for name in COMPUTATIONS[1:]:
        assert {a for a, _, _ in cudnn_calls(result.out, name)} == {1}


def test_no_algorithm_is_a_sentence(with_card):
    result = run_with(with_card, 'cudnn_convolution.py', '--none')
    assert 'cuDNN failure 9901: no algorithm of cuDNN 9' in result.sentence


def test_recurrent_networks_of_cudnn_end_in_a_sentence(with_card):
    result = run_with(with_card, 'cudnn_recurrent.py')
    assert 'cuDNN failure 9902: optimized_rnnstack needs cuDNN 7' in result.sentence
    assert 'C.layers.Recurrence' in result.sentence


def test_a_training_on_a_card(command, images, tmp_path, with_card):
    """As far as it can go: what is said, and what config.json has. The losses mean nothing."""
    for run, options, kernels in (
            ('full', (), 'cuDNN 9.10.2 and cuBLAS 12.9.1, in full single precision'),
            ('tf32', ('--tf32',), 'cuDNN 9.10.2 and cuBLAS 12.9.1, with TF32')):
        result = command('wgan_training.py', '--data', images, '--iterations', 2, '--out', run,
                         '--device', 'gpu', *SMALL, *options, **with_card)
        config = json.loads((tmp_path / run / 'config.json').read_text())
        assert (config['device'], config['kernels']) == ('gpu', kernels), result.err
        assert config['settings']['tf32'] is bool(options)


@pytest.mark.parametrize('more, said', [
    (dict(WGAN_CUDNN='7'), 'reported to hang or fail'), (dict(WGAN_CUDNN='8'), 'choose 7 or 9')])
def test_the_switch_of_cudnn(command, tmp_path, with_card, more, said):
    (tmp_path / 'which.py').write_text(
        'from wgan.machine.command_line import run\n'
        'from wgan.machine.device import kernels, select_device\n'
        'run(lambda: print(kernels(select_device("gpu"))))')
    result = command(str(tmp_path / 'which.py'), **dict(
        with_card, PYTHONPATH=os.pathsep.join([with_card['PYTHONPATH'], ROOT]), **more))
    assert said in result.err
    assert (result.code, result.out.strip()) in ((0, 'cuDNN'), (2, ''))
