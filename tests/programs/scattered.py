"""Train twice in one process, each time with everything elsewhere in memory.

    scattered.py SEED OPTIONS-OF-wgan_training.py … (the last one: how many iterations)

Writes the runs 'whole', and 'resumed', which stops after one iteration and continues. Between
updates, blocks of odd sizes are taken from the heap and some are given back, so what CNTK allocates
next lies at other multiples of 16 bytes, which is all that malloc promises. The environment
variable THREADS says how many threads compute, RUNS which runs are written.
"""

import ctypes
import os
import sys

from helpers import call_program
from wgan.machine.cntk import libraries
from wgan.runs import recorder
from wgan.training.updates import Updates

import numpy as np

LARGEST_MAPPED = -3                 # mallopt's M_MMAP_THRESHOLD: large blocks from the heap too

OPENMP = ctypes.CDLL(os.path.join(libraries(), 'libiomp5.so'))
OPENMP.omp_set_num_threads(int(os.environ['THREADS']))
heap = ctypes.CDLL(None)
heap.malloc.restype, heap.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
heap.free.argtypes = [ctypes.c_void_p]
heap.mallopt(LARGEST_MAPPED, 1 << 30)
seed, *options = sys.argv[1:]
blocks, rng = [], np.random.RandomState(int(seed))


def scatter():
    blocks.extend(heap.malloc(16 * int(n) + 8) for n in rng.geometric(0.02, 40))
    for i in sorted(rng.choice(len(blocks), len(blocks) // 3, replace=False), reverse=True):
        heap.free(blocks.pop(i))


def scattering(method):
    def call(*arguments):
        scatter()
        return method(*arguments)
    return call


recorder.plot_table = lambda *_: None         # it takes as long as the rest
for name in ('update_critic', 'update_generator'):
    setattr(Updates, name, scattering(getattr(Updates, name)))

for arguments in (['--out', 'whole'] + options,
                  ['--out', 'resumed'] + options[:-1] + [1],
                  ['--out', 'resumed', '--resume'] + options[-2:]):
    if arguments[1] not in os.environ['RUNS']:
        continue
    scatter()
    code = call_program('wgan_training.py', *arguments)
    if code:
        sys.exit(code)
