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
# before a job's time or processor time is over. By default each of them ends a process where it is.
ENDING = tuple(getattr(signal, name) for name in (
    'SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGXCPU') if hasattr(signal, name))
SECOND = 0.5            # seconds after which a second Ctrl-C is one: some launchers send each twice


class Stopped(KeyboardInterrupt):
    """A signal has come, number `number`."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def exit_code(interrupt):
    """What shells expect of a program that a KeyboardInterrupt ends."""
    return 128 + getattr(interrupt, 'number', signal.SIGINT)


class Stop:
    """While entered, the number of the first signal is kept in `requested`. With at_once, it also
    raises Stopped; else it calls `then`. After that, only a second Ctrl-C raises.

    A signal that the caller ignores stays ignored, as nohup wants SIGHUP to be. Ctrl-C does not: a
    shell script ignores it in all programs that it starts with &, though nobody asked for that.
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
        """Meanwhile a signal raises Stopped; so does one that has come before."""
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
    """Handle a signal by raising Stopped, where that reaches the program; else a moment later."""
    if _can_raise(frame):
        raise Stopped(number)
    _send_again(number)


def _can_raise(frame):
    """Whether an exception from here reaches the program.

    In the functions of this project that CNTK calls nothing could catch it, and a result would be
    missing. Python passes over it in destructors, which CNTK's classes have as lambdas.
    """
    while frame is not None:
        module, function = frame.f_globals.get('__name__'), frame.f_code.co_name
        if (module in ('wgan.machine.onednn', 'wgan.machine.cudnn') or function == '__del__'
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
    """Have Ctrl-C raise where it reaches the program, in a Python that did not call `run`."""
    if (signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and threading.current_thread() is threading.main_thread()):
        signal.signal(signal.SIGINT, raise_stopped)


@contextlib.contextmanager
def deadly():
    """Meanwhile the signals end the process at once, where Python would wait for C code."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _not_ignored()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
