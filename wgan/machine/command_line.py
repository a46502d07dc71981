"""What the scripts share: checked options, a progress line, the packages that they need."""

import argparse
import importlib.util
import re
import sys
import time

from wgan.machine.terminal import (  # noqa: F401  for the programs
    COUNT, LAUNCHER, RANK, UserError, check_output_folder, check_outputs, fail, gpu_failure,
    one_line, report, run)

PACKAGES = {'numpy': 'numpy', 'cv2': 'opencv-contrib-python', 'pandas': 'pandas',
            'matplotlib': 'matplotlib', 'PIL': 'Pillow', 'onnx': 'onnx', 'tqdm': 'tqdm',
            'onnxruntime': 'onnxruntime', 'tensorboardX': 'tensorboardX', 'requests': 'requests',
            'cntk': 'cntk or cntk-gpu'}


def require_packages():
    """End in one sentence if this Python lacks a package: most likely it is the wrong Python."""
    missing = [package for module, package in PACKAGES.items()
               if importlib.util.find_spec(module) is None]
    if missing:
        fail('this Python (%s, %s) lacks %s; run "make setup" once, then use .venv/bin/python' % (
            sys.executable, sys.version.split()[0], ', '.join(missing)))


require_packages()
from tqdm import tqdm  # noqa: E402
from tqdm.utils import disp_trim  # noqa: E402


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one sentence, without the list of all options."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=_HelpWithDefaults, **kwargs)

    def error(self, message):
        raise UserError(message + ' (--help lists all options)')


class _HelpWithDefaults(argparse.HelpFormatter):
    def _get_help_string(self, action):
        default = action.default
        shown = default not in (None, argparse.SUPPRESS, ()) and not isinstance(default, bool)
        return action.help + (' (default: %(default)s)' if shown else '')


LARGEST = {int: 2 ** 31 - 1, float: sys.float_info.max}


def number(kind, low, high=None, above=False, below=False):
    """An argparse type: an int or float from low to high; above, below: but not low, not high.

    Finite numbers only, in plain digits; without high, ints that fit into 32 bits.
    """
    def convert(text):
        try:
            # Python's own also take 'nan', '1_000', digits of other scripts and spaces.
            value = kind(text if re.fullmatch('[-+.0-9eE]+', text) else 'not a number')
        except ValueError:
            raise argparse.ArgumentTypeError('%r is not %s number'
                                             % (text, 'a whole' if kind is int else 'a'))
        largest = LARGEST[kind] if high is None else high
        if not low <= value <= largest or (above and value == low) or (below and value == high):
            raise argparse.ArgumentTypeError('%s is out of range: it must be %s %s%s' % (
                text, 'above' if above else 'at least', low,
                '' if high is None and kind is float else
                ' and %s %s' % ('below' if below else 'at most', largest)))
        return value
    return convert


class Progress:
    """'training 120/1500, 2.1 a second, 11:05 left, C_loss -1.2' on stderr.

    At a terminal one line that is redrawn, no longer than the terminal is wide; else a line every
    ten seconds. Of several processes the first one speaks.
    """

    def __init__(self, what, total, done=0):
        self.start = time.time()
        terminal = sys.stderr.isatty()
        pause = 0.2 if terminal else 10
        self.bar = _Bar(total=total, initial=done, desc=what, disable=RANK > 0, leave=False,
                        file=sys.stderr if terminal else _Lines(), dynamic_ncols=terminal,
                        mininterval=pause, delay=pause, miniters=1, position=0)

    def show(self, done, text=''):
        """done: how many are. text: what else to say of the state."""
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(done - self.bar.n)

    def end(self, text):
        """Remove the progress line, and say on stdout how it ended."""
        self.bar.close()
        if RANK == 0:
            report('%s (%s)' % (text, tqdm.format_interval(time.time() - self.start)))


def note(sentence):
    """Say something on stderr, above the progress line if there is one."""
    tqdm.write(sentence, file=sys.stderr)


def warn(sentence):
    """Say what a user should know, and nothing has to stop for; once of all processes."""
    if RANK == 0:
        note('warning: ' + sentence)


class _Bar(tqdm):
    """tqdm's line in words. What is cut off where the terminal is narrow stands last."""

    monitor_interval = 0                                # no thread that redraws

    def __str__(self):
        values = self.format_dict
        done, seconds = values['n'] - values['initial'], max(values['elapsed'], 1e-9)
        speed = ('%.1f a second' % (done / seconds) if done >= seconds else
                 '%.1f s each' % (seconds / max(done, 1e-9)))
        left = tqdm.format_interval((values['total'] - values['n']) * seconds / max(done, 1e-9))
        line = ', '.join(part for part in (
            '%s %d/%d' % (values['prefix'], values['n'], values['total']), speed, left + ' left',
            values['postfix']) if part)
        return disp_trim(line, values['ncols']) if values['ncols'] else line


class _Lines:
    """Takes what tqdm draws, and writes each drawing as a line of its own."""

    def write(self, drawing):
        if drawing.strip():
            print(drawing.strip(), file=sys.stderr)

    def flush(self):
        sys.stderr.flush()
