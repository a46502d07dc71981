"""Networks and losses with a planted fault, and sound ones, for tests/test_doctor.py.

Each function makes one anew and returns a loss or network, or (loss, learners). The name of a
planted one's fault is that of cntk_doctor.CHECKS.
"""

import os

import models
import text_models
from symbolic_gradient import gradient

import cntk as C
import numpy as np

L = C.layers
F32 = np.float32


def image(channels=2, size=8, **settings):
    return C.input_variable((channels, size, size), **settings)


def features(size=8, channels=3):
    """What a first convolution gives: (channels, size, size)."""
    return C.tanh(L.Convolution2D((3, 3), channels, pad=True)(image(size=size)))


def upsample(channels=3, strides=1):
    return L.ConvolutionTranspose2D((3, 3), channels, strides=strides, pad=True)


def adam(parameters, **settings):
    settings = dict(dict(lr=1e-3, momentum=0.9, variance_momentum=0.999,
                         minibatch_size=C.learners.IGNORE), **settings)
    return C.adam(parameters, **settings)


def rmsprop(parameters, **settings):
    return C.rmsprop(parameters, lr=1e-4, gamma=0.9, inc=1.1, dec=0.9, max=1.1, min=0.9,
                     **settings)


def trained_by(make_learner, network=None):
    loss = C.reduce_mean(C.square(network or L.Dense(1)(L.Dense(6, activation=C.tanh)(image()))))
    return loss, [make_learner(loss.parameters)]


def critic(normalise=lambda h: h, size=8):
    """A critic as a function of an image, the same parameters each time."""
    first, last = L.Convolution2D((3, 3), 4, strides=2, pad=True), L.Dense(1)
    layer = normalise
    return lambda x: last(C.leaky_relu(layer(first(x))))


def fed(function, term=lambda p: 10 * p, normalise=lambda h: h):
    """A Wasserstein loss with a penalty, or what it is made of, fed as an input."""
    network, penalty = critic(normalise), C.input_variable(1)
    return network(image()) - network(image()) + function(term(penalty))


def finite_difference(normalise, between=lambda x: x + 0.01 * image(), scale=100):
    network, x = critic(normalise), image()
    slope = scale * (network(between(x)) - network(x))
    return network(image()) - network(image()) + 10 * C.square(slope - 1)


def gradient_penalty(normalise):
    network, x = critic(normalise), image()
    squares = C.square(gradient(network(x), x))
    return network(image()) - network(image()) + 10 * C.square(
        C.sqrt(C.reduce_sum(squares) + 1e-12) - 1)


def batch_norm_by_hand(h):
    count = C.reduce_sum(C.ones_like(C.reduce_sum(h)), axis=C.Axis.default_batch_axis())
    return h - C.reduce_sum(h, axis=C.Axis.default_batch_axis()) / C.reshape(count, (1, 1, 1))


def skip(join, before=lambda h: h, after=lambda u: u):
    h = features()
    return join(before(h), after(upsample()(h)))


def one_seed(layers):
    """The network of layers() that begins as after CNTK's switch for one seed."""
    C.cntk_py.set_fixed_random_seed(1)
    try:
        return with_values(L.Sequential(layers())(image()), None)
    finally:
        C.cntk_py.reset_random_seed(0)


def with_values(network, values, where=lambda p: True):
    """values: None draws those that the initializers give, now."""
    for p in filter(where, network.parameters):
        p.value = p.value if values is None else np.full(p.shape, values, p.dtype)
    return network


def trained_batch_norm(count):
    network = L.BatchNormalization(map_rank=1)(features())
    gain = next(p for p in network.parameters if p.name == 'scale')
    gain.value = np.array([1, 2, 3], F32).reshape(gain.shape)
    for constant in network.constants:
        if constant.shape == () and count:
            constant.value = np.array(count, F32)
    return network


def forgotten(layers, omitted):
    """A network of layers, of which the parameters of some are given to no learner."""
    network = C.combine([C.reduce_sum(C.square(L.Sequential(layers)(image())))])
    kept = [p for p in network.parameters if not omitted(p)]
    return network, [adam(kept)]


def duplicated(h):
    return C.splice(h, h, axis=0)


PLANTED = [(check, make) for check, makes in {
    'transposed convolution': [
        lambda: skip(lambda h, u: h + u),
        lambda: skip(lambda h, u: u * h),
        lambda: skip(lambda h, u: C.tanh(u) + h),
        lambda: (lambda h: upsample(2, 2)(h) + upsample(2, 2)(h))(features(4)),
        lambda: (lambda h: L.Dense(1)(upsample()(h)) + C.reduce_sum(h))(features()),
    ],
    'kernel smaller than stride': [
        lambda: L.Convolution2D((1, 1), 32, strides=3, pad=True)(C.input_variable((1, 9, 4))),
        lambda: L.Convolution2D((1, 1), 32, strides=3, pad=True)(
            L.Convolution2D((3, 2), 1, pad=True)(C.input_variable((1, 9, 4)))),
    ],
    'equal maxima': [
        lambda: C.reduce_max(duplicated(features()), axis=0),
        lambda: C.reduce_min(duplicated(L.Dense(4)(image())), axis=0),
        lambda: C.reduce_max(duplicated(L.Dense(4)(image()))),
    ],
    'product summed over the batch': [
        lambda: (lambda h: C.times(h, C.reshape(h, (5, 1))))(L.Dense(5)(image())),
        lambda: C.times(L.Dense(5)(image()), C.input_variable((5, 1))),
    ],
    'softmax over all numbers': [
        lambda: C.softmax(L.Convolution2D((1, 1), 5)(image())),
        lambda: L.Dense((4, 3), activation=C.softmax)(image()),
        lambda: C.hardmax(L.Dense((4, 3))(image())),
    ],
    'layer normalisation by column': [
        lambda: L.LayerNormalization()(features()),
        lambda: L.Sequential([L.Convolution2D((3, 3), 4), L.MaxPooling((2, 2), (2, 2)),
                              C.relu, L.LayerNormalization(name='user'), L.Dense(1)])(image()),
        lambda: L.LayerNormalization()(L.Convolution1D(3, 4, pad=True)(C.input_variable((2, 9)))),
    ],
    'fed penalty': [
        lambda: fed(lambda p: p),
        lambda: fed(C.reduce_mean, lambda norm: 10 * C.square(norm - 1)),
        lambda: (lambda loss: (loss, [adam(loss.parameters)]))(fed(lambda p: p)),
    ],
    'samples mixed under a penalty': [
        lambda: fed(lambda p: p, normalise=L.BatchNormalization(map_rank=1)),
        lambda: finite_difference(L.BatchNormalization(map_rank=1)),
        lambda: gradient_penalty(batch_norm_by_hand),
    ],
    'one random number for a batch': [
        lambda: (lambda e: critic()(e * image() + (1 - e) * image()))(C.random.uniform((1,))),
        lambda: L.Dense(3)(features() + 0.1 * C.random.normal((3, 8, 8))),
        lambda: L.Dense(3)(C.splice(C.reshape(features(), (192,)), C.random.normal((5,)))),
    ],
    'same initial numbers': [
        lambda: one_seed(lambda: [L.Dense(10), L.Dense(10), L.Dense(3)]),
        lambda: one_seed(lambda: [L.Convolution2D((3, 3), 4, init=C.normal(0.02))
                                  for _ in range(2)]),
    ],
    'no running statistics': [lambda: trained_batch_norm(0)],
    'NaN': [
        lambda: with_values(L.Dense(2)(image()), np.nan),
        lambda: with_values(L.Dense(2)(image()), np.inf, lambda p: p.shape == (2,)),
    ],
    'gradient through a loop': [
        lambda: L.Fold(L.LSTM(4))(C.sequence.input_variable(3, needs_gradient=True)),
    ],
    'sum behind stop_gradient': [
        lambda: (lambda w: image() * w * C.stop_gradient(image() * w + w))(
            C.parameter((2, 8, 8), init=0.5)),
    ],
    'no batch axis': [
        lambda: L.Convolution2D((3, 3), 4)(image(dynamic_axes=[])),
        lambda: upsample(2)(C.parameter((2, 8, 8), init=0.1)),
        lambda: L.BatchNormalization(map_rank=1)(image(dynamic_axes=[])),
    ],
    'parameter without a learner': [
        lambda: forgotten([L.Dense(5), L.Dense(5), L.Dense(2)], lambda p: p.shape == (5, 5)),
        lambda: forgotten([L.Dense(5, activation=C.tanh), L.Dense(2)], lambda p: p.shape == (5,)),
    ],
    'learner without effect': [
        lambda: (lambda h: (L.Dense(1)(C.stop_gradient(h)), [adam(h.parameters)]))(features()),
        lambda: trained_by(lambda p: adam(p, lr=0)),
    ],
    'step divided by the batch': [
        lambda: trained_by(lambda p: adam(p, minibatch_size=None)),
        lambda: trained_by(lambda p: adam(p, minibatch_size=None, unit_gain=False, momentum=0.5)),
        lambda: trained_by(lambda p: adam(p, minibatch_size=16)),
        lambda: trained_by(lambda p: rmsprop(p, need_ave_multiplier=False)),
    ],
    'beta2 for one sample': [
        lambda: trained_by(lambda p: C.adam(p, lr=1e-3, momentum=0.9,
                                            minibatch_size=C.learners.IGNORE)),
        lambda: trained_by(lambda p: C.adam(p, lr=1e-3, momentum=0.0,
                                            minibatch_size=C.learners.IGNORE)),
    ],
    'RMSProp epsilon': [
        lambda: trained_by(rmsprop),
        lambda: trained_by(lambda p: rmsprop(p, minibatch_size=C.learners.IGNORE)),
    ],
}.items() for make in makes]


def project_networks():
    for size in (32, 64):
        yield lambda size=size: models.generator(size, width=2, seed=1)
        yield lambda size=size: models.critic(size, width=2, seed=1)
        yield lambda size=size: models.critic(size, width=2, seed=1, normalization='batch')
    yield lambda: models.generator(32, width=2, seed=1, labels=3)
    yield lambda: models.critic(32, width=2, seed=1, labels=3)
    yield lambda: text_models.generator(12, 8, width=6, seed=1)
    yield lambda: text_models.critic(12, 8, width=6, seed=1)
    folder = os.path.join(os.path.dirname(models.__file__), 'pretrained')
    for name in sorted(os.listdir(folder)):
        if name.endswith('.model'):
            yield lambda name=name: C.Function.load(os.path.join(folder, name))


def classifier(*layers):
    """Its loss, with learners that are right."""
    network = L.Sequential(list(layers) + [L.Dense(3)])(image())
    loss = C.cross_entropy_with_softmax(network, C.input_variable(3))
    return loss, [adam(loss.parameters)]


def sequence_network(*layers):
    return L.Sequential(list(layers))(C.sequence.input_variable(5))


def generator_and_critic(which):
    """A GAN's two losses have parameters that the learner of the other trains."""
    network, z = critic(), C.input_variable(4)
    fake = L.Sequential([L.Dense((2, 4, 4)), L.BatchNormalization(map_rank=1), C.relu,
                         upsample(2, 2)])(z)
    if which == 'generator':
        return -network(fake), [adam(fake.parameters)]
    score = network(image())
    return network(C.stop_gradient(fake)) - score, [adam(score.parameters)]


SOUND = list(project_networks()) + [
    # what is nearest to each fault, in the order of PLANTED
    lambda: skip(lambda h, u: C.splice(C.tanh(C.tanh(h)), u, axis=0), before=C.tanh),
    lambda: (lambda h: C.reshape(h, h.shape) + upsample()(C.reshape(h, h.shape)))(features()),
    lambda: L.Sequential([upsample(3, 2), C.relu, upsample(2, 2)])(features(4)),
    lambda: L.Convolution2D((1, 1), 4, strides=2)(features()),
    lambda: L.Convolution2D((1, 1), 4, strides=2, pad=True)(image()),
    lambda: C.reduce_max(features(), axis=(1, 2)),
    lambda: C.reduce_max(C.relu(features())),
    lambda: L.Dense(2)(L.GlobalMaxPooling()(C.relu(features()))),
    lambda: (lambda h: C.times(C.reshape(h, (1, 5)), C.reshape(h, (5, 1))))(L.Dense(5)(image())),
    lambda: (lambda h: C.times_transpose(h, h))(L.Dense(5)(image())),
    lambda: C.softmax(L.Convolution2D((1, 1), 5)(image()), axis=0),
    lambda: L.Dense(4, activation=C.softmax)(image()),
    lambda: C.softmax(L.Dense((4, 1, 1))(image())),
    lambda: L.LayerNormalization()(L.Dense(6)(image())),
    lambda: L.BatchNormalization(map_rank=1)(features()) + C.parameter((3, 1, 1), init=1),
    lambda: features() * C.parameter((8,), init=1),
    lambda: gradient_penalty(lambda h: h),
    lambda: critic()(image()) - critic()(image()),
    lambda: C.squared_error(L.Dense(1)(image()), C.input_variable(1)),
    lambda: C.input_variable(1) * C.squared_error(L.Dense(1)(image()), C.input_variable(1)),
    lambda: C.binary_cross_entropy(L.Dense(1, activation=C.sigmoid)(image()), C.input_variable(1)),
    lambda: C.relu(C.reduce_sum(C.abs(image())) + critic()(image())),
    lambda: finite_difference(lambda h: h),
    lambda: critic(L.BatchNormalization(map_rank=1))(image()),
    lambda: C.square(critic(L.BatchNormalization(map_rank=1))(image())
                     - critic(L.BatchNormalization(map_rank=1))(image()) - 1),
    lambda: (lambda n: C.square(n(image()) - n(image()) - 1))(
        critic(L.BatchNormalization(map_rank=1))),
    lambda: (lambda x: critic()(C.random.uniform_like(x) * x))(image()),
    lambda: L.Dense(3)(L.Dropout(0.3)(features())),
    lambda: C.times(L.Dense(4)(image()), C.parameter((4, 2)) * (1 + C.random.normal((4, 2)))),
    lambda: L.Sequential([L.Dense(10), L.Dense(10), L.Dense(3)])(image()),
    lambda: L.Sequential([L.Convolution2D((4, 4), 3, init=C.initializer.bilinear(4, 4)),
                          L.Convolution2D((4, 4), 3, init=C.initializer.bilinear(4, 4))])(image(3)),
    lambda: trained_batch_norm(100),
    lambda: L.BatchNormalization(map_rank=1)(features()),
    lambda: sequence_network(L.Recurrence(L.LSTM(4)), C.sequence.last, L.Dense(2)),
    lambda: sequence_network(L.Embedding(4), L.Recurrence(L.GRU(4), go_backwards=True),
                             L.Dense(3, activation=C.softmax)),
    lambda: sequence_network(L.Convolution((3,), 4, sequential=True, pad=True),
                             L.Fold(L.RNNStep(4))),
    lambda: (lambda w: image() * w * C.stop_gradient(C.tanh(image() * w + w)))(
        C.parameter((2, 8, 8), init=0.5)),
    lambda: C.convolution(C.parameter((4, 2, 3, 3), init=C.glorot_uniform()), image()),
    lambda: C.pooling(image(dynamic_axes=[]), C.MAX_POOLING, (2, 2), (2, 2)),
    lambda: classifier(L.Dense(5, activation=C.tanh)),
    lambda: classifier(L.Convolution2D((3, 3), 4), L.BatchNormalization(map_rank=1), C.tanh,
                       L.AveragePooling((2, 2), (2, 2)), L.Dropout(0.5)),
    lambda: classifier(L.For(range(2), lambda: [L.Convolution2D((3, 3), 4, pad=True), C.elu]),
                       L.MaxPooling((2, 2), (2, 2))),
    lambda: classifier(L.ResNetBlock(L.Convolution2D((3, 3), 2, pad=True)), C.sigmoid),
    lambda: classifier(L.ResNetBlock(L.Dense((2, 8, 8), activation=C.tanh)), C.softplus),
    lambda: generator_and_critic('generator'),
    lambda: generator_and_critic('critic'),
    lambda: forgotten([L.Dense(5), L.Dense(4), L.Dense(2)], lambda p: 5 in p.shape),
    lambda: trained_by(lambda p: C.sgd(p, lr=0.1)),
    lambda: trained_by(lambda p: C.momentum_sgd(p, lr=0.1, momentum=0.9)),
    lambda: trained_by(lambda p: C.nesterov(p, lr=0.1, momentum=0.9)),
    lambda: trained_by(lambda p: C.adagrad(p, lr=0.1)),
    lambda: trained_by(C.adadelta),
    lambda: trained_by(adam),
    lambda: trained_by(lambda p: adam(p, momentum=0.0, variance_momentum=0.9)),
    lambda: trained_by(lambda p: C.adam(
        p, lr=C.learning_parameter_schedule_per_sample(1e-3), momentum=0.9,
        variance_momentum=0.999)),
    lambda: trained_by(lambda p: C.universal(lambda w, g: C.combine(
        [C.assign(a, a - 0.1 * b) for a, b in zip(w, g)]), p)),
]
