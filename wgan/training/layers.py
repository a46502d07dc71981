"""The layers of the two networks.

They compute the standard layers, in operations that CNTK runs faster. CNTK 2.7 is fast in matrix
products (MKL, cuBLAS), convolutions (oneDNN, see onednn.py; cuDNN), and operations on operands of
one shape. It is slow

- in sums and where it broadcasts, since it computes number by number. Here matrix products take
  their place;
- where it selects one of two numbers, as in its leaky ReLU.

bench/results/ has measurements.
"""

import functools

from wgan.machine.cntk import C

import numpy as np

SPECTRAL_NORM = 'spectral_norm'         # what the σ of weights are called in a graph
SETTLED = 15                    # power iterations after which σ of new weights is near enough


def layer_normalization(x, bias=None, epsilon=1e-5):
    """Normalise each sample over all its channels, then scale and shift each channel.

    x: (channels, height, width). Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450, eq. 3-4.
    bias: a name: then a learned bias for each channel is added to x first, at no extra cost.
    It learns one gain and one shift ('bias') per channel, as the WGAN-GP authors' code does.
    `C.layers.LayerNormalization` learns them for the last axis alone (a number for each column of
    pixels), and adds epsilon to the deviation, not to the variance.
    """
    gain, shift = _for_each_channel(x, 1, 'gain'), _for_each_channel(x, 0, 'bias')
    average = C.constant(1 / np.prod(x.shape), x.shape + (1,), x.dtype)
    mean = C.times(x, average)
    if bias is None:
        centred = x - C.times(mean, C.constant(1, (1,) + x.shape, x.dtype), output_rank=3)
    else:
        centred = x + _bias_less_mean(_for_each_channel(x, 0, bias), mean, x)
    variance = C.times(C.square(centred), average)
    scale = C.times(C.reciprocal(C.sqrt(variance + epsilon)), _pixels_of(gain, x.shape),
                    output_rank=3)
    # A Minus, because CNTK fails ('Cannot find input') at a Plus that no gradient reaches, such as
    # one that only leaky_relu's comparison uses.
    return centred * scale - C.times(_for_each_sample(x, -1), _pixels_of(shift, x.shape),
                                     output_rank=3)


def _bias_less_mean(bias, mean, x):
    """The term that centres x + bias in each sample: bias − mean of bias − mean, (channels, h, w).

    bias: (channels, 1, 1). mean: of x, (1,). It is one matrix product, of (1, −mean) with two
    planes: the centred bias and 1.
    """
    number = functools.partial(C.constant, dtype=x.dtype)
    centred = bias - C.reduce_mean(bias, axis=(0, 1, 2))
    factors = number(np.array([1, 0])) - C.times(mean, number(np.array([[0, 1]])))
    planes = C.splice(_pixels_of(centred, x.shape), number(1, (1,) + x.shape), axis=0)
    return C.times(factors, planes, output_rank=3)


def spectral_normalization(weights, rows):
    """weights / σ, where σ estimates their largest singular value: Miyato et al. 2018,
    https://arxiv.org/abs/1802.05957, section 2.1 and algorithm 1.

    weights: seen as a matrix of so many rows: in a convolution, (outputs, …), one for each output.
    σ = uᵀ W v: its gradient is u vᵀ, since u and v are constants. They begin with equal
    numbers, and come nearer to the first singular vectors with each `PowerIteration`.
    """
    matrix = C.reshape(weights, (rows, -1))
    u, v = (C.constant(1 / np.sqrt(max(shape)), shape, weights.dtype, name=name)
            for name, shape in (('singular_u', (1, rows)), ('singular_v', (matrix.shape[1], 1))))
    norm = C.times(C.times(u, matrix), v, name=SPECTRAL_NORM)
    return weights / C.reshape(norm, (1,) * len(weights.shape))


class PowerIteration:
    """v ← Wᵀu / ‖Wᵀu‖, u ← Wv / ‖Wv‖ for all weights of a network that are spectrally normalised;
    nothing for a network without.
    """

    def __init__(self, network):
        self._assignments = []
        for norm in network.find_all_with_name(SPECTRAL_NORM):
            projected, v = norm.inputs
            u, matrix = projected.owner.inputs
            new_v = C.reshape(_unit(C.times(u, matrix)), v.shape)
            new_u = C.reshape(_unit(C.times(matrix, new_v)), u.shape)
            self._assignments += [C.assign(v, new_v).output, C.assign(u, new_u).output]
        self._update = C.combine(self._assignments) if self._assignments else None

    def run(self, count=1):
        """count: of iterations. They do not depend on a minibatch."""
        for _ in range(count if self._update else 0):
            self._update.forward({}, self._assignments, as_numpy=False)


def _unit(x):
    return x / C.reduce_l2(x)


def batch_normalization(x):
    """Normalise each channel over the minibatch, then scale and shift it.

    x: (channels, height, width). Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167,
    algorithm 1; ε = 1e-5.
    """
    return C.layers.BatchNormalization(map_rank=1)(x)


def leaky_relu(x):
    """x where it is positive, x / 5 elsewhere: `C.leaky_relu(x, 0.2)`, five times as fast.

    Backpropagation reuses the slope (1 or 0.2), which is not differentiated. The gradient is
    stopped before the comparison: CNTK would compute zeros for it.
    """
    zero, low, more = (C.constant(value, x.shape, x.dtype) for value in (0, 0.2, 0.8))
    return x * (low + more * C.greater(C.stop_gradient(x), zero))


def add_bias(x, bias):
    """x (channels, height, width) plus a learned number for each channel.

    bias: (channels, 1, 1), or the name for a new parameter, which begins at 0.
    """
    if isinstance(bias, str):
        bias = _for_each_channel(x, 0, bias)
    # As a product with 1 for each sample, its gradient (a sum over the minibatch) is a product too.
    return x + C.times(_for_each_sample(x, 1), _pixels_of(bias, x.shape), output_rank=3)


def _for_each_channel(x, value, name):
    """A parameter (channels, 1, 1) with the initial value `value`."""
    return C.parameter((x.shape[0], 1, 1), init=value, dtype=x.dtype, name=name)


def _for_each_sample(x, value):
    """A constant (1,), the value, for each sample of x.

    The batch axis is taken from an input of the graph. If it came from x, CNTK would compute
    gradients of 0.
    """
    samples = next(v for v in C.combine([x]).arguments if v.dynamic_axes == x.dynamic_axes)
    return C.stop_gradient(C.reconcile_dynamic_axes(C.constant(value, 1, x.dtype), samples))


def _pixels_of(p, shape):
    """p (channels, 1, 1), repeated for the pixels: (1, channels, height, width)."""
    plane = C.constant(1, (1,) + shape[1:], p.dtype)
    return C.times(C.reshape(p, (1, shape[0], 1)), plane, output_rank=2)


def convolution(kernel, x, stride=2):
    """(I, S, S) → (O, S / stride, S / stride) with the kernel (O, I, K, K), padded with zeros.

    Output (i, j) is the kernel with its centre at (stride · i, stride · j). If K is even, that is
    the pixel before its centre.
    """
    return C.convolution(kernel, x, strides=stride, auto_padding=[False, True, True])


def convolution_transpose(kernel, x):
    """(I, S, S) → (O, 2S, 2S) with the kernel (I, O, K, K): the transpose of `convolution`."""
    return C.convolution_transpose(
        kernel, x, strides=2, auto_padding=[False, True, True],
        output_shape=(kernel.shape[1], 2 * x.shape[1], 2 * x.shape[2]))


def convolution_mean_pool(kernel, x):
    """A convolution with stride 1, then means of 2 × 2 pixels: (I, 2S, 2S) → (O, S, S).

    kernel: (O, I, K, K), K odd. Both together are one convolution with stride 2 and the mean of the
    kernel at four places: fewer operations, and no result of full size.
    """
    return convolution(_at_four_places(kernel, 1 / 4), x)


def upsampled_convolution(kernel, x):
    """Each pixel becomes 2 × 2, then a transposed convolution with stride 1: (I, S, S) → (O, 2S,
    2S).

    kernel: (I, O, K, K), K odd. It is four times the transpose of `convolution_mean_pool`.
    """
    return convolution_transpose(_at_four_places(kernel, 1), x)


def _at_four_places(kernel, factor):
    """(…, K, K) → (…, K + 1, K + 1): the sum of the kernel at the four places, times factor."""
    size = kernel.shape[-1]
    along_an_axis = np.eye(size, size + 1) + np.eye(size, size + 1, 1)
    places = C.constant(factor * np.kron(along_an_axis, along_an_axis), dtype=kernel.dtype)
    moved = C.times(C.reshape(kernel, (-1, size * size)), places)
    return C.reshape(moved, kernel.shape[:-2] + (size + 1, size + 1))


def mean_of_pixels(x):
    """(channels, height, width) → (channels,)"""
    size = x.shape[1] * x.shape[2]
    rows = C.reshape(x, (x.shape[0], size))
    return C.reshape(C.times(rows, C.constant(1 / size, (size, 1), x.dtype)), x.shape[:1])


def label_planes(label, image):
    """A one-hot label (labels,) → (labels, S, S): for each label a plane of the size of the image,
    1 for this label, else 0.
    """
    labels, = label.shape
    planes = np.eye(labels)[:, :, None, None] * np.ones(image.shape[1:])
    return C.times(label, C.constant(planes, dtype=image.dtype), output_rank=3)
