"""Several processes that train the same networks: mpiexec -n N python wgan_training.py …

CNTK's data-parallel learners add up the gradients of all processes over MPI and make the same
update in each. Without mpiexec there is one process, which does not use MPI.
A function that all processes must call returns when all have called it.
"""

import functools
import hashlib
import os
import platform

# The number of this process, from 0, and the number of processes.
from wgan.machine.terminal import COUNT, LAUNCHER, RANK, UserError
from wgan.machine.cntk import C, quiet

import numpy as np


@functools.lru_cache(maxsize=None)
def _communicator():
    with quiet():
        return C.train.distributed.mpi_communicator()


def start():
    """Connects the processes. All must call it before they compute.

    Raises UserError if they were not started by this MPI.
    """
    if COUNT == 1:
        return
    count = len(_communicator().workers())
    if count != COUNT:
        raise UserError(
            '%s says that this is one of %d processes, but MPI sees %d: start them with "mpiexec" '
            'of OpenMPI, the MPI that CNTK is built on, or with "srun --mpi=pmix"' % (
                LAUNCHER, COUNT, count))
    # Each process uses its share of the cores. CNTK would use all, and ignores OMP_NUM_THREADS.
    C.cntk_py.set_max_num_cputhreads(max(1, os.cpu_count() // local_place()[1]))


def shared(learner):
    """Returns a learner that uses the gradients of all processes."""
    return C.data_parallel_distributed_learner(learner) if COUNT > 1 else learner


def total(values):
    """Returns sums over all processes, exact for whole numbers. All must call it."""
    if COUNT == 1:
        return list(values)
    sums = C.NDArrayView.from_dense(np.float64(values), device=C.cpu())
    _communicator().aggregate_in_place([sums], _communicator().workers())
    return sums.asarray().tolist()


def mean(values):
    """Returns means over all processes. All must call it."""
    return [value / COUNT for value in total(values)]


def any_of(condition):
    """Whether the condition is true in any process. All must call it."""
    return total([float(bool(condition))])[0] > 0


def digests_of_all(digest):
    """Returns the SHA-256 of each process, in order, in hexadecimal digits. All must call it."""
    table = np.zeros((COUNT, 32))
    table[RANK] = list(bytes.fromhex(digest))
    table = np.uint8(total(table.ravel())).reshape(COUNT, 32)
    return [row.tobytes().hex() for row in table]


def digest_of_all(digest):
    """Returns one SHA-256, in hexadecimal digits, of those of all processes. All must call it."""
    if COUNT == 1:
        return digest
    return hashlib.sha256(bytes.fromhex(''.join(digests_of_all(digest)))).hexdigest()


@functools.lru_cache(maxsize=None)
def local_place():
    """Returns (number of this process on this machine, number of processes on it).

    MPI is asked, since launchers tell this in different ways or not at all.
    """
    machines = digests_of_all(hashlib.sha256(platform.node().encode()).hexdigest())
    return machines[:RANK].count(machines[RANK]), machines.count(machines[RANK])


def wait_for_all():
    """Returns when all processes have called it."""
    if COUNT > 1:
        _communicator().barrier()


def end():
    """Tells MPI that this process is done. Otherwise its exit would end all others."""
    if COUNT > 1:
        C.Communicator.finalize()
