"""What libraries write to stderr, by C++ too, held back.

Needs no other package.
"""

import contextlib
import functools
import os
import sys
import tempfile
import warnings

from wgan.machine.terminal import UserError


@contextlib.contextmanager
def held_stderr():
    """Hold back what is written to stderr; yields a list, which has it when the block ends."""
    held, free = [], _free_files(os.getpid())
    file = free.pop() if free else _scratch_file()
    sys.stderr.flush()
    stderr = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield held
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        if file.tell():
            file.seek(0)
            held.append(file.read())
            file.seek(0)
            file.truncate()
        free.append(file)


@contextlib.contextmanager
def quiet():
    """Hold back warnings and what is written to stderr; show it if the block raises.

    A UserError is a sentence that says it all: then it stays hidden.
    """
    try:
        with held_stderr() as held, warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except UserError:
        raise
    except Exception:
        with contextlib.suppress(OSError):                  # nobody reads it
            os.write(2, b''.join(held))
        raise


@functools.lru_cache(maxsize=1)
def _free_files(process):
    """Files for what is held back, that are not in use. (A new one takes as long as an image.)
    Forked processes would share those of their parent.
    """
    return []


def _scratch_file():
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:                                         # every disk is full
        return open(os.devnull, 'w+b', buffering=0)
