"""What the scripts share at the terminal: error sentences, checked numbers, a progress line."""

import argparse
import importlib.util
import os
import sys
import tempfile
import time

# OpenCV refuses larger pictures: at three bytes a pixel this is 200 MB. It reads the variable when
# it is first imported, and all scripts import this file before.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(1 << 26))

PACKAGES = {'numpy': 'numpy', 'cv2': 'opencv-contrib-python', 'pandas': 'pandas',
            'matplotlib': 'matplotlib', 'PIL': 'Pillow', 'onnx': 'onnx',
            'onnxruntime': 'onnxruntime', 'tensorboardX': 'tensorboardX',
            'cntk': 'cntk or cntk-gpu'}

RANK = int(os.environ.get('OMPI_COMM_WORLD_RANK', 0))       # under mpiexec; the first one speaks


class UserError(Exception):
    """Something that the user can put right; the text says what and how."""


def run(main):
    """Run a script. What a user can put right ends in one sentence on stderr and exit code 2."""
    try:
        sys.exit(main())
    except UserError as error:
        sentence = str(error)
    except OSError as error:            # unwritable folder, full disk, vanished file …
        sentence = ('%s: %s' % (error.filename, error.strerror) if error.filename is not None
                    else str(error))
    except KeyboardInterrupt:
        sys.exit(130)                   # what shells expect after Ctrl-C
    if RANK > 0:                        # of several processes: most errors are the same in all,
        time.sleep(2)                   # and when the first has said it, mpiexec ends the others
    print('error: ' + sentence, file=sys.stderr)
    sys.exit(2)


def require_packages():
    """End in one sentence if this Python lacks a package: most likely it is the wrong Python."""
    missing = [package for module, package in PACKAGES.items()
               if importlib.util.find_spec(module) is None]
    if missing:
        print('error: this Python (%s, %s) lacks %s; run "make setup" once, then use '
              '.venv/bin/python' % (sys.executable, sys.version.split()[0], ', '.join(missing)),
              file=sys.stderr)
        sys.exit(2)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one sentence, without the list of all options."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=_HelpWithDefaults, **kwargs)

    def error(self, message):
        raise UserError(message + ' (--help lists all options)')


class _HelpWithDefaults(argparse.HelpFormatter):
    def _get_help_string(self, action):
        default = action.default
        shown = default not in (None, argparse.SUPPRESS) and not isinstance(default, bool)
        return action.help + (' (default: %(default)s)' if shown else '')


def number(kind, low, high=float('inf'), above=False, below=False):
    """An argparse type: an int or float from low to high; above, below: but not low, not high."""
    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError('%r is not %s number'
                                             % (text, 'a whole' if kind is int else 'a'))
        if not (low <= value <= high) or (above and value == low) or (below and value == high):
            raise argparse.ArgumentTypeError('%s is out of range: it must be %s %s%s' % (
                text, 'above' if above else 'at least', low,
                '' if high == float('inf') else ' and %s %s' % ('below' if below else 'at most',
                                                                high)))
        return value
    return convert


def check_outputs(*paths, force):
    """Find out before the work whether these files can be written, and may be.

    A path that is None is passed over. Asks before a file is overwritten; without a terminal to
    ask at, only force will do.
    Raises UserError if a folder is missing or can't be written to, if something else than a file
    is in the way, if two of the paths are the same, or if a file is not to be overwritten.
    """
    paths = [path for path in paths if path is not None]
    for i, path in enumerate(paths):
        if os.path.realpath(path) in map(os.path.realpath, paths[:i]):
            raise UserError('%s is to be written twice; give each output a name of its own' % path)
        _check_output(path)
    for path in paths:
        _may_overwrite(path, force)


def _check_output(path):
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path) or not os.path.basename(path):
        raise UserError('%s is a folder; name a file to write' % (path or "''"))
    if not os.path.isdir(folder):
        raise UserError('%s can not be written: the folder %s does not exist' % (path, folder))
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError('%s is not a regular file, and can not be written' % path)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError('%s can not be written: %s' % (path, error.strerror))


def _may_overwrite(path, force):
    if force or not os.path.exists(path):
        return
    if not sys.stdin.isatty():
        raise UserError('%s exists already; --force overwrites it' % path)
    if input('%s exists already. Overwrite it? [y/N] ' % path).strip().lower() not in ('y', 'yes'):
        raise UserError('%s was left as it is' % path)


class Progress:
    """'training 120/1500 …, 2.1 a second, 11:05 left': rewritten in place, or a line in 10 s."""

    def __init__(self, what, total, done=0):
        self.what, self.total, self.first = what, total, done
        self.start = self.shown = time.time()
        self.terminal = sys.stderr.isatty()

    def show(self, done, text=''):
        """done: how many are. text: what else to say of the state."""
        now = time.time()
        if RANK > 0 or now - self.shown < (0.2 if self.terminal else 10) and done < self.total:
            return
        self.shown = now
        rate = (done - self.first) / max(now - self.start, 1e-9)
        left = (self.total - done) / rate if rate else 0
        line = '%s %d/%d %s %s, %s left' % (self.what, done, self.total, text, _rate(rate),
                                            _clock(left))
        print('\r\033[K' + line if self.terminal else line,
              end='' if self.terminal else '\n', file=sys.stderr, flush=True)

    def end(self, text):
        """Leave the progress line and say how it ended."""
        took = _clock(time.time() - self.start)
        if RANK == 0:
            print('%s%s (%s)' % ('\r\033[K' if self.terminal else '', text, took), flush=True)


def _rate(rate):
    return '%.1f a second' % rate if rate >= 1 else '%.1f s each' % (1 / max(rate, 1e-9))


def _clock(seconds):
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return '%d:%02d:%02d' % (hours, minutes, seconds) if hours else '%d:%02d' % (minutes, seconds)


require_packages()
