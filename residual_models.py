"""The two networks of the WGAN-GP paper: residual networks, for 32 pixels and for larger images.

They are those that the authors of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028,
published with the paper: of gan_cifar_resnet.py for 32 pixels, of gan_64x64.py (GoodGenerator and
GoodDiscriminator) for 64. Those for 128 and 256 pixels follow from the latter: one more block for
each doubling, with twice as many channels. Both are CNTK Functions of the same arguments as in
models.py.

A residual block adds two convolutions of 3 × 3 to its input:

    shortcut(x) + conv(relu(normalise(conv(relu(normalise(x))))))

One convolution of a block may double the image (each pixel becomes 2 × 2) or halve it (means of 2 ×
2 pixels). The shortcut is then resampled too, and has a convolution of 1 × 1; otherwise it is x.

Initial weights are evenly distributed within ±limit, where fans are inputs and outputs times the
places of a kernel:

    √(12 / (fan in + fan out))   convolutions of 3 × 3 whose input or output meets a ReLU
    √(6 / (fan in + fan out))    shortcuts, dense layers, the critic's first convolution from 64
                                 pixels on, the generator's last convolution at 32

Biases begin at 0. A convolution in front of a normalisation has none.
"""

import functools

from wgan.machine.cntk import C
from wgan.datasets.images import check_image_size
from wgan.training.layers import (
    PowerIteration, SETTLED, add_bias, batch_normalization, convolution, convolution_mean_pool,
    label_planes, layer_normalization, mean_of_pixels, spectral_normalization,
    upsampled_convolution)

import numpy as np

HE, GLOROT = 12, 6              # times 1 / (fan in + fan out): the square of a limit


def generator(image_size, latent_size=128, width=64, seed=None, labels=0, colours=3):
    """Latent (latent_size,) ~ N(0, 1) → RGB image (3, image_size, image_size) in [-1, 1].

    width: channels of the layers at image size. At 32 pixels all layers have as many; from 64 on
        each block except the first halves them: 512, 512, 256, 128, 64 at 64 pixels and width 64.
        The paper has 128 at 32 pixels and 64 at 64.
    Batch normalisation is in all blocks and before the last convolution.
    seed, labels, colours, raises: as in models.py.
    """
    check_image_size(image_size)
    layers = Layers(seed, 'batch', is_exported=True)
    latent = C.input_variable(latent_size, name='latent')
    if labels:
        latent = C.splice(latent, C.input_variable(labels, name='label'))
    is_small = image_size == 32
    h = layers.dense(latent, (width if is_small else width * image_size // 8, 4, 4))
    while h.shape[1] < image_size:
        keeps_channels = is_small or h.shape[1] == 4
        h = block(h, h.shape[0] if keeps_channels else h.shape[0] // 2, layers, 'up')
    h = layers.convolution(layers.normalized_relu(h), colours, 3, GLOROT if is_small else HE)
    return C.tanh(layers.with_bias(h), name='image')


def critic(image_size, width=64, seed=None, normalization='layer', labels=0, colours=3):
    """RGB image (3, image_size, image_size) in [-1, 1] → score (1,), any real number.

    width: channels of the layers at image size. At 32 pixels all layers have as many; from 64 on
        each block except the last doubles them: 64, 128, 256, 512, 512 at 64 pixels and width 64.
    normalization: 'layer' or 'batch', in all blocks that begin with a ReLU; or 'spectral', of the
        weights of all layers. At 32 pixels 'layer' stands for none, as in the authors' code.
    labels: number of labels. With labels, 'label', (labels,), is a second input. The first
        convolution of 3 × 3 sees a plane for each label beside the image: 1 for this label, else 0.
    seed, colours, raises: as in models.py.
    """
    check_image_size(image_size)
    is_small = image_size == 32
    layers = Layers(seed, None if is_small and normalization == 'layer' else normalization)
    image = C.input_variable((colours, image_size, image_size), name='image')
    first = dict(channels=width, size=3, gain=HE if is_small else GLOROT, inputs=colours + labels)
    h = layers.convolution(image, **first)
    if labels:
        # The sum of two convolutions equals one convolution of the joined channels.
        h = h + layers.convolution(label_planes(C.input_variable(labels, name='label'), image),
                                   **first)
    h = layers.with_bias(h)
    score = layers.dense(_small_body(h, image, layers) if is_small else _body(h, layers), (1,),
                         name='score')
    PowerIteration(score).run(SETTLED)
    return score


def _small_body(h, image, layers):
    """The critic's layers at 32 pixels, from the first convolution of the image to the mean."""
    width = h.shape[0]
    h = layers.convolution(C.relu(h), width, 3, HE, 'down')
    h = layers.with_bias(h + layers.convolution(image, width, 1, GLOROT, 'down'), biases=2)
    for resample in ('down', None, None):
        h = block(h, width, layers, resample)
    return mean_of_pixels(C.relu(h))


def _body(h, layers):
    """The same from 64 pixels on, to 4 × 4 pixels."""
    while h.shape[1] > 4:
        h = block(h, h.shape[0] * (1 if h.shape[1] == 8 else 2), layers, 'down')
    return h


def networks(image_size, latent_size, width, normalization, rng, labels=0, colours=3):
    """Returns (generator, critic). The RandomState rng decides the initial weights."""
    return (generator(image_size, latent_size, width, rng.randint(2 ** 31), labels, colours),
            critic(image_size, width, rng.randint(2 ** 31), normalization, labels, colours))


def block(x, channels, layers, resample=None):
    """A residual block with this many channels. resample: 'up', 'down' or None."""
    inner = channels if resample == 'up' else x.shape[0]
    h = layers.convolution(layers.normalized_relu(x), inner, 3, HE,
                           'up' if resample == 'up' else None)
    if layers.normalization in (None, 'spectral'):
        h = layers.with_bias(h)
    h = layers.convolution(layers.normalized_relu(h), channels, 3, HE,
                           'down' if resample == 'down' else None)
    if resample is None:
        return x + layers.with_bias(h)
    return layers.with_bias(h + layers.convolution(x, channels, 1, GLOROT, resample), biases=2)


class Layers:
    """Makes the layers of a network. Weights are named W0, W1 …, biases b0, b1 …, in their order.

    normalization: 'batch', 'layer', 'spectral' or None. is_exported: whether the network becomes an
    ONNX file, which can not have the faster biases of `add_bias`.
    """

    def __init__(self, seed, normalization, is_exported=False):
        self.rng, self.normalization = np.random.RandomState(seed), normalization
        self.is_exported, self.weights, self.biases = is_exported, 0, 0

    def convolution(self, x, channels, size, gain, resample=None, inputs=None):
        """(I, S, S) → (channels, S, S) with kernels of size × size. resample: 'up' doubles S before
        the convolution, 'down' halves it after it.

        gain: HE or GLOROT. inputs: the input channels that the limit is computed from, if not I.
        """
        limit = np.sqrt(gain / (size ** 2 * ((inputs or x.shape[0]) + channels)))
        shape = (channels, x.shape[0], size, size)
        if resample == 'up':
            shape = (x.shape[0], channels, size, size)
        kernel = self._weights(shape, limit, x, channels)
        return {'up': upsampled_convolution, 'down': convolution_mean_pool,
                None: functools.partial(convolution, stride=1)}[resample](kernel, x)

    def dense(self, x, shape, name=''):
        """x, of any shape, → shape."""
        outputs = int(np.prod(shape))
        limit = np.sqrt(GLOROT / (np.prod(x.shape) + outputs))
        weights = self._weights(x.shape + shape, limit, x, outputs)
        bias, = self._bias_parameters(shape, x, 1)
        return C.plus(C.times(x, weights, output_rank=len(shape)), bias, name=name)

    def with_bias(self, x, biases=1):
        """x plus this many learned numbers for each channel: several begin and move alike."""
        bias = functools.reduce(C.plus, self._bias_parameters((x.shape[0], 1, 1), x, biases))
        return x + bias if self.is_exported else add_bias(x, bias)

    def normalized_relu(self, x):
        normalize = {'batch': batch_normalization, 'layer': layer_normalization}.get(
            self.normalization, lambda x: x)
        return C.relu(normalize(x))

    def _weights(self, shape, limit, x, outputs):
        weights = C.parameter(shape, init=self.rng.uniform(-limit, limit, shape), dtype=x.dtype,
                              name='W%d' % self.weights)
        self.weights += 1
        return (spectral_normalization(weights, outputs) if self.normalization == 'spectral'
                else weights)

    def _bias_parameters(self, shape, x, count):
        self.biases += count
        return [C.parameter(shape, init=0, dtype=x.dtype, name='b%d' % (self.biases - count + i))
                for i in range(count)]
