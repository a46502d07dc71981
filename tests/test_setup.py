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

pytestmark = pytest.mark.skipif(os.name == 'nt', reason='setup.sh is for Linux')

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
        for name in ('setup.sh', 'requirements.txt', 'requirements-test.txt'):
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


def test_every_package_is_pinned():
    for name in ('requirements.txt', 'requirements-test.txt'):
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
        result = run_test_program('environment_after.py', 'wgan.cntk', *names, without=names,
                                  **more)
        assert result.code == 0, result.err
        return result.out.split()

    assert chosen() == (['5', 'AVX2'] if has_avx2 else ['None', 'COMPATIBLE'])
    assert chosen(MKL_DEBUG_CPU_TYPE='3', MKL_CBWR='AUTO') == ['3', 'AUTO']
