"""Reads and writes files with CNTK, whatever their names, without crashes."""

import contextlib
import faulthandler
import os

from wgan.machine.cntk import C
from wgan.machine.disk import check_space, replacing

import numpy as np

try:
    import resource
except ImportError:         # Windows: it stays, since CNTK has packages for it; it was not tried
    resource = None


@contextlib.contextmanager
def plain_path(folder):
    """Yields a name of the folder that CNTK can use, valid within the block.

    CNTK fails on names with bytes of another encoding and, under LC_ALL=C, with letters outside
    ASCII. On Linux an open folder also has a name with its file descriptor.
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


def load_model(path):
    """Loads a network from a file in CNTK's own format.

    Raises RuntimeError or ValueError for a damaged file; OSError if it can't be opened.
    """
    with open(path, 'rb') as file:          # CNTK itself can't open every file name
        data = file.read()
    if not data or _crashes(data):
        raise RuntimeError('CNTK crashes when it reads it' if data else 'it is empty')
    return C.Function.load(data)


def save_model(network, path):
    """Writes a network in CNTK's own format. The file is never incomplete.

    Raises OSError if it can't be written.
    """
    with replacing(path) as aside:
        check_space(aside, size_of(network))
        with plain_path(os.path.dirname(aside)) as plain:
            network.save(os.path.join(plain, os.path.basename(aside)))


def size_of(network):
    """Returns about how many bytes the weights and constants of a network take in a file."""
    return sum(4 * int(np.prod(p.shape))
               for p in list(network.parameters) + list(network.constants))


def _crashes(data):
    """Whether CNTK crashes when it loads these bytes, as with some damaged files.

    A forked process tries it; not where a GPU is in use, because forked processes can't share it.
    """
    if resource is None or C.use_default_device().type() != C.device.DeviceKind.CPU:
        return False
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))        # a crash leaves no core file
            faulthandler.disable()
            C.Function.load(data)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
