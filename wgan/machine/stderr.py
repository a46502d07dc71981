"""Suppresses what libraries write to stderr, also from C++.

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
    """Suppresses stderr. Yields a list that contains the text after the block."""
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
    """Suppresses warnings and stderr. Prints the text if the block raises, except for a UserError,
    which explains enough.
    """
    try:
        with held_stderr() as held, warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except UserError:
        raise
    except Exception:
        with contextlib.suppress(OSError):                  # stderr is closed
            os.write(2, b''.join(held))
        raise


@functools.lru_cache(maxsize=1)
def _free_files(process):
    """Returns unused scratch files of a process. (Creating a file takes as long as an image.
    Forked processes must not share files.)
    """
    return []


def _scratch_file():
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:                                         # every disk is full
        return open(os.devnull, 'w+b', buffering=0)
