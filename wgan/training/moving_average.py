"""A moving average of a generator's weights: steadier images than any single step gives.

Yazıcı et al. 2019, 'The Unusual Effectiveness of Averaging in GAN Training',
https://arxiv.org/abs/1806.04498, equation 3.
"""

import numpy as np

from wgan.machine.cntk import C


class MovingAverage:
    """θ̄ ← β θ̄ + (1 − β) θ after each update of the generator.

    The running statistics of batch normalisation are averaged like the weights. β is (1 + t) /
    (10 + t) at update t, up to `decay`. Otherwise the first grids would be grey, because untrained
    weights would dominate the average.

    generator: the averaged generator, a Function like the original.
    """

    def __init__(self, generator, decay):
        self.decay = decay
        self.generator = generator.clone(C.CloneMethod.clone)
        # An SGD step, θ̄ − α g, with a weight in the place of the gradient. It works in place; a
        # graph would need four copies of the weights.
        self._means, self._values = self.generator.parameters, generator.parameters
        self._steps = C.sgd(self._means, lr=0, minibatch_size=1)
        # A learner can't update constants. These are few numbers.
        self._beta = C.input_variable((), dynamic_axes=[])
        self._assignments = [C.assign(mean, value + self._beta * (mean - value)).output
                             for mean, value in zip(self.generator.constants, generator.constants)]
        self._update_constants = C.combine(self._assignments)

    def update(self, step):
        """Adds the weights after update `step`, counted from 1."""
        beta = min(self.decay, (1 + step) / (10 + step))
        for rate, sources in ((1 - beta, self._means),                  # θ̄ ← β θ̄
                              (beta - 1, self._values)):                # θ̄ ← θ̄ + (1 − β) θ
            self._steps.reset_learning_rate(C.learning_parameter_schedule(rate, minibatch_size=1))
            self._steps._update(dict(zip(self._means, map(_on_device, sources))), 1, False)
        self._update_constants.forward({self._beta: np.float32(beta)}, self._assignments,
                                       as_numpy=False)

    def arrays(self):
        """The averages as arrays, for a checkpoint."""
        return {'average_%d' % i: p.value for i, p in enumerate(_state(self.generator))}

    def restore(self, arrays):
        """Inverse of `arrays`."""
        for i, p in enumerate(_state(self.generator)):
            p.value = arrays['average_%d' % i]


def _state(network):
    return list(network.parameters) + list(network.constants)


def _on_device(parameter):
    """The memory of a parameter, as CNTK's NDArrayView; `parameter.value` would be a copy."""
    return C.cntk_py.Parameter.value(parameter)
