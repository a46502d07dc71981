"""bench/gpu_today.py: what fails is noted. That each of its steps runs: test_every_program.py."""

import os
import re
import sys

import pytest

from bench import gpu_today

pytestmark = pytest.mark.slow


def test_what_fails_is_noted_and_the_next_begins(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr(gpu_today, 'steps', lambda options: [
        gpu_today.Step('one', 9, ['sh', '-c', 'echo first; exit 5']),
        gpu_today.Step('two', 9, ['no such program']),
        gpu_today.Step('three', None, ['echo', 'last'])])
    monkeypatch.setattr(sys, 'argv', ['gpu_today.py', '--out', 'today'])
    assert gpu_today.main() == 1
    log = (tmp_path / 'today' / 'log.txt').read_text()
    assert log == capfd.readouterr().out and 'first\n' in log and 'last\n' in log
    assert re.findall(r'^=== (.*): .* s, exit code (\d+)$', log, re.M) == [
        ('one', '5'), ('two', '127'), ('three', '0')]
    assert log.endswith('\n=== failed: one, two\n')


def test_a_step_whose_time_is_over_can_save(tmp_path):
    with open(str(tmp_path / 'log'), 'w') as log:
        def do(script, seconds):
            return gpu_today.do(gpu_today.Step('', None, ['sh', '-c', script]), seconds, os.environ,
                                log)
        assert do('trap "echo saved; exit 3" TERM; sleep 9 & wait', 1) is None
        assert do('exit 4', 9) == 4
    assert (tmp_path / 'log').read_text() == 'saved\n'


def test_an_old_folder_is_left_alone(command, tmp_path):
    (tmp_path / 'today').mkdir()
    assert 'today is there already' in command('bench/gpu_today.py', '--out', 'today').sentence
