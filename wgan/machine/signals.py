"""Signals that end a program: Ctrl-C, a closed terminal, and the warnings of batch systems.

Needs no other package.
"""

import _thread
import contextlib
import os
import signal
import threading
import time

# SIGTERM comes before a kill, SIGHUP when a terminal is closed. Batch systems send the others
# before a job's time is over. By default each of them ends a process at once.
ENDING = tuple(getattr(signal, name) for name in (
    'SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGXCPU') if hasattr(signal, name))
# Modules with functions that CNTK calls. An exception would be lost in them.
CALLED_BY_CNTK = tuple('wgan.machine.' + name for name in ('onednn', 'cudnn', 'memory'))
SECOND = 0.5            # seconds; a faster second Ctrl-C is ignored: some launchers send it twice


class Stopped(KeyboardInterrupt):
    """A signal was received, with the number `number`."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def exit_code(interrupt):
    """Returns the exit code that shells expect after a KeyboardInterrupt."""
    return 128 + getattr(interrupt, 'number', signal.SIGINT)


class Stop:
    """A context manager that stores the number of the first signal in `requested`. With at_once, it
    also raises Stopped; else it calls `then`. After that, only a second Ctrl-C raises.

    A signal that the caller ignores stays ignored, as nohup needs for SIGHUP. Ctrl-C is an
    exception, since shell scripts make all programs that they start with & ignore it.
    """

    def __init__(self, at_once=False, then=None):
        self.at_once, self.then = at_once, then
        self.requested, self.since, self.process = 0, 0.0, os.getpid()

    def __enter__(self):
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self._receive)
                             for number in _not_ignored()}
        return self

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def interrupting(self):
        """Within the block a signal raises Stopped; so does an earlier one, at once."""
        if self.requested:
            raise Stopped(self.requested)
        before, self.at_once = self.at_once, True
        try:
            yield
        finally:
            self.at_once = before

    def _receive(self, number, frame):
        if os.getpid() != self.process:     # one to a group of processes reaches forked ones too,
            if number == signal.SIGTERM:    # but their parent ends them
                os._exit(128 + number)
        elif self.requested:
            if number == signal.SIGINT and time.monotonic() > self.since + SECOND:
                raise_stopped(number, frame)
        elif self.at_once and not _can_raise(frame):
            _send_again(number)
        else:
            self.requested, self.since = number, time.monotonic()
            if self.at_once:
                raise Stopped(number)
            if self.then:
                self.then()


def _not_ignored():
    return [number for number in ENDING
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]


def raise_stopped(number, frame):
    """Handles a signal: raises Stopped, or sends the signal again if that can't be caught here."""
    if _can_raise(frame):
        raise Stopped(number)
    _send_again(number)


def _can_raise(frame):
    """Whether an exception from this frame reaches the program.

    It would be lost in functions of this project that CNTK calls, and in destructors (CNTK's are
    lambdas).
    """
    while frame is not None:
        module, function = frame.f_globals.get('__name__'), frame.f_code.co_name
        if (module in CALLED_BY_CNTK or function == '__del__'
                or (module, function) == ('cntk.cntk_py', '<lambda>')):
            return False
        frame = frame.f_back
    return True


def _send_again(number):
    def send():
        time.sleep(0.01)
        os.kill(os.getpid(), number)

    _thread.start_new_thread(send, ())      # takes no lock that the interrupted code may hold


def replace_pythons_handler():
    """Replaces Python's own Ctrl-C handler, for programs that did not call `run`."""
    if (signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and threading.current_thread() is threading.main_thread()):
        signal.signal(signal.SIGINT, raise_stopped)


@contextlib.contextmanager
def deadly():
    """Within the block signals end the process at once, without waiting for C code."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _not_ignored()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
