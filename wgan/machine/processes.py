"""Several processes that train the same networks: mpiexec -n N python wgan_training.py …

CNTK's data-parallel learners add up the gradients of all processes over MPI and make the same
update in each. A process without mpiexec is the first of one, and never touches MPI.
What says 'all must call it' returns when all have.
"""

import functools
import hashlib
import os
import platform

# Which of the processes this is, from 0, and how many there are.
from wgan.machine.terminal import COUNT, LAUNCHER, RANK, UserError
from wgan.machine.cntk import C, quiet

import numpy as np


@functools.lru_cache(maxsize=None)
def _communicator():
    with quiet():
        return C.train.distributed.mpi_communicator()


def start():
    """Connect the processes, before they compute. All must call it.

    Raises UserError if they were started by something that MPI does not know of.
    """
    if COUNT == 1:
        return
    count = len(_communicator().workers())
    if count != COUNT:
        raise UserError(
            '%s says that this is one of %d processes, but MPI sees %d: start them with "mpiexec" '
            'of OpenMPI, the MPI that CNTK is built on, or with "srun --mpi=pmix"' % (
                LAUNCHER, COUNT, count))
    # Each takes its share of this machine's cores. CNTK takes all, whatever OMP_NUM_THREADS says.
    C.cntk_py.set_max_num_cputhreads(max(1, os.cpu_count() // local_place()[1]))


def shared(learner):
    """The learner, made to update by the gradients of all processes."""
    return C.data_parallel_distributed_learner(learner) if COUNT > 1 else learner


def total(values):
    """The sum of each number over all processes, exact for whole numbers. All must call it."""
    if COUNT == 1:
        return list(values)
    sums = C.NDArrayView.from_dense(np.float64(values), device=C.cpu())
    _communicator().aggregate_in_place([sums], _communicator().workers())
    return sums.asarray().tolist()


def mean(values):
    """The mean of each number over all processes. All must call it."""
    return [value / COUNT for value in total(values)]


def any_of(condition):
    """Whether the condition holds in one of the processes or more. All must call it."""
    return total([float(bool(condition))])[0] > 0


def digests_of_all(digest):
    """The SHA-256 that each process gives, in hexadecimal digits, in their order.

    All must call it.
    """
    table = np.zeros((COUNT, 32))
    table[RANK] = list(bytes.fromhex(digest))
    table = np.uint8(total(table.ravel())).reshape(COUNT, 32)
    return [row.tobytes().hex() for row in table]


def digest_of_all(digest):
    """One SHA-256 for all processes, in hexadecimal digits, of the one that each gives.

    All must call it.
    """
    if COUNT == 1:
        return digest
    return hashlib.sha256(bytes.fromhex(''.join(digests_of_all(digest)))).hexdigest()


@functools.lru_cache(maxsize=None)
def local_place():
    """(which of the processes of this machine this is, how many it has). `start` has asked before.

    OpenMPI's mpiexec would say, others in other ways, or not at all.
    """
    machines = digests_of_all(hashlib.sha256(platform.node().encode()).hexdigest())
    return machines[:RANK].count(machines[RANK]), machines.count(machines[RANK])


def wait_for_all():
    """Return when all processes have come here."""
    if COUNT > 1:
        _communicator().barrier()


def end():
    """Say to MPI that this process is done. Without it, an exit ends all other processes."""
    if COUNT > 1:
        C.Communicator.finalize()
