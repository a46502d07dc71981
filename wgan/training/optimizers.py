"""Optimisers with the steps of the papers; CNTK's own differ.

Both have a `learner` for a cntk.Trainer. `arrays` and `restore` save the state that CNTK's own
checkpoint lacks.
"""

import numpy as np

from wgan.machine.cntk import C


class Adam:
    """Adam: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, the form at the end of section 2
    (ε = 1e-8 is added to √v before the bias correction, as in TensorFlow 1).

    learning_rate, beta1, beta2 are for one update. By default CNTK takes them for one sample, and
    divides the step by the batch size; minibatch_size=IGNORE prevents that. (It has no effect in
    the schedules.) unit_gain weighs a new gradient with 1 − β1, as in the paper. weight_decay times
    the weight is added to the gradient.
    """

    def __init__(self, parameters, learning_rate, beta1, beta2, weight_decay=0.0):
        self.rate = learning_rate
        self.learner = C.adam(
            parameters, lr=learning_rate, momentum=beta1, variance_momentum=beta2, unit_gain=True,
            epsilon=1e-8, minibatch_size=C.learners.IGNORE, l2_regularization_weight=weight_decay)

    def arrays(self):
        return {}

    def restore(self, arrays):
        """Sets the learning rate again, because CNTK restores the checkpoint's."""
        if self.learner.learning_rate() != self.rate:
            self.learner.reset_learning_rate(C.learning_parameter_schedule(
                self.rate, minibatch_size=C.learners.IGNORE))


class RmsProp:
    """RMSProp with optional clipping of the weights: Arjovsky et al. 2017,
    https://arxiv.org/abs/1701.07875, algorithm 1, lines 6 and 7.

        r ← 0.99 r + 0.01 g²,   w ← clip(w − α g / (√r + 1e-8), −c, c)

    with the mean gradient g of a minibatch and r = 0 at first, as in the authors' code.
    `C.rmsprop` can't be used. It adds 1e-6 under the root, which is more than the squared gradients
    of clipped weights, so that its steps shrink with the gradient. It also adapts step sizes by
    signs.

    clip: c, or None. CNTK does not save r.
    """

    def __init__(self, parameters, learning_rate, batch_size, clip=None):
        self.squares = []
        self.rate, self.batch_size, self.clip = learning_rate, batch_size, clip
        # CNTK counts the arguments, so a bound method does not work.
        self.learner = C.universal(lambda w, g: self._update(w, g), parameters)

    def _update(self, parameters, gradients):
        """Builds the update. CNTK sums gradients over the minibatch."""
        updates = []
        for w, summed in zip(parameters, gradients):
            g = summed / self.batch_size
            r = C.constant(0, shape=w.shape, dtype=w.dtype)
            self.squares.append(r)
            updated = w - self.rate * g / (C.sqrt(C.assign(r, 0.99 * r + 0.01 * g * g)) + 1e-8)
            if self.clip is not None:
                updated = C.clip(updated, -self.clip, self.clip)
            updates.append(C.assign(w, updated))
        return C.combine(updates)

    def arrays(self):
        return {'squares_%d' % i: r.value for i, r in enumerate(self.squares)}

    def restore(self, arrays):
        for i, r in enumerate(self.squares):
            r.value = np.ascontiguousarray(arrays['squares_%d' % i])
