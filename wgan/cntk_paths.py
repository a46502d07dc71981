"""Names of files that CNTK can open."""

import contextlib
import os


@contextlib.contextmanager
def plain_path(folder):
    """A name of a folder that CNTK can open files in, for as long as the block lasts.

    CNTK fails on a name that is no text: with bytes of another encoding, and, under LC_ALL=C, with
    any letter that is not ASCII. Linux also knows an open folder by its number.
    """
    if _is_text(folder) or not os.path.isdir('/proc/self/fd'):
        yield folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield '/proc/self/fd/%d' % handle
    finally:
        os.close(handle)


def _is_text(path):
    try:
        path.encode('utf-8')
    except UnicodeEncodeError:
        return False
    return True
