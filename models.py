"""The two networks: a DCGAN generator and a critic.

Both are CNTK Functions of one argument, the latent or the image, and of a second one if there are
labels: call one on Functions or Variables and get its graph, with the same parameters each time.

    DCGAN: Radford, Metz, Chintala 2016, https://arxiv.org/abs/1511.06434
    Layer normalisation in the critic: Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028,
    section 4. The penalty is on the gradient of each sample's own score, and batch normalisation
    would make that score depend on the other samples. Objectives without a penalty use it.
    Spectral normalisation: Miyato et al. 2018, https://arxiv.org/abs/1802.05957.
"""

from wgan.machine.cntk import C
from wgan.datasets.images import check_image_size
from wgan.training.layers import (
    PowerIteration, SETTLED, add_bias, batch_normalization, convolution, convolution_transpose,
    label_planes, layer_normalization, leaky_relu, spectral_normalization)

import numpy as np


def generator(image_size, latent_size=100, width=32, seed=None, labels=0, colours=3):
    """Latent (latent_size,) ~ N(0, 1) → RGB image (3, image_size, image_size) in [-1, 1].

    width: channels of the last hidden layer. Each layer before it has twice as many: 1024 … 32 at
        256 pixels and width 32.
    seed: decides the initial weights; None: different weights each time.
    labels: number of labels. With labels, 'label', (labels,), is a second input, joined to the
        latent (Mirza and Osindero 2014, https://arxiv.org/abs/1411.1784, section 3.2).
    colours: 1 for grey images, (1, image_size, image_size).
    Raises ValueError for an image size that is not in IMAGE_SIZES.
    """
    check_image_size(image_size)
    initializers = _initializers(seed)
    channels, size = width * image_size // 8, 4

    latent = C.input_variable(latent_size, name='latent')
    if labels:
        latent = C.splice(latent, C.input_variable(labels, name='label'))
    # The shapes are those at 256 pixels and width 32.
    h = C.layers.Dense((channels, 4, 4), bias=False,                        # 1024 × 4 × 4
                       init=next(initializers))(latent)
    h = C.relu(batch_normalization(h))
    while size < image_size // 2:
        # 512 × 8 × 8, 256 × 16 × 16, 128 × 32 × 32, 64 × 64 × 64, 32 × 128 × 128
        channels, size = channels // 2, size * 2
        h = _upsample(h, next(initializers), channels)
    image = C.layers.ConvolutionTranspose2D(                                # 3 × 256 × 256
        (5, 5), colours, strides=2, pad=True, output_shape=(image_size, image_size),
        init=next(initializers), activation=C.tanh, name='image')(h)
    return image


def critic(image_size, width=32, seed=None, normalization='layer', labels=0, colours=3):
    """RGB image (3, image_size, image_size) in [-1, 1] → score (1,), any real number.

    width: channels of the first layer. Each layer after it has twice as many: 32 … 1024 at 256
        pixels and width 32.
    seed: decides the initial weights; None: different weights each time.
    normalization: 'layer' or 'batch', of all layers except the first; or 'spectral', of the weights
        of all layers.
    labels: number of labels. With labels, 'label', (labels,), is a second input. The first
        convolution sees a plane for each label beside the image: 1 for this label, else 0.
    colours: 1 for grey images, (1, image_size, image_size).
    Raises ValueError for an image size that is not in IMAGE_SIZES.
    """
    check_image_size(image_size)
    initializers = _initializers(seed)
    normalize = {'layer': lambda h: layer_normalization(h, bias='b'),
                 'batch': lambda h: batch_normalization(add_bias(h, 'b')),
                 'spectral': lambda h: add_bias(h, 'b')}[normalization]
    spectral = normalization == 'spectral'
    channels, size = width, image_size // 2

    image = C.input_variable((colours, image_size, image_size), name='image')
    h = _downsample(image, next(initializers), channels, spectral)
    if labels:
        # The sum of two convolutions equals one convolution of the joined channels.
        planes = label_planes(C.input_variable(labels, name='label'), image)
        h = h + _downsample(planes, next(initializers), channels, spectral)
    h = leaky_relu(add_bias(h, 'b'))                                        # 32 × 128 × 128
    while size > 4:
        # 64 × 64 × 64, 128 × 32 × 32, 256 × 16 × 16, 512 × 8 × 8, 1024 × 4 × 4
        channels, size = channels * 2, size // 2
        h = leaky_relu(normalize(_downsample(h, next(initializers), channels, spectral)))
    if not spectral:
        return C.layers.Dense(1, init=next(initializers), name='score')(h)
    weights = C.parameter(h.shape + (1,), init=next(initializers), dtype=h.dtype, name='W')
    score = C.plus(C.times(h, spectral_normalization(weights, 1), output_rank=1),
                   C.parameter(1, init=0, dtype=h.dtype, name='b'), name='score')
    PowerIteration(score).run(SETTLED)
    return score


def networks(image_size, latent_size, width, normalization, rng, labels=0, colours=3):
    """Returns (generator, critic). The RandomState rng decides the initial weights."""
    return (generator(image_size, latent_size, width, rng.randint(2 ** 31), labels, colours),
            critic(image_size, width, rng.randint(2 ** 31), normalization, labels, colours))


def _upsample(h, weights, channels):
    kernel = C.parameter((h.shape[0], channels, 5, 5), init=weights, dtype=h.dtype, name='W')
    return C.relu(batch_normalization(convolution_transpose(kernel, h)))


def _downsample(h, weights, channels, spectral):
    kernel = C.parameter((channels, h.shape[0], 3, 3), init=weights, dtype=h.dtype, name='W')
    return convolution(spectral_normalization(kernel, channels) if spectral else kernel,
                       h)


def _initializers(seed):
    """Yields initializers, each of N(0, 0.02), without end.

    Each has its own seed. Otherwise, after `C.cntk_py.set_fixed_random_seed`, CNTK would give every
    layer the same numbers.
    """
    rng = np.random.RandomState(seed)
    while True:
        yield C.initializer.normal(0.02, seed=rng.randint(2 ** 31))
