"""Import CNTK without its noise, with the kernels that are wanted. All modules have CNTK from here.

CNTK warns at import of Linux distributions and GPU parts, and writes on stderr from C++: notes,
the chosen device, and a call stack for every exception. What it says is held back, and shown if
the import (or whatever else stands under `quiet`) fails.
"""

import contextlib
import os
import sys
import tempfile
import warnings

from wgan.machine import onednn
from wgan.machine.command_line import UserError, fail

import numpy  # noqa: F401  here, since it sets warning filters that quiet() would undo


@contextlib.contextmanager
def quiet():
    """Hold back what is written to stderr, by C++ too; show it if the block raises.

    A UserError is a sentence that says it all: then it stays hidden.
    """
    sys.stderr.flush()
    with _scratch_file() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                yield
        except UserError:
            raise
        except Exception:
            held.seek(0)
            with contextlib.suppress(OSError):          # nobody reads it
                os.write(terminal, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def _scratch_file():
    try:
        return tempfile.TemporaryFile()
    except OSError:                                     # every disk is full
        return open(os.devnull, 'w+b')


def _choose_kernels():
    """Have CNTK compute on a CPU as fast as it can. Returns what with: a line for config.json.

    The environment variable WGAN_KERNELS is the switch: onednn (the default, where it can be) or
    mkl, which CNTK has by itself.
    """
    # What CNTK calls its optimisation for inference makes a ReLU ten times as slow.
    C.cntk_py.disable_cpueval_optimization()
    wanted = os.environ.get('WGAN_KERNELS', 'onednn')
    if wanted not in ('onednn', 'mkl'):
        raise UserError('WGAN_KERNELS is %r: choose onednn or mkl' % wanted)
    if wanted == 'mkl':
        return 'MKL'
    try:
        return onednn.install(LIBRARIES)
    except onednn.Unavailable as error:
        return 'MKL, since oneDNN can not be used: %s' % error


try:
    with quiet():
        try:
            import cntk as C
        except ImportError as error:
            raise UserError('CNTK can not be imported: %s; "make setup" builds an environment in '
                            'which it can' % error)
    LIBRARIES = os.path.join(os.path.dirname(C.__file__), 'libs')
    CPU_KERNELS = _choose_kernels()
except UserError as error:
    fail(str(error))
