"""Stopped by a full disk or Ctrl-C at any of its changes to the disk, a run loses nothing.

INTERRUPT_AT=1,2,3 chooses other moments than the two that are always tried; there are about sixty.
"""

import os

import pytest

from helpers import TINY, tree

pytestmark = pytest.mark.slow
MINE = {'notes.txt': b'mine 1', 'samples/cat.png': b'mine 2', 'samples/step_000004.png': b'mine 3',
        'checkpoints/step_00000002/why': b'mine 4', 'checkpoints/step_00000004': b'mine 5'}
CALLS = ('rename', 'replace', 'remove', 'fsync', 'mkdir', 'rmdir')


class Interrupter:
    """While entered, the call of a given number among CALLS of `os` raises instead."""

    def __init__(self, monkeypatch, number, error):
        self.left, self.error = number, error
        for name in CALLS:
            monkeypatch.setattr(os, name, self.watched(getattr(os, name)))

    def watched(self, real):
        def call(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                raise self.error()
            return real(*arguments, **options)
        return call


@pytest.fixture
def damaged(run):
    """A run that has something to mend everywhere, and files of the user's."""
    for name, content in MINE.items():
        (run / name).write_bytes(content)
    (run / 'config.json').write_bytes(b'[1]')
    (run / 'checkpoints' / 'step_00000003' / 'critic').unlink()
    with open(str(run / 'wgan.csv'), 'ab') as file:
        file.write(b'\nnan\n')
    return run


@pytest.mark.parametrize('how', ['--resume', '--overwrite'])
@pytest.mark.parametrize('number', os.environ.get('INTERRUPT_AT', '7,16').split(','))
def test_nothing_is_lost(damaged, train, tmp_path, monkeypatch, number, how):
    error = (lambda: OSError(28, 'No space left')) if int(number) % 2 else KeyboardInterrupt
    arguments = ['--out', 'run', how, '--iterations', 3] + (
        ['--data', 'pics'] + TINY if how == '--overwrite' else [])
    losses = (damaged / 'wgan.csv').read_bytes()
    with monkeypatch.context() as patched:
        interrupter = Interrupter(patched, int(number), error)
        result = train(*arguments)
    assert result.code == 0 if interrupter.left > 0 else result.code in (0, 2, 130)
    kept = list(tree(tmp_path).values())
    assert all(content in kept for content in MINE.values()) and losses in kept
    how = how if result.code else '--resume'
    last = train(*[how if a in ('--resume', '--overwrite') else a for a in arguments])
    assert last.code == 0, last.err
    kept = list(tree(tmp_path).values())
    assert all(content in kept for content in list(MINE.values()) + [b'[1]', losses])
    rows = (damaged / 'wgan.csv').read_text().splitlines()[1:]
    assert rows[-1].split(',')[0] == '3'
