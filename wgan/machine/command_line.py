"""Parts of all programs: options with checks, the progress line, notes and warnings."""

import argparse
import re
import sys
import time

from wgan.machine.terminal import (  # noqa: F401  for the programs
    RANK, UserError, check_output_folder, check_outputs, gpu_failure, one_line, report, run)

from tqdm import tqdm


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, and shows defaults in its help."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=_HelpWithDefaults, **kwargs)

    def error(self, message):
        raise UserError(message + ' (--help lists all options)')


class _HelpWithDefaults(argparse.HelpFormatter):
    def _get_help_string(self, action):
        default = action.default
        has_default = default not in (None, argparse.SUPPRESS, ()) and not isinstance(default, bool)
        return action.help + (' (default: %(default)s)' if has_default else '')


LARGEST = {int: 2 ** 31 - 1, float: sys.float_info.max}


def number(number_type, low, high=None, above=False, below=False):
    """Returns an argparse type: an int or float from low to high. above: low is excluded. below:
    high is excluded.

    It accepts finite numbers in plain digits only; without high, ints that fit into 32 bits.
    """
    def convert(text):
        try:
            # int and float also accept 'nan', '1_000', spaces and digits of other scripts.
            value = number_type(text if re.fullmatch('[-+.0-9eE]+', text) else 'not a number')
        except ValueError:
            raise argparse.ArgumentTypeError('%r is not %s number'
                                             % (text, 'a whole' if number_type is int else 'a'))
        largest = LARGEST[number_type] if high is None else high
        if not low <= value <= largest or (above and value == low) or (below and value == high):
            raise argparse.ArgumentTypeError('%s is out of range: it must be %s %s%s' % (
                text, 'above' if above else 'at least', low,
                '' if high is None and number_type is float else
                ' and %s %s' % ('below' if below else 'at most', largest)))
        return value
    return convert


class Progress:
    """A progress line of tqdm on stderr.

    A terminal shows one line that is redrawn; a file gets a line every ten seconds. Of several
    processes, only the first prints.
    """

    def __init__(self, task, total, done=0):
        file, pause = (sys.stderr, 0.2) if sys.stderr.isatty() else (_Lines(), 10)
        tqdm.monitor_interval = 0                       # no thread: some programs fork
        self.bar = tqdm(total=total, initial=done, desc=task, disable=RANK > 0, leave=False,
                        file=file, dynamic_ncols=file is sys.stderr, mininterval=pause,
                        delay=pause, miniters=1, position=0)
        self.start = time.time()

    def show(self, done, text=''):
        """Updates the line. done: number of finished steps. text: status to show."""
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(done - self.bar.n)

    def end(self, text):
        """Removes the progress line, and prints `text` and the time on stdout."""
        self.bar.close()
        if RANK == 0:
            report('%s (%s)' % (text, tqdm.format_interval(time.time() - self.start)))


class _Lines:
    """A file for tqdm that prints each state of the bar on a new line."""

    def write(self, drawing):
        if drawing.strip():
            print(drawing.strip(), file=sys.stderr)

    def flush(self):
        sys.stderr.flush()


def note(sentence):
    """Prints a sentence on stderr, above the progress line if there is one."""
    tqdm.write(sentence, file=sys.stderr)


def warn(sentence):
    """Prints a warning, in the first process only."""
    if RANK == 0:
        note('warning: ' + sentence)
