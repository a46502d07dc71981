"""Several processes that train the same networks: mpiexec -n N python wgan_training.py …

CNTK's data-parallel learners add up the gradients of all processes over MPI and make the same
update in each. A process without mpiexec is the first of one, and never touches MPI.
"""

import hashlib
import os
import platform

# Which of the processes this is, from 0, and how many there are.
from wgan.machine.command_line import COUNT, LAUNCHER, RANK, UserError
from wgan.machine.cntk import C, quiet

import numpy as np

if COUNT > 1:
    with quiet():
        _communicator = C.train.distributed.mpi_communicator()


def check():
    """Raise UserError if the processes were started by something that MPI does not know of."""
    found = len(_communicator.workers()) if COUNT > 1 else 1
    if found != COUNT:
        raise UserError(
            '%s says that this is one of %d processes, but MPI sees %d: start them with "mpiexec" '
            'of OpenMPI, the MPI that CNTK is built on, or with "srun --mpi=pmix"' % (
                LAUNCHER, COUNT, found))


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


def digests_of_all(digest):
    """The SHA-256 that each process gives, in hexadecimal digits, in their order.

    All must call it.
    """
    mine = np.zeros((COUNT, 32))
    mine[RANK] = list(bytes.fromhex(digest))
    every = np.rint(np.float64(mean(mine.ravel())) * COUNT).astype(np.uint8)
    return [row.tobytes().hex() for row in every.reshape(COUNT, 32)]


def digest_of_all(digest):
    """One SHA-256 for all processes, in hexadecimal digits, of the one that each gives.

    All must call it.
    """
    if COUNT == 1:
        return digest
    return hashlib.sha256(bytes.fromhex(''.join(digests_of_all(digest)))).hexdigest()


def wait_for_all():
    """Return when all processes have come here."""
    if COUNT > 1:
        _communicator.barrier()


def end():
    """Say to MPI that this process is done. Without it, an exit ends all other processes."""
    if COUNT > 1:
        C.Communicator.finalize()


# Which of the processes of this machine this is, and how many it has. OpenMPI's mpiexec would say,
# others in other ways, or not at all.
_hosts = digests_of_all(hashlib.sha256(platform.node().encode()).hexdigest())
LOCAL_RANK, LOCAL_COUNT = _hosts[:RANK].count(_hosts[RANK]), _hosts.count(_hosts[RANK])

if COUNT > 1:
    # Each takes its share of this machine's cores. CNTK takes all, whatever OMP_NUM_THREADS says.
    C.cntk_py.set_max_num_cputhreads(max(1, os.cpu_count() // LOCAL_COUNT))
