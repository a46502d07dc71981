"""Files that have to be complete: written beside and renamed, room for them, sync, checksums, JSON.

Needs no other package. What is for Windows stays, since CNTK has packages for it; it was not tried.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import shutil

_NUMBERS = itertools.count()
# How a process names what it writes beside its files; a kill may leave one.
ASIDE = re.compile(r'\.partial-([0-9]+)-')


def aside_prefix():
    """How such names of this process begin."""
    return '.partial-%d-' % os.getpid()


@contextlib.contextmanager
def replacing(path):
    """Yield the name of an empty file beside `path`, which takes its place when the block ends.

    The block writes to that name; it ends in the suffix of `path`, which decides the format in
    many libraries. If the block raises, the new file is removed and `path` keeps what it held. A
    symbolic link stays one: the file that it points to is replaced.
    Raises OSError, with `path` as its filename, if the file can't be written, or `path` is
    something else than a regular file.
    """
    target = os.path.realpath(path)
    if os.path.lexists(target) and not os.path.isfile(target):
        code = errno.EISDIR if os.path.isdir(target) else errno.EINVAL
        raise OSError(code, 'is not a regular file, and can not be replaced', path)
    aside = os.path.join(os.path.dirname(target), '%s%d%s' % (
        aside_prefix(), next(_NUMBERS), os.path.splitext(target)[1]))
    try:
        open(aside, 'xb').close()
        if os.path.exists(target):
            shutil.copymode(target, aside)
        yield aside
        sync(aside)
        os.replace(aside, target)
    except OSError as error:                            # some libraries give a sentence alone
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), path)
    finally:
        if os.path.exists(aside):
            os.remove(aside)


def keep_aside(path, ending='.kept'):
    """Give what is at `path` a name beside it that nothing has, which is returned: `path` with the
    ending and a number.
    """
    aside = next(name for name in ('%s%s%d' % (path, ending, n) for n in itertools.count(1))
                 if not os.path.lexists(name))
    os.rename(path, aside)
    return aside


def remove_left_behind(folder):
    """Delete what `replacing` left in the folder because its process was killed."""
    for name in os.listdir(folder):
        match = re.match(ASIDE.pattern + r'\d+(\.\w+)?$', name)
        if match and not _is_running(int(match.group(1))):
            os.remove(os.path.join(folder, name))


def _is_running(process):
    if os.name == 'nt':                     # there, this signal would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


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


def read_json(path):
    """What a file of JSON holds. Raises ValueError for anything else, OSError if there is none."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError                        # a folder; a pipe, which nobody writes to
    with open(path, encoding='utf-8') as file:
        try:
            return json.load(file)
        except RecursionError:
            raise ValueError


def write_json(path, value):
    """Replace a file by JSON that people can read. Raises OSError as `replacing` does."""
    with replacing(path) as aside, open(aside, 'w', encoding='utf-8') as file:
        json.dump(value, file, indent=2, sort_keys=True)
        file.write('\n')


def as_text(value):
    """A path as it is kept in JSON: bytes that are no text of UTF-8 as lone surrogates.

    Under LC_ALL=C Python has all but ASCII as such; kept like this, a run is the same under any.
    """
    if not isinstance(value, str):
        return value
    return os.fsencode(value).decode('utf-8', 'surrogateescape')


def as_path(text):
    """Inverse of `as_text`."""
    return os.fsdecode(text.encode('utf-8', 'surrogateescape'))
