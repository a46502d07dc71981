"""How a program talks to its user: error sentences, questions, checks of outputs.

Needs no other package: data/convert_inception.py uses it in another Python.
"""

import contextlib
import importlib.util
import io
import os
import re
import sys
import tempfile
import time

from wgan.machine import signals

# Launchers of several processes, with the variables for a process's number and their total.
LAUNCHERS = {"OpenMPI's mpiexec": ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
             "Slurm's srun": ('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS'),
             "another MPI's mpiexec": ('PMI_RANK', 'PMI_SIZE')}
LAUNCHER, RANK, COUNT = next(
    ((launcher, int(os.environ[rank]), int(os.environ[count]))
     for launcher, (rank, count) in LAUNCHERS.items()
     if all(os.environ.get(name, '').isdigit() for name in (rank, count))), (None, 0, 1))


# Modules, and the packages that have them.
PACKAGES = {'numpy': 'numpy', 'cv2': 'opencv-contrib-python', 'pandas': 'pandas',
            'matplotlib': 'matplotlib', 'PIL': 'Pillow', 'onnx': 'onnx', 'tqdm': 'tqdm',
            'onnxruntime': 'onnxruntime', 'tensorboardX': 'tensorboardX', 'requests': 'requests',
            'plotly': 'plotly', 'filelock': 'filelock', 'cntk': 'cntk or cntk-gpu'}


class UserError(Exception):
    """An error that the user can correct; the text says how."""


def one_line(path):
    """Returns a path as one printable line, with newlines and invalid bytes escaped."""
    return path if path.isprintable() else ascii(path)


def run(main):
    """Runs a program. Ends the process with the result of `main` as the exit code.

    A UserError ends in one sentence on stderr and the code 2. Without a message, Ctrl-C ends in
    130, other signals in 128 + their number, and a closed stdout in 141, as in shells.
    """
    start()
    stop = signals.Stop(at_once=True)
    try:
        with stop:
            code = _run_and_flush(main)
    except KeyboardInterrupt as interrupt:
        code = signals.exit_code(interrupt)
    except Exception as error:
        if stop.requested:              # what CNTK makes of a Stopped that is raised inside of it
            code = 128 + stop.requested
        elif isinstance(error, BrokenPipeError) and error.filename == _Stdout.NAME:
            code = 141
        else:
            code, sentence = 2, _sentence_on(error)
            if sentence is None:
                raise
            _say(sentence)
    sys.exit(code)


def start():
    """Opens closed standard streams, and makes stdout and stderr robust."""
    _open_closed_streams()
    if sys.stdout is sys.__stdout__:                # else somebody has put something in its place
        sys.stdout = _Stdout(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _Stderr(sys.stderr)


def end_while_importing(error_type, error, trace):
    """sys.excepthook until a program calls `run`.

    Ctrl-C ends it without a message; a missing package or a UserError prints one sentence.
    """
    if issubclass(error_type, KeyboardInterrupt) and not hasattr(sys, 'ps1'):
        os._exit(signals.exit_code(error))
    sentence = _sentence_on(error) if isinstance(error, (ImportError, UserError)) else None
    if sentence is None:
        sys.__excepthook__(error_type, error, trace)
        return
    start()
    _say(sentence)
    sys.exit(2)


def _sentence_on(error):
    """Returns the sentence for an error that the user can correct; None for other errors."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ImportError):
        return _missing_packages(error)
    if isinstance(error, MemoryError):
        return 'there is not enough memory for this (%s)' % (error or 'out of memory')
    if isinstance(error, RuntimeError):
        return gpu_failure(error)
    if isinstance(error, OSError):      # unwritable folder, full disk, vanished file …
        return ('%s: %s' % (error.filename, error.strerror) if error.filename is not None
                else str(error))
    return None


def _missing_packages(error):
    """Returns a sentence on a missing package; None if it is none of PACKAGES."""
    if (error.name or '').split('.')[0] not in PACKAGES:
        return None
    missing = [package for module, package in PACKAGES.items()
               if importlib.util.find_spec(module) is None]
    return 'this Python (%s, %s) lacks %s; run "make setup" once, then use .venv/bin/python' % (
        sys.executable, sys.version.split()[0], ', '.join(missing))


def gpu_failure(error):
    """Returns a sentence on an error of a GPU or its libraries; None for other errors."""
    failure = re.search(r'(CUDA|CUBLAS|CUSPARSE|CURAND|cuDNN) failure \d+: [^;\n]*', str(error))
    if failure is None:
        return None
    return 'the GPU failed: %s; %s' % (failure.group().strip(), (
        'a smaller --batch-size, --image-size or --width takes less memory'
        if 'out of memory' in failure.group() else
        'bench/gpu_check.py tells what works on it, --device cpu does without it'))


def _run_and_flush(main):
    try:
        code = main()
    except SystemExit as end:           # of --help
        code = end.code
    sys.stdout.flush()
    return code


def report(text):
    """Prints a message on stdout. A closed stdout does not end the program."""
    sys.stdout.flush()                              # results that were printed before
    with contextlib.suppress(OSError):
        print(text, flush=True)


class _Stdout(io.TextIOWrapper):
    """Escapes characters that its encoding lacks, and names itself in errors. It raises an error
    again at each later use, so that no result is lost silently.
    """

    NAME = 'standard output'

    def __init__(self, old):
        encoding, line_buffering = old.encoding, old.line_buffering
        super().__init__(old.detach(), encoding, 'backslashreplace',
                         line_buffering=line_buffering)
        self.error = None

    def write(self, text):
        if self.error:
            raise self.error
        return self._or_named_error(super().write, text)

    def flush(self):
        return self._or_named_error(super().flush)

    def _or_named_error(self, do, *arguments):
        try:
            return do(*arguments)
        except OSError as error:
            # Python tries once more when it ends, and would say so.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            self.error = OSError(error.errno, error.strerror, self.NAME)
            raise self.error


class _Stderr(io.TextIOWrapper):
    """Ignores write errors, such as a closed stream or a full disk."""

    def __init__(self, old):
        encoding = old.encoding
        super().__init__(old.detach(), encoding, 'backslashreplace', line_buffering=True)

    def write(self, text):
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self):
        with contextlib.suppress(OSError):
            super().flush()


def _say(sentence):
    if RANK > 0:                        # of several processes: most errors are the same in all,
        time.sleep(2)                   # and when the first has said it, mpiexec ends the others
    clear = '\r\033[K' if sys.stderr.isatty() else ''       # an unfinished progress line
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stdout.flush()              # what was said before comes before
    with contextlib.suppress(OSError):
        print(clear + 'error: ' + sentence, file=sys.stderr, flush=True)


def _open_closed_streams():
    """Opens streams that the caller closed (>&-), so that no other file gets their numbers."""
    for number, (name, mode) in enumerate((('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w'))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)                  # gets the lowest free number
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(number, mode, closefd=False)
            setattr(sys, name, stream)
            setattr(sys, '__%s__' % name, stream)


def check_outputs(*paths, force):
    """Checks before the work that these files can be written.

    Paths that are None are skipped. Asks before a file is overwritten, unless `force` is set.
    Raises UserError if a folder is missing or read-only, if a path is not a regular file, if two
    paths are equal, or if a file must not be overwritten.
    """
    paths = [path for path in paths if path is not None]
    for i, path in enumerate(paths):
        if os.path.realpath(path) in map(os.path.realpath, paths[:i]):
            raise UserError('%s is to be written twice; give each output a name of its own' % path)
        _check_output(path)
    for path in paths:
        if os.path.exists(path):
            _ask('%s exists already' % path, 'overwrites it', 'Overwrite it?', force)


def check_output_folder(path, force):
    """Checks that files can be written into a folder, which may not exist yet.

    Asks if the folder is not empty, unless `force` is set.
    """
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UserError('%s is not a folder, and can not be written into' % path)
    folder = os.path.realpath(path)
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    _check_writable(path, folder)
    if os.path.isdir(path) and os.listdir(path):
        _ask('the folder %s is not empty' % path, 'writes into it', 'Write into it?', force)


def _check_output(path):
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path) or not os.path.basename(path):
        raise UserError('%s is a folder; name a file to write' % (path or "''"))
    if not os.path.isdir(folder):
        raise UserError('%s can not be written: the folder %s does not exist' % (path, folder))
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError('%s is not a regular file, and can not be written' % path)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise UserError('%s is write-protected' % path)
    _check_writable(path, folder)


def _check_writable(path, folder):
    """Raises UserError if the folder is read-only, or the path is no valid name."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
        os.stat(path)
    except FileNotFoundError as error:
        if error.filename != path:                          # not of stat
            raise UserError('%s can not be written: %s' % (path, error.strerror))
    except OSError as error:                                # also a name that is too long
        raise UserError('%s can not be written: %s' % (path, error.strerror))


def _ask(fact, consequence, question, force):
    """Raises UserError unless force is set or the user agrees."""
    if force:
        return
    if not sys.stdin.isatty():
        raise UserError('%s; --force %s' % (fact, consequence))
    screen = sys.stderr if sys.stderr.isatty() else sys.stdout      # stdout may go to a file
    print('%s. %s [y/N] ' % (fact, question), end='', file=screen, flush=True)
    try:
        answer = input().strip().lower()
    except (EOFError, UnicodeDecodeError):
        print(file=screen)
        answer = ''
    if answer not in ('y', 'yes'):
        raise UserError('%s; nothing was written' % fact)
