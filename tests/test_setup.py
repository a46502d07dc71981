"""setup.sh: which Python it takes or fetches, and where it can't go on, one sentence.

That it builds the environment, `make test` shows. Here the programs that it fetches a Python 3.6
with are stand-ins, and so is that Python: it ends with code 3 where the environment would be built.
"""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT, run_test_program

pytestmark = [pytest.mark.skipif(os.name == 'nt', reason='setup.sh is for Linux'), pytest.mark.slow]

TOOLS = ('bash', 'cat', 'chmod', 'cksum', 'cp', 'dirname', 'env', 'head', 'ldconfig', 'ls', 'mkdir',
         'mv', 'rm', 'sed', 'sha256sum', 'sort', 'tail', 'true', 'uname', 'id', 'touch', 'ln')
CREATE = """#!/bin/bash
asked="create --yes --prefix $PWD/.python/env --override-channels --channel conda-forge"
[ "$*" = "$asked python=3.6.15" ] || exit 1
mkdir -p .python/env/bin
cp "$STAND_IN" .python/env/bin/python
"""


class Setup:
    """setup.sh in an empty folder whose path has a space, with few programs on its PATH."""

    def __init__(self, tmp_path):
        self.folder, self.programs, self.home = (
            tmp_path / name for name in ('a folder', 'programs', 'home'))
        for folder in (self.folder, self.programs, self.home):
            folder.mkdir()
        for name in ('setup.sh', 'requirements.txt', 'requirements-test.txt',
                     'requirements-cudnn.txt'):
            shutil.copy(os.path.join(ROOT, name), str(self.folder))
        self.program('python', '#!/bin/bash\n[ "$1 $2" = "-m venv" ] && exit 3\nexec %s "$@"\n'
                     % sys.executable, tmp_path)
        self.stand_in = tmp_path / 'python'
        for name in TOOLS:
            (self.programs / name).symlink_to(shutil.which(name, path='/bin:/usr/bin:/sbin'))

    def program(self, name, text, folder=None):
        path = (folder or self.programs) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def expect(self, sha256):
        """Let setup.sh expect another file than the real micromamba."""
        path = self.folder / 'setup.sh'
        lines = ['MICROMAMBA_SHA256=' + sha256 if line.startswith('MICROMAMBA_SHA256=') else line
                 for line in path.read_text().splitlines()]
        path.write_text('\n'.join(lines) + '\n')

    def __call__(self, **variables):
        """(exit code, what was said)."""
        process = subprocess.run(
            [str(self.folder / 'setup.sh')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict({'DEVICE': 'cpu'}, PATH=str(self.programs), HOME=str(self.home),
                     STAND_IN=str(self.stand_in), **variables))
        assert not (self.folder / '.venv').exists()
        return process.returncode, process.stdout.decode()

    def chosen(self):
        """What was said on the way to a Python 3.6, which it must have come to."""
        code, said = self()
        assert code == 3 and 'building .venv with Python 3.6' in said, said
        return said


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def test_a_python_that_is_there(setup):
    setup.program('python', setup.stand_in.read_text(),
                  setup.home / '.pyenv' / 'versions' / '3.6.15' / 'bin')
    assert 'getting' not in setup.chosen()


@pytest.mark.parametrize('tool', ['mamba', 'conda', 'micromamba'])
def test_a_python_from_conda_forge(setup, tool):
    setup.program(tool, CREATE)
    assert 'getting Python 3.6 with %s' % tool in setup.chosen()
    assert 'getting' not in setup.chosen()                          # only once


def test_a_python_from_pyenv(setup):
    setup.program('conda', '#!/bin/bash\nexit 1\n')
    setup.program('pyenv', '''#!/bin/bash
[ "$*" = "install --skip-existing 3.6.15" ] || exit 1
mkdir -p ~/.pyenv/versions/3.6.15/bin
cp "$STAND_IN" ~/.pyenv/versions/3.6.15/bin/python
''')
    said = setup.chosen()
    assert 'conda could not get it' in said and 'building Python 3.6 with pyenv' in said


@pytest.mark.parametrize('downloader', ['curl', 'wget'])
def test_a_python_from_micromamba(setup, downloader):
    """Also where pyenv is there and can't build."""
    setup.program('pyenv', '#!/bin/bash\nexit 1\n')
    setup.program('served', CREATE)
    setup.program(downloader, '''#!/bin/bash
for word; do case $word in
    --output-document=*) file=${word#*=};;
    .python/*) file=$word;;
    https://github.com/mamba-org/micromamba-releases/*/micromamba-linux-64) url=$word;;
esac; done
[ -n "$url" ] && cp %s "$file"
''' % (setup.programs / 'served'))
    code, said = setup()                                            # not the real micromamba
    assert code == 2 and 'is not the file that was expected' in said
    assert not (setup.folder / '.python' / 'micromamba').exists()
    setup.expect(hashlib.sha256(CREATE.encode()).hexdigest())
    assert 'getting Python 3.6 with micromamba' in setup.chosen()


def test_no_network(setup):
    setup.program('curl', '#!/bin/bash\necho "curl: (6) Could not resolve host" >&2; exit 6\n')
    code, said = setup()
    assert code == 2 and 'Could not resolve host' in said and 'PYTHON=path' in said
    assert said.count('\n') == 2


def test_nothing_to_fetch_with(setup):
    code, said = setup()
    assert code == 2 and 'curl or wget is needed' in said


def test_another_processor(setup):
    (setup.programs / 'uname').unlink()
    setup.program('uname', '#!/bin/bash\n[ $1 = -s ] && echo Darwin || echo arm64\n')
    code, said = setup()
    assert code == 2 and 'this is Darwin on arm64' in said


def test_python_that_is_not_36(setup):
    code, said = setup(PYTHON='/bin/false')
    assert code == 2 and 'PYTHON=/bin/false is not a Python 3.6' in said


def test_unknown_device(setup):
    code, said = setup(DEVICE='tpu')
    assert code == 2 and 'DEVICE=tpu: choose cpu or gpu' in said


def test_a_gpu_without_a_driver(setup):
    code, said = setup(DEVICE='gpu', PYTHON=sys.executable)
    assert code == 2 and 'the NVIDIA driver' in said and 'does not load here' in said


# A Python 3.6 whose environments have no packages: they note what pip is asked for, and answer as
# if CNTK were there, with the card $CARD and a driver for CUDA $CUDA.
WITH_ENVIRONMENTS = """#!/bin/bash
case "$*" in
    "-m venv .venv") mkdir -p .venv/bin .venv/site/cntk/libs; cp "$0" .venv/bin/python;;
    "-m pip install"*) echo "$*" >>pip.log; [[ "$*" != *"$PIP_FAILS"* ]];;
    *cntk_cards*) echo "$CARD";;
    *driver_too_old*) [ $CUDA -ge 12 ] || echo "it needs another driver than that for CUDA $CUDA";;
    *find_spec*) echo .venv/site/cntk;;
    *wgan*) ;;
    *CDLL*) ;;
    *) exec %s "$@";;
esac
"""


@pytest.fixture
def set_up(setup):
    """set_up(variables): (exit code, what was said, what pip was asked to install)."""
    setup.program('python', WITH_ENVIRONMENTS % sys.executable,
                  setup.home / '.pyenv' / 'versions' / '3.6.15' / 'bin')

    def call(**variables):
        log = setup.folder / 'pip.log'
        if log.exists():
            log.unlink()
        process = subprocess.run(
            [str(setup.folder / 'setup.sh')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(dict(PATH=str(setup.programs), HOME=str(setup.home), CARD='', CUDA='12',
                          PIP_FAILS='never', DEVICE='gpu'), **variables))
        asked = log.read_text() if log.exists() else ''
        return process.returncode, process.stdout.decode(), asked
    return call


CUDNN_9 = 'requirements-cudnn.txt'


def test_cudnn_9_where_a_card_needs_it(set_up):
    code, said, asked = set_up(CARD='NVIDIA H100')
    assert code == 0 and CUDNN_9 in asked, said
    assert 'no code for the NVIDIA H100: cuDNN 9 takes its place' in said and '1.3 GB' in said
    assert set_up(CARD='NVIDIA H100') == (0, '', '')            # all is there
    assert set_up(DEVICE='', CARD='NVIDIA H100') == (0, '', '')
    code, said, asked = set_up(CUDNN='7', CARD='NVIDIA H100')
    assert code == 0 and asked and CUDNN_9 not in asked


@pytest.mark.parametrize('variables', [
    dict(DEVICE='cpu', CARD='NVIDIA H100'), dict(CARD=''), dict(CARD='NVIDIA H100', CHECK='no')])
def test_nobody_else_fetches_cudnn_9(set_up, variables):
    code, said, asked = set_up(**variables)
    assert code == 0 and asked and CUDNN_9 not in asked, said


@pytest.mark.slow
def test_cudnn_9_that_is_asked_for(set_up):
    """For an older card, or an image that is built where no card is; it stays."""
    for variables in ({}, dict(CHECK='no')):
        assert set_up(CUDNN='7')[0] == 0
        code, said, asked = set_up(CUDNN='9', **variables)
        assert code == 0 and CUDNN_9 in asked, said
        assert set_up() == (0, '', '')


def test_a_driver_that_is_too_old_for_cudnn_9(set_up):
    code, said, asked = set_up(CARD='NVIDIA H100', CUDA='11')
    assert code == 2 and CUDNN_9 not in asked and said.splitlines()[-1] == (
        'setup: cuDNN 9 can not be used: it needs another driver than that for CUDA 11; update the '
        'driver, or set up with DEVICE=cpu')
    assert set_up(CARD='NVIDIA H100', CUDA='11', DEVICE='cpu')[0] == 0


def test_cudnn_9_that_can_not_be_fetched(set_up):
    code, said, _ = set_up(CUDNN='9', PIP_FAILS=CUDNN_9)
    assert code == 2 and said.endswith('cuDNN 9 and cuBLAS 12 could not be installed\n')
    code, said, asked = set_up(CUDNN='9')                       # nothing half done stays
    assert code == 0 and CUDNN_9 in asked


@pytest.mark.parametrize('variables, wanted', [
    (dict(CUDNN='8'), 'CUDNN=8: choose 7 or 9'),
    (dict(CUDNN='9', DEVICE='cpu'), 'CUDNN=9 is for a GPU: set up with DEVICE=gpu too')])
def test_a_wrong_cudnn(set_up, variables, wanted):
    code, said, asked = set_up(**variables)
    assert code == 2 and wanted in said and not asked


def test_every_package_is_pinned():
    for name in ('requirements.txt', 'requirements-test.txt', 'requirements-cudnn.txt'):
        with open(os.path.join(ROOT, name)) as file:
            lines = file.read().split()
        assert lines and all(line.count('==') == 1 for line in lines)


@pytest.mark.slow
def test_the_code_that_mkl_runs():
    """The same on all makes of processors; and what the user says wins."""
    with open('/proc/cpuinfo') as file:
        has_avx2 = 'avx2' in file.read().split()
    names = ['MKL_DEBUG_CPU_TYPE', 'MKL_CBWR']

    def chosen(**more):
        result = run_test_program('environment_after.py', 'wgan.machine.cntk', *names,
                                  without=names, **more)
        assert result.code == 0, result.err
        return result.out.split()

    assert chosen() == (['5', 'AVX2'] if has_avx2 else ['None', 'COMPATIBLE'])
    assert chosen(MKL_DEBUG_CPU_TYPE='3', MKL_CBWR='AUTO') == ['3', 'AUTO']


def test_opencv_computes_without_avx512():
    """With it, cv2.transform rounds differently."""
    result = run_test_program('features_of_opencv.py')
    assert result.code == 0, result.err
    assert '*AVX2' in result.out.split() and '*AVX512-SKX' not in result.out.split()
    assert not result.err
