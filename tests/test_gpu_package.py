"""cntk-gpu on a machine without a card: it is imported, computes on the CPU, and all is the same.

The package (523 MB) is fetched once, into .venv. The driver, without which it can't be imported, is
stood in for. What needs a card is bench/gpu_check.py's.
"""

import glob
import os
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT, SMALL, TESTS, assert_same_run
from wgan.cntk import LIBRARIES
from wgan.device import driver_cards, has_gpu_part
from wgan.objectives import OBJECTIVES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != 'linux', reason='the stand-ins are for Linux'),
    pytest.mark.skipif(has_gpu_part(), reason='all tests run under cntk-gpu already'),
    pytest.mark.skipif(bool(driver_cards()), reason='there is a card'),
    pytest.mark.skipif(not shutil.which('cc'), reason='needs a C compiler, cc')]
PACKAGE = os.path.join(ROOT, '.venv', 'cntk-gpu')


@pytest.fixture(scope='module')
def cntk_gpu(tmp_path_factory):
    """The environment variables with which Python imports cntk-gpu in the place of cntk."""
    libraries = tmp_path_factory.mktemp('driver')
    for name in ('libcuda.so.1', 'libnvidia-ml.so.1'):
        subprocess.check_call(['cc', '-shared', '-fPIC', '-Wl,-soname,' + name, '-o',
                               str(libraries / name), os.path.join(TESTS, 'programs',
                                                                   'no_driver.c')])
    if not os.path.isdir(PACKAGE):
        install()
    return {'LD_LIBRARY_PATH': str(libraries), 'PYTHONPATH': PACKAGE,
            'OMP_WAIT_POLICY': 'PASSIVE'}


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
    for path in glob.glob(os.path.join(LIBRARIES, 'libmpi*')):          # as setup.sh links them
        os.symlink(os.path.realpath(path), os.path.join(
            PACKAGE + '.partial', 'cntk', 'libs', os.path.basename(path)))
    os.rename(PACKAGE + '.partial', PACKAGE)


def test_it_is_what_is_imported(command, tmp_path, cntk_gpu):
    (tmp_path / 'which.py').write_text(
        'from wgan.device import C, has_gpu_part, select_device\n'
        'print(C.__file__, has_gpu_part(), select_device("auto"), len(C.device.all_devices()))')
    result = command(str(tmp_path / 'which.py'), **dict(
        cntk_gpu, PYTHONPATH=os.pathsep.join([PACKAGE, ROOT])))
    assert result.out.split() == [os.path.join(PACKAGE, 'cntk', '__init__.py'), 'True', 'cpu',
                                  '1'], result.err


def test_quick_tests(cntk_gpu):
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-m', 'not slow', '-p', 'no:cacheprovider'], cwd=ROOT,
        env=dict(os.environ, **cntk_gpu), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = result.stdout.decode(errors='replace')
    assert result.returncode == 0, said[-5000:]


@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_numbers_are_the_same(command, images, tmp_path, cntk_gpu, objective):
    """To the last bit: losses, and the weights of both networks and of the average."""
    start = ('--data', images, '--iterations', 3, '--objective', objective) + tuple(SMALL)
    for run, variables in (('cpu package', {}), ('gpu package', cntk_gpu)):
        result = command('wgan_training.py', *start, '--out', run, **variables)
        assert result.code == 0, result.err
    assert_same_run(tmp_path / 'cpu package', tmp_path / 'gpu package')
