"""What bench/gpu_check.py computes, on one device in a process of its own. In parts: PARTS.

A part yields (what, which, values): `which` is one of the arrays that `what` gives. Those of both
devices are compared, number by number; `Whole` ones as a whole, where rounding turns the sign of
single numbers: of what a ReLU gets, and of Adam's first steps, which have the same size for small
gradients as for large ones. `Own` values are two arrays of this device that should be the same.
"""

import os
import time
from collections import namedtuple

import numpy as np

from wgan.runs import checkpoint
from wgan.training import layers
from wgan.training.augmentation import Augmentation
from wgan.machine.cntk import C
from wgan.machine.device import select_device
from wgan.generators.evaluation import evaluate_in_training
from wgan.scores.image_network import ImageNetwork, open_network
from wgan.training.objectives import OBJECTIVES, wgan_gp
from wgan.training.options import objective_settings, parse
from wgan.training.updates import Updates
import models

BATCHES = (16, 16, 16, 7, 16)           # of the calls of a graph; the last again like the third
UPDATES = 3
Own, Whole = namedtuple('Own', 'values expected'), namedtuple('Whole', 'values')


def draw(seed, *shape):
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


def calls(part, graph, wrap=lambda values: values, draws=()):
    """Values and gradients of a graph, several times.

    draws: inputs that need other numbers than evenly from -1 to 1, and functions of a RandomState
    and as many samples.

    cuDNN computes the first call with an algorithm that needs no memory, tries out all that it has
    in the second, and keeps the fastest from the third on, until there is another batch size.
    """
    wrt = list(graph.parameters) + [v for v in graph.arguments if v.needs_gradient]
    third = None
    for number, count in enumerate(BATCHES, start=1):
        data = {v: draw(number if count != BATCHES[2] else 0, count, *v.shape)
                for v in graph.arguments}
        data.update((v, draws[v](np.random.RandomState(count), data[v])) for v in draws)
        gradients, values = graph.grad(data, wrt=wrt, outputs=[graph.output], as_numpy=True)
        gradients = gradients if isinstance(gradients, dict) else {wrt[0]: gradients}
        arrays = dict({'gradient %d' % i: np.asarray(gradients[v]) for i, v in enumerate(wrt)},
                      values=np.asarray(values))
        in_use = {'values as it is used': graph.eval(data)}         # not as it is trained
        for name, array in dict(arrays, **in_use).items():
            yield part, 'call %d (%d samples), %s' % (number, count, name), wrap(array)
        if number == 3:
            third = arrays
    for name, array in arrays.items():
        yield part + ', the same call again', name, Own(wrap(array), wrap(third[name]))


def single_operations(options):
    def x(*shape):
        return C.input_variable(shape, needs_gradient=True)

    def kernel(*shape):
        return C.parameter(shape, init=draw(1, *shape))

    for size in (8, 32):
        yield from calls('convolution, %d pixels' % size,
                         layers.convolution(kernel(16, 8, 3, 3), x(8, size, size)))
        yield from calls('transposed convolution, %d pixels' % size, layers.convolution_transpose(
            kernel(16, 8, 5, 5), x(16, size // 2, size // 2)))
    for part, graph in (
            ('layer normalisation', layers.layer_normalization(x(8, 16, 16), bias='b')),
            ('leaky ReLU', layers.leaky_relu(x(8, 16, 16))),
            ('bias', layers.add_bias(x(8, 16, 16), 'b')),
            ('sum', C.reduce_sum(x(8, 16, 16), axis=(0, 1, 2))),
            ('mean', C.reduce_mean(x(8, 16, 16), axis=(0, 1, 2))),
            ('product', C.times(x(64), kernel(64, 32))),
            ('tanh', C.tanh(x(8, 16, 16))),
            ('softplus', C.softplus(x(8)))):
        yield from calls(part, graph)


def batch_normalization(options):
    """As in training: values, gradients, and the statistics that it leaves behind."""
    part, x = 'batch normalisation', C.input_variable((8, 16, 16), needs_gradient=True)
    graph = layers.batch_normalization(x)
    yield from calls(part, graph)
    for number, count in enumerate(BATCHES):
        data = 3 * draw(number, count, *x.shape) + 1
        yield part, 'training, call %d' % number, evaluate_in_training(graph, {x: data})
        for i, statistic in enumerate(graph.constants):
            yield part + ', statistics', '%d after call %d' % (i, number), statistic.value
    yield part, 'afterwards', graph.eval({x: data})


def networks(options):
    """Of each size, with three passes through the critic and the gradient of one of them."""
    for size in options.sizes:
        generator = models.generator(size, width=options.width, seed=1)
        critic = models.critic(size, width=options.width, seed=2)
        yield from calls('generator, %d pixels' % size, generator, Whole)
        real, fake = (C.input_variable((3, size, size)) for _ in range(2))
        losses = wgan_gp(generator, critic, generator.arguments[0], real, fake)
        yield from calls('critic loss with its penalty, %d pixels' % size, losses.critic_loss,
                         Whole)
        yield from calls('generator loss, %d pixels' % size, losses.generator_loss, Whole)


def augmentation(options):
    """Of images of each size: what is drawn is the same on both devices."""
    for size in options.sizes:
        image = C.input_variable((3, size, size), needs_gradient=True)
        change = Augmentation(image.shape)
        yield from calls('augmentation, %d pixels' % size, change(image), draws=change.draws)


def overwritten_gradient(options):
    """CNTK overwrites the gradient of what a transposed convolution takes; the project's
    gradient() sees to it that nothing else uses that.
    """
    x, kernel = C.input_variable((2, 8, 8)), C.parameter((2, 2, 3, 3), init=draw(1, 2, 2, 3, 3))
    h = C.tanh(x * C.parameter((2, 1, 1), init=draw(2, 2, 1, 1)))
    score = C.reduce_sum(C.square(h + C.convolution_transpose(
        kernel, h, auto_padding=[False, True, True])), axis=(0, 1, 2))
    from symbolic_gradient import gradient              # here, since it loads CNTK
    penalty = C.reduce_sum(C.square(gradient(score, x)), axis=(0, 1, 2))
    yield from calls('penalty through a transposed convolution', penalty)


def updates(options):
    """All objectives: what a few iterations change of the weights, statistics and averages."""
    for objective, trained, state in trainings(options):
        at_first = state()
        for name, value in at_first.items():
            yield objective + ', initial weights', name, value
        for number in range(UPDATES):
            iterate(trained, number)
            yield (objective + ', losses', 'iteration %d' % number,
                   Whole(np.array(trained.row())))
        for name, value in state().items():
            yield ('%s, %s' % (objective, name.rpartition(' ')[0]), name,
                   Whole(value - at_first[name]))


def checkpoints(options):
    """A checkpoint gives back what was saved, also on the other device, and goes on as before."""
    for objective, trained, state in trainings(options):
        name_of_part, folder = objective + ', checkpoint', os.path.join(options.folder, objective)
        iterate(trained, 0)
        saved, continued = None, []
        if not os.path.isdir(folder):                       # the second device reads the first's
            checkpoint.save(folder, 1, trained.trainers, trained.arrays(), {'settings': {}})
            saved = state()
            iterate(trained, 1)
        for _ in range(2):
            trained.restore(checkpoint.restore(os.path.join(folder, checkpoint.name_of(1)),
                                               trained.trainers))
            restored = state()
            trained.rng.seed(5)
            iterate(trained, 1)
            continued.append({name: value - restored[name] for name, value in state().items()})
        for name in restored:
            if saved:
                yield name_of_part + ' as it was saved', name, Own(restored[name], saved[name])
            yield name_of_part + ' restored', name, restored[name]
            yield (name_of_part + ' continued, ' + name.rpartition(' ')[0], name,
                   Whole(continued[0][name]))
            yield (name_of_part + ' continued again', name,
                   Own(Whole(continued[1][name]), Whole(continued[0][name])))


def trainings(options):
    """(objective, its Updates, a function for its state) of all objectives, the same at first on
    each device. The state is all weights and statistics, by name.
    """
    for objective, about in OBJECTIVES.items():
        defaults = parse(['--objective', objective, '--image-size', '32'])
        rng = np.random.RandomState(7)
        trained = Updates(*models.networks(32, 10, options.width, about.normalization, rng),
                          about, 16, rng, ema=defaults.ema, **objective_settings(defaults))
        parameters = {}
        for name, network in (('generator', trained.generator), ('critic', trained.critic),
                              ('average', trained.average.generator)):
            kinds = {'weights': network.parameters}
            for statistic in ('mean', 'variance'):
                kinds[statistic] = [p for p in network.constants
                                    if p.name == 'aggregate_' + statistic]
            if name == 'critic' and about.normalization == 'batch':
                # The biases that a batch normalisation takes away again have rounding for a
                # gradient, Adam makes steps of it, and the means follow.
                kinds['weights'] = [p for p in network.parameters if p.name != 'b']
                del kinds['mean']
            parameters.update(('%s %s %d' % (name, statistic, i), p)
                              for statistic, group in kinds.items() for i, p in enumerate(group))
        yield objective, trained, lambda: {name: p.value for name, p in parameters.items()}


def iterate(trained, number):
    for i in range(2):
        trained.update_critic(draw(10 * number + i, 16, 3, 32, 32))
    trained.update_generator(number + 1)


def scoring(options):
    """Features and probabilities of an image network: a small one, or --inception."""
    images = np.uint8(127.5 * draw(0, 20, 40, 40, 3) + 127.5)
    if options.inception:
        network = open_network(options, options.device)
    else:
        path = os.path.join(options.folder, 'classifier.onnx')
        if not os.path.exists(path):
            with C.default_options(init=C.initializer.normal(0.2, seed=4), activation=C.relu):
                h = C.layers.Sequential([
                    C.layers.Convolution2D((3, 3), 16, pad=True),
                    C.layers.MaxPooling((3, 3), 2),
                    C.layers.Convolution2D((1, 7), 16, pad=True),
                    C.layers.AveragePooling((3, 3), 1)])(C.input_variable((3, 32, 32)))
                pool = C.layers.GlobalAveragePooling()(h)
                logits = C.layers.Dense(10, activation=None)(pool)
            C.combine([C.alias(pool, name='pool'), C.alias(logits, name='logits')]).save(
                path, format=C.ModelFormat.ONNX)
        network = ImageNetwork(path, 'cntk', options.device, features='pool_Output',
                               classes='logits_Output')
    for call in range(3):
        for name, values in zip(('features', 'probabilities'), network(images)):
            yield 'image network', '%s, call %d' % (name, call), values


PARTS = (single_operations, batch_normalization, networks, augmentation, overwritten_gradient,
         updates, checkpoints, scoring)


def compute(options):
    """The parts of the options, on their device. Returns {(what, which): values}."""
    start = time.time()
    select_device(options.device)
    print('%s, CNTK %s, ready after %.1f s' % (
        C.use_default_device(), C.__version__, time.time() - start), flush=True)
    results = {}
    for part in [part for part in PARTS if part.__name__ in options.parts]:
        begin = time.time()
        for name, which, values in part(options):
            assert (name, which) not in results, (name, which)
            results[name, which] = values
        print('%s: %.1f s' % (part.__name__.replace('_', ' '), time.time() - begin), flush=True)
    return results
