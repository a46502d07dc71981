"""CNTK without its noise, with the kernels that are wanted. All modules have CNTK from here.

It is loaded when something of it is first used: the help of a program, an option that is refused
and a program that computes nothing do without. CNTK warns then of Linux distributions and GPU
parts, and writes on stderr from C++: notes, the chosen device, and a call stack for every
exception. `quiet` holds that back.
"""

import functools
import os

from wgan.machine import onednn, signals
from wgan.machine.stderr import quiet
from wgan.machine.terminal import UserError


class _Cntk:
    """The module cntk, loaded at the first use of it."""

    def __getattr__(self, name):
        return getattr(_load()[0], name)


C = _Cntk()


@functools.lru_cache(maxsize=None)
def _load():
    """(CNTK, the folder with its shared libraries, what computes convolutions on a CPU)."""
    with quiet():
        try:
            import cntk
        except ImportError as error:
            raise UserError('CNTK can not be imported: %s; "make setup" builds an environment in '
                            'which it can' % error)
        folder = os.path.join(os.path.dirname(cntk.__file__), 'libs')
        kernels = _choose_kernels(cntk, folder)
    signals.replace_pythons_handler()
    return cntk, folder, kernels


def libraries():
    """The folder with CNTK's shared libraries, which are loaded."""
    return _load()[1]


def cpu_kernels():
    """What computes convolutions on a CPU: a line for config.json."""
    return _load()[2]


def _choose_kernels(cntk, folder):
    """Have CNTK compute on a CPU as fast as it can. Returns what with.

    The environment variable WGAN_KERNELS is the switch: onednn (the default, where it can be) or
    mkl, which CNTK has by itself.
    """
    # What CNTK calls its optimisation for inference makes a ReLU ten times as slow.
    cntk.cntk_py.disable_cpueval_optimization()
    wanted = os.environ.get('WGAN_KERNELS', 'onednn')
    if wanted not in ('onednn', 'mkl'):
        raise UserError('WGAN_KERNELS is %r: choose onednn or mkl' % wanted)
    if wanted == 'mkl':
        return 'MKL'
    try:
        return onednn.install(folder)
    except onednn.Unavailable as error:
        return 'MKL, since oneDNN can not be used: %s' % error
