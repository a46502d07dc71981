"""Under mpiexec: the gradients that each process computes, into `RANK of COUNT.npz`.

Both networks take one step of steepest descent with rate 1: the weights change by the gradient.
Each process has its part of the samples.
"""

from wgan.machine import processes
from wgan.training import objectives
from wgan.machine.cntk import C
import models

import numpy as np


def main():
    processes.start()
    rng = np.random.RandomState(0)
    z = rng.standard_normal((16, 5)).astype('f')
    x, y = rng.uniform(-1, 1, (2, 16, 3, 32, 32)).astype('f')
    epsilon = rng.uniform(0, 1, (16, 1, 1, 1)).astype('f')
    z[8:] = z[:8]       # the same minibatch statistics in each half as in the whole
    generator, critic = models.generator(32, 5, 4, seed=1), models.critic(32, 4, seed=2)
    real, fake = C.input_variable((3, 32, 32)), C.input_variable((3, 32, 32))
    made = objectives.wgan_gp(generator, critic, generator.arguments[0], real, fake)
    (e, _), = made.draws.items()
    part = slice(processes.RANK * 16 // processes.COUNT,
                 (processes.RANK + 1) * 16 // processes.COUNT)
    found = {}
    for name, network, loss, feed in (
            ('critic', critic, made.critic_loss, {real: x[part], fake: y[part], e: epsilon[part]}),
            ('generator', generator, made.generator_loss, {generator.arguments[0]: z[part]})):
        before = [p.value for p in network.parameters]
        sgd = C.sgd(network.parameters, lr=1.0, minibatch_size=C.learners.IGNORE)
        C.Trainer(loss, (loss, None), [processes.shared(sgd)]).train_minibatch(feed)
        for i, (p, old) in enumerate(zip(network.parameters, before)):
            found['%s %d' % (name, i)] = old - p.value
            p.value = old
    np.savez('%d of %d' % (processes.RANK, processes.COUNT), **found)
    processes.end()


if __name__ == '__main__':
    main()
