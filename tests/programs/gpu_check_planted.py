"""bench/gpu_check.py with an error in the first of the two devices: PLANTS[the variable PLANT].

The variable OBJECTIVES, if it is set, names the only ones that are trained.
"""

import functools
import os
import sys

PLANT = os.environ['PLANT']
FIRST = '--turn' in sys.argv and sys.argv[sys.argv.index('--turn') + 1] == '0'
if PLANT == 'other kernels' and FIRST:
    os.environ['WGAN_KERNELS'] = 'mkl'              # no error: it only rounds in another way

from wgan.machine.command_line import run  # noqa: E402
from bench import gpu_check, gpu_parts  # noqa: E402
from wgan.runs import checkpoint  # noqa: E402
from wgan.scores import image_network  # noqa: E402
from wgan.training import layers, moving_average, optimizers  # noqa: E402
from wgan.machine.cntk import C  # noqa: E402
import models  # noqa: E402
import symbolic_gradient  # noqa: E402

import numpy as np  # noqa: E402

gpu_check.PROGRAM = os.path.abspath(__file__)


def changed(owner, name, change):
    """Let a function give what `change` makes of its result; it also gets the arguments."""
    real = getattr(owner, name)

    def wrong(*arguments, **settings):
        return change(real(*arguments, **settings), *arguments)
    setattr(owner, name, wrong)


def gradients_where(condition):
    """Gradients are a tenth too large where condition(number of the call, size of the batch)."""
    seen = {}

    def larger(found, graph, data, *_):
        seen[graph.uid] = seen.get(graph.uid, 0) + 1
        gradients, values = found
        if condition(seen[graph.uid], len(next(iter(data.values()))), data):
            gradients = ({v: 1.1 * g for v, g in gradients.items()} if isinstance(gradients, dict)
                         else 1.1 * gradients)
        return gradients, values
    changed(C.Function, 'grad', larger)


def other_statistics():
    def wrong(x):
        return C.layers.BatchNormalization(map_rank=1, normalization_time_constant=10)(x)
    layers.batch_normalization = models.batch_normalization = wrong


def longer_steps(optimizer):
    real = optimizer.__init__

    @functools.wraps(real)
    def wrong(self, parameters, learning_rate, **settings):
        real(self, parameters, 1.2 * learning_rate, **settings)
    optimizer.__init__ = wrong


def loses_on_restoring(state, path, trainers):
    p = trainers['critic'].model.parameters[0]
    p.value = p.value + 1e-3
    return state


def overwriting():
    symbolic_gradient._overwritten = lambda *_, **__: set()


PLANTS = {
    'other kernels': lambda: None,
    'convolution': lambda: changed(layers, 'convolution', lambda y, *_: 1.01 * y),
    'transposed convolution': lambda: changed(
        layers, 'convolution_transpose', lambda y, *_: C.reshape(1.01 * y, y.shape)),
    'layer normalisation': lambda: changed(layers, 'layer_normalization', lambda y, *_: y + 0.01),
    'translation': lambda: changed(C, 'roipooling', lambda y, *_: 1.01 * y),
    'third call': lambda: gradients_where(lambda call, count, data: call == 3),
    'other batch size': lambda: gradients_where(lambda call, count, data: count == 7),
    '64 pixels': lambda: gradients_where(lambda call, count, data: any(
        np.shape(values)[-1] == 64 for values in data.values())),
    'fifth call': lambda: gradients_where(lambda call, count, data: call == 5),
    'statistics': other_statistics,
    'overwritten': overwriting,
    'adam': lambda: longer_steps(optimizers.Adam),
    'rmsprop': lambda: longer_steps(optimizers.RmsProp),
    'average': lambda: changed(moving_average.MovingAverage, '__init__', lambda _, self, *__:
                               setattr(self, 'decay', 0.05)),
    'checkpoint': lambda: changed(checkpoint, 'restore', loses_on_restoring),
    'scoring': lambda: changed(image_network, 'scale_images', lambda x, *_: 1.01 * x),
}
if 'OBJECTIVES' in os.environ:
    gpu_parts.OBJECTIVES = {name: about for name, about in gpu_parts.OBJECTIVES.items()
                            if name in os.environ['OBJECTIVES'].split()}
if FIRST:
    PLANTS[PLANT]()
run(gpu_check.main)
