"""Files that CNTK reads and writes: names that it can open, models that do not crash it."""

import contextlib
import faulthandler
import os

from wgan.machine.cntk import C

import numpy as np

try:
    import resource
except ImportError:         # Windows: it stays, since CNTK has packages for it; it was not tried
    resource = None


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


def load_model(path):
    """The network in a file of CNTK's own format.

    Raises RuntimeError or ValueError, whatever the file holds; OSError if it can't be opened.
    """
    with open(path, 'rb') as file:          # CNTK itself can't open each name that there may be
        data = file.read()
    if not data or _crashes(data):
        raise RuntimeError('CNTK crashes when it reads it' if data else 'it is empty')
    return C.Function.load(data)


def size_of(network):
    """About how many bytes its weights and constants take in a file."""
    return sum(4 * int(np.prod(p.shape))
               for p in list(network.parameters) + list(network.constants))


def _crashes(data):
    """Whether CNTK brings the process down when it loads these bytes, as some damaged ones do.

    Tried in a copy of this process. Not where a GPU is in use, which copies can't share.
    """
    if resource is None or C.use_default_device().type() != C.device.DeviceKind.CPU:
        return False
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))        # it may die in silence
            faulthandler.disable()
            C.Function.load(data)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
