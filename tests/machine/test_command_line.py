"""What every script does at the terminal: options, progress, languages, closed pipes, Ctrl-C."""

import argparse
import fcntl
import ast
import glob
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import threading

import pytest

from wgan.machine.command_line import (
    Progress, UserError, check_output_folder, check_outputs, note, number)
from helpers import ROOT, run_test_program
from wgan.machine import terminal


class Terminal:
    """A pseudo-terminal of so many columns; `stream` writes to it, `said` is what it was sent."""

    def __init__(self, columns):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
        self.stream, self.pieces = open(theirs, 'w', encoding='utf-8'), []
        self.reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self.reader.start()

    def _read(self, handle):
        with open(handle, 'rb', buffering=0) as file:
            try:
                for piece in iter(lambda: file.read(4096), b''):
                    self.pieces.append(piece)
            except OSError:                                 # the other side is closed
                pass

    @property
    def said(self):
        self.stream.close()
        self.reader.join()
        return b''.join(self.pieces).decode()


@pytest.mark.parametrize('kind, text, value', [
    (int, '12', 12), (int, '-3', -3), (float, '1e-4', 1e-4), (float, '.5', 0.5),
    (float, '3.4e38', 3.4e38), (int, '2147483647', 2147483647)])
def test_numbers(kind, text, value):
    assert number(kind, -1e9)(text) == value


@pytest.mark.parametrize('kind', [int, float])
@pytest.mark.parametrize('text', ['inf', '-inf', 'nan', 'infinity', '1e400', '１２', ' 5 ', '1_000',
                                  '', 'e', '0x10', '٣', '1' * 400, '5\n'])
def test_what_is_no_finite_number(kind, text):
    with pytest.raises(argparse.ArgumentTypeError):
        number(kind, 0)(text)


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, as [t], that progress lines go by: it stands still."""
    seconds = [1e9]
    monkeypatch.setattr('time.time', lambda: seconds[0])
    monkeypatch.setattr('tqdm.std.time', lambda: seconds[0])
    return seconds


@pytest.mark.parametrize('columns', [20, 40, 80, 120])
def test_progress_fits_the_terminal(monkeypatch, capsys, clock, columns):
    screen = Terminal(columns)
    monkeypatch.setattr(sys, 'stderr', screen.stream)
    progress = Progress('training', 1500, done=100)
    for step in range(101, 106):
        clock[0] += 1.0002                                  # seldom enough for 's each'
        progress.show(step, 'G_loss 0.1234 C_loss -1.234 GP 0.1 wasserstein 1.2 grad_norm 1.04')
    note('a sentence')
    progress.end('5 iterations')
    said = screen.said
    lines = said.replace('\n', '\r').split('\r')
    assert max(map(len, lines)) <= columns and said.count('\n') == 1 and '\x1b' not in said
    drawn = [line for line in lines if line.strip()]
    assert len(drawn) >= 5 and 'a sentence' in drawn
    assert all(part in drawn[-1] for part in ('105/1500', '23:15', 'G_loss')[:columns // 30])
    assert lines[-1] == '' and lines[-2].strip() == ''      # it is gone at the end
    assert capsys.readouterr().out == '5 iterations (00:05)\n'


def test_progress_in_a_file(capsys, clock):
    """Whole lines, ten seconds apart, and no control characters on either stream."""
    progress = Progress('training', 100)
    for step in range(1, 31):
        clock[0] += 1
        progress.show(step, 'grad_norm 1.04')
    progress.end('done')
    out, err = capsys.readouterr()
    assert out.startswith('done (') and out.count('\n') == 1
    assert '\r' not in out + err and '\x1b' not in out + err
    assert len(err.splitlines()) == 3
    for line, done, left in zip(err.splitlines(), (10, 20, 30), ('01:30', '01:20', '01:10')):
        assert line.startswith('training: ') and ' %d/100 ' % done in line
        assert '<%s' % left in line and 'grad_norm 1.04' in line


@pytest.mark.parametrize('outputs', ['| true', '2>/dev/full >/dev/full', '2>&- >&-'])
def test_progress_that_nobody_reads(outputs):
    """It only reports: the work goes on, for longer than the progress line waits."""
    program = ('import time; clock = [1e9]; time.time = lambda: clock[0]\n'
               'from wgan.machine.command_line import Progress, note, run\n'
               'def main():\n'
               '    progress = Progress("training", 1000)\n'
               '    for i in range(1000):\n'
               '        clock[0] += 1\n'
               '        progress.show(i + 1, "x" * 999)\n'
               '        note("y")\n'
               '    progress.end("done")\n'
               '    return 7\n'
               'run(main)')
    assert subprocess.call(['bash', '-c', "set -o pipefail; '%s' -c '%s' 2>&1 %s" % (
        sys.executable, program, outputs)], env=dict(os.environ, PYTHONPATH=ROOT),
        stdout=subprocess.DEVNULL) == 7


def run_main(monkeypatch, main):
    """The exit code of a script whose main does this."""
    with pytest.raises(SystemExit) as end:
        terminal.run(main)
    return end.value.code


def raises(error):
    def main():
        raise error
    return main


@pytest.mark.parametrize('error, code, said', [
    (UserError('x is y'), 2, 'error: x is y\n'),
    (OSError(28, 'No space left', 'x.png'), 2, 'error: x.png: No space left\n'),
    (MemoryError('Unable to allocate 1 TiB'), 2, 'not enough memory for this (Unable to allocate'),
    (MemoryError(), 2, 'not enough memory for this'),
    (KeyboardInterrupt(), 130, ''),
    (SystemExit(3), 3, ''),
])
def test_how_a_script_ends(monkeypatch, capsys, error, code, said):
    assert run_main(monkeypatch, raises(error)) == code
    err = capsys.readouterr().err
    assert said in err and bool(said) == bool(err)


def test_ctrl_c_in_the_first_import_ends_without_a_traceback():
    """The first module that `wgan` imports, after those that Python itself has imported."""
    interrupt = """import sys
class CtrlC:
    def find_spec(self, name, *rest):
        if name != 'wgan':
            sys.meta_path.remove(self)
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
import wgan.machine.command_line"""
    done = subprocess.run([sys.executable, '-c', interrupt], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (130, b'', b'')


@pytest.mark.parametrize('typed', [b'y\n', b'YES\n'])
def test_a_question_is_asked_on_stderr(monkeypatch, tmp_path, capsys, typed):
    answer(monkeypatch, tmp_path, typed)
    out, err = capsys.readouterr()
    assert out == '' and 'x exists already. Overwrite it? [y/N]' in err


@pytest.mark.parametrize('typed', [b'n\n', b'\n', b'', b'\xff\xfe\n', b'yup\n'])
def test_anything_else_than_yes_is_no(monkeypatch, tmp_path, typed):
    """Also the end of the input, and what is no text."""
    with pytest.raises(UserError, match='exists already; nothing was written'):
        answer(monkeypatch, tmp_path, typed)


def answer(monkeypatch, tmp_path, typed):
    (tmp_path / 'x').write_text('mine')
    stdin = io.TextIOWrapper(io.BytesIO(typed), 'utf-8')
    monkeypatch.setattr(stdin, 'isatty', lambda: True, raising=False)
    monkeypatch.setattr(sys, 'stdin', stdin)
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    check_outputs(str(tmp_path / 'x'), force=False)


def test_a_folder_of_outputs(tmp_path):
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'x').write_text('mine')
    (tmp_path / 'dangling').symlink_to('nowhere')
    (tmp_path / 'link').symlink_to('full')
    for name, said in (('file', 'is not a folder'), ('full', 'is not empty; --force writes'),
                       ('dangling', 'is not a folder'), ('link', 'is not empty'),
                       ('file/x', 'can not be written'), ('n' * 300, 'can not be written')):
        with pytest.raises(UserError, match=said):
            check_output_folder(str(tmp_path / name), force=False)
    check_output_folder(str(tmp_path / 'new' / 'newer'), force=False)
    check_output_folder(str(tmp_path / 'link'), force=True)
    assert sorted(os.listdir(str(tmp_path))) == ['dangling', 'file', 'full', 'link']


def project_files(*patterns):
    return [path for pattern in patterns for path in sorted(glob.glob(os.path.join(ROOT, pattern)))
            if not path.endswith('_root.py')]


@pytest.mark.slow
def test_the_environment_is_set_whatever_is_imported_first():
    """OpenCV and MKL read theirs when they are loaded: after something of wgan, which sets it.

    symbolic_gradient.py stands alone, to be copied; CNTK may come before the others, since MKL
    reads its variable when it first computes.
    """
    checked = 0
    for path in project_files('*.py', 'data/*.py', 'bench/*.py', 'experiments/*.py',
                              'tests/helpers.py', 'tests/conftest.py'):
        with open(path, encoding='utf-8') as file:
            imports = [getattr(node, 'module', None) or node.names[0].name
                       for node in ast.parse(file.read()).body
                       if isinstance(node, (ast.Import, ast.ImportFrom))]
        first = [i for i, name in enumerate(imports) if name.split('.')[0] == 'cv2'][:1]
        for i in first:
            assert any(name.split('.')[0] in ('wgan', 'models', 'helpers', 'draw_faces')
                       for name in imports[:i]), path
            checked += 1
    assert checked >= 3
    variables = ('OPENCV_IO_MAX_IMAGE_PIXELS', 'OPENCV_LOG_LEVEL')
    assert run_test_program('environment_after.py', 'models', *variables, without=variables
                            ).out == '67108864 SILENT\n'


@pytest.mark.slow
def test_help_in_ascii():
    """Each script says what it takes where the terminal has no 'λ' or '±'."""
    files = [path for path in project_files('*.py', 'data/*.py', 'bench/*.py', 'experiments/*.py')
             if '\n    run(main)' in open(path, encoding='utf-8').read()]
    files = [path for path in files if not path.endswith('convert_inception.py')]
    result = run_test_program('help_of_each.py', *files, LC_ALL='C')
    said = result.out.encode('ascii').decode()
    assert result.code == 0
    assert said.count('usage:') == said.count('=== 0') == len(files) > 10
    assert '\\u03bb' in said


@pytest.mark.slow
@pytest.mark.parametrize('command, code, said', [
    ('PLOT --help | true', 141, b''),
    ('PYTHONUNBUFFERED= PLOT --help > /dev/full', 2, b'error: standard output: No space left'),
    ('PYTHONUNBUFFERED=1 PLOT --help > /dev/full', 2, b'error: standard output: No space left'),
    ('PLOT x.csv --out x.png <&- >&- 2>&-', 2, b''),
    ('LC_ALL=C.UTF-8 PLOT $\'\\xff\\xce\\xbb.csv\' --out x.png', 2, b'\\udcff\xce\xbb.csv'),
])
def test_streams(tmp_path, command, code, said):
    """A reader that has gone, a full disk, closed streams, names that are no text."""
    process = subprocess.run(
        ['bash', '-c', 'set -o pipefail; ' + command.replace(
            'PLOT', '%s %s/plot_losses.py' % (sys.executable, ROOT))],
        cwd=str(tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    assert process.returncode == code and said in process.stdout
    assert b'Traceback' not in process.stdout and b'Exception ignored' not in process.stdout
    assert not os.listdir(str(tmp_path))


@pytest.mark.slow
def test_ctrl_c_while_it_imports():
    result = run_test_program('interrupted_import.py')
    assert (result.code, result.out, result.err) == (130, '', '')
