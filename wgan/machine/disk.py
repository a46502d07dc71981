"""Writes files completely or not at all; checks free space; checksums; JSON.

Needs no other package. The Windows branches are untested. They stay, since CNTK has packages for
Windows.
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
# The names of temporary files. A killed process leaves them.
ASIDE = re.compile(r'\.partial-([0-9]+)-')


def aside_prefix():
    """The prefix of this process's temporary files."""
    return '.partial-%d-' % os.getpid()


@contextlib.contextmanager
def replacing(path):
    """Yields the name of an empty file beside `path`, and replaces `path` with it after the block.

    The name has the suffix of `path`, since many libraries choose the format by it. If the block
    raises, the new file is removed and `path` stays unchanged. If `path` is a symbolic link, its
    target is replaced.
    Raises OSError, with `path` as its filename, if the file can't be written, or `path` is not a
    regular file.
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
    except OSError as error:                            # some libraries set only a message
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), path)
    finally:
        if os.path.exists(aside):
            os.remove(aside)


def keep_aside(path, ending='.kept'):
    """Renames `path` to an unused name, `path` with the ending and a number. Returns this name."""
    aside = next(name for name in ('%s%s%d' % (path, ending, n) for n in itertools.count(1))
                 if not os.path.lexists(name))
    os.rename(path, aside)
    return aside


def remove_left_behind(folder):
    """Deletes temporary files of killed processes in the folder: see `replacing`."""
    for name in os.listdir(folder):
        match = re.match(ASIDE.pattern + r'\d+(\.\w+)?$', name)
        if match and not _is_running(int(match.group(1))):
            os.remove(os.path.join(folder, name))


def _is_running(process):
    if os.name == 'nt':                     # os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def check_space(path, size):
    """Raises OSError if a file of `size` bytes plus 1 MiB can't be written to `path`.

    CNTK aborts the process if it can't write a complete file. So this checks for a full disk, a
    quota or a file size limit before. It deletes the file.
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
    """Flushes a file or folder to the disk. Windows can't do this for folders."""
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
    """Reads a JSON file. Raises ValueError if it is not JSON, OSError if it can't be read."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError                        # a folder, or a pipe that would block
    with open(path, encoding='utf-8') as file:
        try:
            return json.load(file)
        except RecursionError:
            raise ValueError


def read_run_config(folder):
    """Reads the config.json of a run. Raises OSError, or ValueError if no run wrote it."""
    config = read_json(os.path.join(folder, 'config.json'))
    if not (isinstance(config, dict) and isinstance(config.get('settings'), dict)
            and 'n_critic' in config['settings'] and isinstance(config.get('versions'), dict)
            and 'cntk' in config['versions']):
        raise ValueError
    return config


def write_json(path, value):
    """Writes indented JSON to a file. Raises OSError as `replacing` does."""
    with replacing(path) as aside, open(aside, 'w', encoding='utf-8') as file:
        json.dump(value, file, indent=2, sort_keys=True)
        file.write('\n')


def as_text(value):
    """Converts a path to text for JSON. Only bytes that are not UTF-8 become lone surrogates.

    Under LC_ALL=C, Python's paths have surrogates for all bytes outside ASCII. The converted text
    is the same under every locale.
    """
    if not isinstance(value, str):
        return value
    return os.fsencode(value).decode('utf-8', 'surrogateescape')


def as_path(text):
    """Inverse of `as_text`."""
    return os.fsdecode(text.encode('utf-8', 'surrogateescape'))
