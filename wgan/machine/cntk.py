"""Loads CNTK quietly, with the chosen kernels. All modules import CNTK from here.

CNTK is loaded at its first use, so that --help, a refused option or a program without CNTK need not
wait for it. CNTK warns of Linux distributions and missing GPU parts, and writes notes, the device
and call stacks to stderr from C++. `quiet` suppresses that.
"""

import contextlib
import functools
import os

from wgan.machine import memory, onednn, signals
from wgan.machine.slots import Unavailable
from wgan.machine.stderr import quiet
from wgan.machine.terminal import UserError


class _Cntk:
    """The module cntk, loaded at its first use."""

    def __getattr__(self, name):
        return getattr(_load()[0], name)


C = _Cntk()


@functools.lru_cache(maxsize=None)
def _load():
    """Returns (CNTK, the folder with its shared libraries, the name of its CPU kernels)."""
    with quiet():
        try:
            import cntk
        except ImportError as error:
            raise UserError('CNTK can not be imported: %s; "make setup" builds an environment in '
                            'which it can' % error)
        folder = os.path.join(os.path.dirname(cntk.__file__), 'libs')
        kernels = _choose_kernels(cntk, folder)
        with contextlib.suppress(Unavailable):          # CNTK computes the same, in more memory
            memory.install(folder)
    signals.replace_pythons_handler()
    return cntk, folder, kernels


def libraries():
    """Loads CNTK and returns the folder with its shared libraries."""
    return _load()[1]


def cpu_kernels():
    """Returns the name of the library that computes convolutions on a CPU, for config.json."""
    return _load()[2]


def _choose_kernels(cntk, folder):
    """Chooses CNTK's CPU kernels and returns their name.

    The environment variable WGAN_KERNELS selects onednn (the default, if available) or mkl, CNTK's
    own kernels.
    """
    # CNTK's 'optimisation' for inference makes a ReLU ten times as slow.
    cntk.cntk_py.disable_cpueval_optimization()
    wanted = os.environ.get('WGAN_KERNELS', 'onednn')
    if wanted not in ('onednn', 'mkl'):
        raise UserError('WGAN_KERNELS is %r: choose onednn or mkl' % wanted)
    if wanted == 'mkl':
        return 'MKL'
    try:
        return onednn.install(folder)
    except Unavailable as error:
        return 'MKL, since oneDNN can not be used: %s' % error
