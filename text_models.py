"""The two networks for text: residual networks of one-dimensional convolutions, no normalisation.

They are the networks of gan_language.py, which the authors of Gulrajani et al. 2017,
https://arxiv.org/abs/1704.00028, published with the paper. Both are CNTK Functions of one argument.
A text is an array (characters, 1, length): the probabilities of all characters at each place. In a
real text one of them is 1.
"""

from wgan.machine.cntk import C

import numpy as np

BLOCKS = 5


def generator(characters, length, latent_size=128, width=64, seed=None):
    """Latent (latent_size,) ~ N(0, 1) → text (characters, 1, length): probabilities.

    characters: number of characters. width: channels of all hidden layers.
    seed: decides the initial weights; None: different weights each time.
    """
    layers = _Layers(seed)
    h = layers.dense(C.input_variable(latent_size, name='latent'), (width, 1, length))
    for _ in range(BLOCKS):
        h = _residual_block(h, layers)
    return C.softmax(layers.convolution(h, characters, 1), axis=0, name='text')


def critic(characters, length, width=64, seed=None):
    """Text (characters, 1, length) → score (1,), any real number.

    characters, width, seed: as in `generator`.
    """
    layers = _Layers(seed)
    h = layers.convolution(C.input_variable((characters, 1, length), name='text'), width, 1)
    for _ in range(BLOCKS):
        h = _residual_block(h, layers)
    return layers.dense(h, (1,))


def networks(characters, length, latent_size, width, rng):
    """Returns (generator, critic). The RandomState rng decides the initial weights."""
    return (generator(characters, length, latent_size, width, rng.randint(2 ** 31)),
            critic(characters, length, width, rng.randint(2 ** 31)))


def _residual_block(x, layers):
    """x + 0.3 · conv5(relu(conv5(relu x)))"""
    h = x
    for _ in range(2):
        h = layers.convolution(C.relu(h), x.shape[0], 5)
    return x + 0.3 * h


class _Layers:
    """Layers with a bias. Biases begin at 0, weights evenly distributed within ±limit.

    The limits are the authors': √(12 / (fan in + fan out)) in a convolution, √(6 / (fan in + fan
    out)) in a dense layer. The parameters are named W0, b0, W1, b1 … in the order of the layers.
    """

    def __init__(self, seed):
        self.rng, self.count = np.random.RandomState(seed), 0

    def convolution(self, x, channels, size):
        """(I, 1, L) → (channels, 1, L), padded with zeros; kernels of `size` places."""
        limit = np.sqrt(12 / (size * (x.shape[0] + channels)))
        kernel, bias = self._weights((channels, x.shape[0], 1, size), (channels, 1, 1), limit, x)
        return C.convolution(kernel, x, auto_padding=[False, False, True]) + bias

    def dense(self, x, shape):
        inputs, outputs = int(np.prod(x.shape)), int(np.prod(shape))
        weights, bias = self._weights((inputs, outputs), (outputs,),
                                      np.sqrt(6 / (inputs + outputs)), x)
        return C.reshape(C.times(C.reshape(x, (inputs,)), weights) + bias, shape)

    def _weights(self, shape, bias_shape, limit, x):
        weights = C.parameter(shape, init=self.rng.uniform(-limit, limit, shape), dtype=x.dtype,
                              name='W%d' % self.count)
        bias = C.parameter(bias_shape, init=0, dtype=x.dtype, name='b%d' % self.count)
        self.count += 1
        return weights, bias
