"""Several processes that train the same networks: mpiexec -n N python wgan_training.py …

CNTK's data-parallel learners add up the gradients of all processes over MPI and make the same
update in each. A process without mpiexec is the first of one, and never touches MPI.
"""

import hashlib
import os

from wgan.command_line import RANK           # noqa: F401  which of the processes this is, from 0
from wgan.cntk import C, quiet

import numpy as np

COUNT = int(os.environ.get('OMPI_COMM_WORLD_SIZE', 1))

if COUNT > 1:
    # Each takes its share of this machine's cores. CNTK takes all, whatever OMP_NUM_THREADS says.
    C.cntk_py.set_max_num_cputhreads(
        max(1, os.cpu_count() // int(os.environ['OMPI_COMM_WORLD_LOCAL_SIZE'])))
    with quiet():
        _communicator = C.train.distributed.mpi_communicator()


def shared(learner):
    """The learner, made to update by the gradients of all processes."""
    return C.data_parallel_distributed_learner(learner) if COUNT > 1 else learner


def mean(values):
    """The mean of each number over all processes, which all must call it."""
    if COUNT == 1:
        return list(values)
    total = C.NDArrayView.from_dense(np.float32(values), device=C.cpu())
    _communicator.aggregate_in_place([total], _communicator.workers())
    return [float(v) / COUNT for v in total.asarray()]


def digest_of_all(digest):
    """One SHA-256 for all processes, in hexadecimal digits, of the one that each gives.

    All must call it.
    """
    if COUNT == 1:
        return digest
    mine = np.zeros((COUNT, 32))
    mine[RANK] = list(bytes.fromhex(digest))
    every = np.rint(np.float64(mean(mine.ravel())) * COUNT).astype(np.uint8)
    return hashlib.sha256(every.tobytes()).hexdigest()


def wait_for_all():
    """Return when all processes have come here."""
    if COUNT > 1:
        _communicator.barrier()


def end():
    """Say to MPI that this process is done. Without it, an exit ends all other processes."""
    if COUNT > 1:
        C.Communicator.finalize()
