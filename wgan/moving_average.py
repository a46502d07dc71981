"""A moving average of a generator's weights: steadier images than any single step gives.

Yazıcı et al. 2019, 'The Unusual Effectiveness of Averaging in GAN Training',
https://arxiv.org/abs/1806.04498, equation 3.
"""

import numpy as np

from wgan.cntk import C


class MovingAverage:
    """θ̄ ← β θ̄ + (1 − β) θ after each update of the generator.

    The running statistics of batch normalisation are averaged like the weights. β begins low and
    rises to `decay`, (1 + t) / (10 + t) at update t: otherwise the first grids would show the
    average of the first, untrained weights, which is grey.

    `generator` is the averaged generator, a function like the one it was made from.
    """

    def __init__(self, generator, decay):
        self.decay = decay
        self.generator = generator.clone(C.CloneMethod.clone)
        self._beta = C.input_variable((), dynamic_axes=[])
        # Assignments inside CNTK: the weights stay on the device.
        self._assignments = [C.assign(mean, value + self._beta * (mean - value)).output
                             for mean, value in zip(_state(self.generator), _state(generator))]
        self._update = C.combine(self._assignments)

    def update(self, step):
        """Take in the weights as they are after update `step`, counted from 1."""
        beta = min(self.decay, (1 + step) / (10 + step))
        self._update.forward({self._beta: np.float32(beta)}, self._assignments, as_numpy=False)

    def arrays(self):
        """The averages as arrays, for a checkpoint."""
        return {'average_%d' % i: p.value for i, p in enumerate(_state(self.generator))}

    def restore(self, arrays):
        """Inverse of `arrays`."""
        for i, p in enumerate(_state(self.generator)):
            p.value = arrays['average_%d' % i]


def _state(network):
    return list(network.parameters) + list(network.constants)
