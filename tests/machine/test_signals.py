"""Signals that end a program: what they raise, what stays ignored, what forked processes do."""

import os
import signal
import subprocess
import sys
import time

import pytest

from helpers import ROOT
from wgan.machine import signals
from wgan.machine.terminal import run


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.1)


@pytest.mark.parametrize('number', signals.ENDING)
def test_a_program_ends_where_it_is(number, tmp_path, capfd):
    """As shells expect it, without a word; what was opened is put in order."""
    def main():
        try:
            send(number)
        finally:
            (tmp_path / 'tidy').write_text('')
        raise AssertionError
    with pytest.raises(SystemExit) as end:
        run(main)
    assert end.value.code == 128 + number and (tmp_path / 'tidy').exists()
    assert capfd.readouterr() == ('', '')


def test_another_exception_of_a_signal_is_no_error():
    """CNTK makes one of its own of what is raised inside of it."""
    def main():
        try:
            send(signal.SIGTERM)
        except signals.Stopped as stopped:
            raise SystemError('returned a result with an error set') from stopped
    with pytest.raises(SystemExit) as end:
        run(main)
    assert end.value.code == 128 + signal.SIGTERM


def test_only_a_second_ctrl_c_raises(monkeypatch):
    called = []
    with signals.Stop(then=lambda: called.append(1)) as stop:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):      # one from a launcher
            send(number)
        assert stop.requested == signal.SIGTERM and called == [1]
        monkeypatch.setattr(signals, 'SECOND', 0)
        with pytest.raises(signals.Stopped):
            send(signal.SIGINT)


def test_a_signal_interrupts_what_may_be_interrupted():
    with signals.Stop() as stop:
        with pytest.raises(signals.Stopped), stop.interrupting():
            send(signal.SIGHUP)
        assert stop.requested == signal.SIGHUP
        with pytest.raises(signals.Stopped), stop.interrupting():
            raise AssertionError                        # it has come before


def test_what_the_caller_ignores_stays_ignored():
    before = {number: signal.signal(number, signal.SIG_IGN)
              for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        with signals.Stop(at_once=True):
            send(signal.SIGHUP)
            with pytest.raises(signals.Stopped):        # but Ctrl-C, for programs started with &
                send(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_modules_whose_functions_cntk_calls_are_known():
    """An exception would be lost in them."""
    folder = os.path.join(ROOT, 'wgan', 'machine')
    assert set(signals.CALLED_BY_CNTK) == {
        'wgan.machine.' + name[:-3] for name in os.listdir(folder) if name.endswith('.py')
        and 'CFUNCTYPE' in open(os.path.join(folder, name)).read()}


@pytest.mark.slow
def test_a_forked_process_leaves_it_to_its_parent():
    with signals.Stop(at_once=True):
        child = os.fork()
        if not child:
            for number in signals.ENDING:
                if number != signal.SIGTERM:
                    send(number)
            time.sleep(60)
            os._exit(1)
        time.sleep(1)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        os.kill(child, signal.SIGTERM)
        assert os.waitpid(child, 0) == (child, (128 + signal.SIGTERM) << 8)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_deadly_while_it_waits_for_c_code(number):
    program = ('import time, wgan.machine.signals as s\n'
               'with s.Stop(at_once=True), s.deadly():\n'
               '    print("waits", flush=True); time.sleep(60)')
    process = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE,
                               env=dict(os.environ, PYTHONPATH=ROOT))
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait(timeout=10) == -number
    process.stdout.close()
