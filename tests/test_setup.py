"""setup.sh where it can't go on: one message that says what to do. (That it works, `make test`
shows.) And what is set before CNTK is loaded."""

import os
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

pytestmark = pytest.mark.skipif(os.name == 'nt', reason='setup.sh is for Linux')


@pytest.fixture
def setup(tmp_path):
    """Run setup.sh in an empty folder whose path has a space, without this environment's PATH."""
    folder = tmp_path / 'a folder'
    folder.mkdir()
    for name in ('setup.sh', 'requirements.txt', 'requirements-cpu.txt', 'requirements-test.txt'):
        shutil.copy(os.path.join(ROOT, name), str(folder))

    def call(**variables):
        process = subprocess.run(
            [str(folder / 'setup.sh')], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(PATH='/usr/bin:/bin', HOME=str(tmp_path), **variables))
        assert not (folder / '.venv').exists()
        return process.returncode, process.stderr.decode()
    return call


def test_no_python_36(setup):
    if shutil.which('python3.6', path='/usr/bin:/bin'):
        pytest.skip('this system has a Python 3.6 of its own')
    code, message = setup()
    assert code == 2 and 'pyenv install 3.6' in message and 'conda create' in message


def test_python_that_is_not_36(setup):
    code, message = setup(PYTHON='/bin/false')
    assert code == 2 and 'PYTHON=/bin/false is not a Python 3.6' in message


def test_unknown_device(setup):
    code, message = setup(DEVICE='tpu')
    assert code == 2 and 'DEVICE=tpu: choose cpu or gpu' in message


def test_requirements_differ_in_cntk_alone():
    gpu, cpu = (open(os.path.join(ROOT, name)).read().split()
                for name in ('requirements.txt', 'requirements-cpu.txt'))
    assert [line.replace('cntk-gpu', 'cntk') for line in gpu] == cpu
    assert all('==' in line for line in gpu)


def test_mkl_takes_avx2_on_amd():
    """Where the processor is AMD's and has it; and what the user says wins."""
    with open('/proc/cpuinfo') as file:
        processor = file.read()
    amd = 'AuthenticAMD' in processor and ' avx2 ' in processor

    def chosen(**more):
        environment = {k: v for k, v in os.environ.items() if k != 'MKL_DEBUG_CPU_TYPE'}
        return subprocess.check_output(
            [sys.executable, '-c', 'import os, quiet_cntk; '
             'print(os.environ.get("MKL_DEBUG_CPU_TYPE"))'], cwd=ROOT,
            env=dict(environment, **more), universal_newlines=True).strip()

    assert chosen() == ('5' if amd else 'None')
    assert chosen(MKL_DEBUG_CPU_TYPE='3') == '3'
