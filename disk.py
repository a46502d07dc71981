"""Files that have to be whole: room for them, sync, checksums. Needs no other package."""

import hashlib
import os


def make_room(path, size):
    """Raises OSError if a file of `size` bytes and a little more can't be written to `path`.

    CNTK aborts the whole process if it can't write a file to its end: a full disk, a quota and a
    limit for files have to be found out before.
    """
    try:
        with open(path, 'wb') as file:
            if hasattr(os, 'posix_fallocate'):
                os.posix_fallocate(file.fileno(), 0, size + (1 << 20))
            else:                                               # Windows
                file.write(bytes(size + (1 << 20)))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path)
    finally:
        if os.path.exists(path):
            os.remove(path)


def sync(path):
    """Have a file or folder written to the disk itself; Windows can't do it for folders."""
    if os.name == 'nt' and os.path.isdir(path):
        return
    handle = os.open(path, os.O_RDWR if os.name == 'nt' else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path):
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
