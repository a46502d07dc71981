"""The layers that the two networks are built of, arranged so that CNTK computes them quickly.

They compute the standard layers, in operations that CNTK runs faster. CNTK 2.7 has MKL's and
cuDNN's speed in matrix products, convolutions, and operations on operands of one shape. It is slow

- where the shapes of two operands differ, and in sums: there it walks number by number. So what is
  summed, or repeated for each pixel or sample, is here a matrix product;
- where it chooses between two numbers, as its leaky ReLU does;
- on a CPU, in convolutions with a large kernel: see `convolution`.

bench/results/ says what each of these brought.
"""

from wgan.cntk import C

import numpy as np

SMALL = 4           # height and width of the smaller image, up to which `convolution` multiplies


def layer_normalization(x, epsilon=1e-5):
    """Normalise each sample over all its channels, then scale and shift each channel.

    x: (channels, height, width). Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450, eq. 3-4.
    It learns one gain and one bias per channel, as the WGAN-GP authors' code does.
    `C.layers.LayerNormalization` learns them for the last axis alone, which in an image is one
    number for each column of pixels; and it adds epsilon to the deviation, not to the variance.
    """
    size = int(np.prod(x.shape))
    gain = C.parameter((x.shape[0], 1, 1), init=1, dtype=x.dtype, name='gain')
    # One row of numbers a sample: its variance is a product with itself.
    row = C.reshape(x, (1, size))
    mean = C.times(row, C.constant(1 / size, (size, 1), x.dtype))
    centred = row - C.times(mean, C.constant(1, (1, size), x.dtype))
    variance = C.times_transpose(centred, centred) * C.constant(1 / size, (1, 1), x.dtype)
    scale = C.times(C.reciprocal(C.sqrt(variance + epsilon)),
                    C.reshape(_pixels_of(gain, x.shape), (1, size)))
    return add_bias(C.reshape(centred * scale, x.shape), 'bias')


def batch_normalization(x):
    """Normalise each channel over the minibatch, then scale and shift it.

    x: (channels, height, width). Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167,
    algorithm 1; ε = 1e-5.
    """
    return C.layers.BatchNormalization(map_rank=1)(x)


def leaky_relu(x):
    """x where it is positive, x / 5 elsewhere: `C.leaky_relu(x, 0.2)`, five times as fast.

    Backpropagation reuses the slope (1 or 0.2), which is not differentiated.
    """
    positive = C.stop_gradient(C.greater(x, 0))
    return x * (C.constant(0.2, x.shape, x.dtype) + C.constant(0.8, x.shape, x.dtype) * positive)


def add_bias(x, name):
    """x (channels, height, width) plus a learned number for each channel."""
    bias = C.parameter((x.shape[0], 1, 1), init=0, dtype=x.dtype, name=name)
    # A product with 1 for each sample: its gradient, a sum over the minibatch, is a product too.
    one = C.reconcile_dynamic_axes(C.constant(1, 1, x.dtype), x)
    return x + C.times(one, _pixels_of(bias, x.shape), output_rank=3)


def _pixels_of(p, shape):
    """p (channels, 1, 1), repeated for the pixels: (1, channels, height, width)."""
    plane = C.constant(1, (1,) + shape[1:], p.dtype)
    return C.reshape(C.times(C.reshape(p, (shape[0], 1)), plane, output_rank=2), (1,) + shape)


def convolution(kernel, x):
    """(I, 2S, 2S) → (O, S, S) with the kernel (O, I, K, K), K odd, padded with zeros.

    Output (i, j) is the kernel with its centre at (2i, 2j).

    On a CPU, CNTK's convolutions are MKL's, which first puts the kernel into another order of
    memory. For transposed convolutions and for gradients with respect to x, that takes longer than
    everything else where images are small and kernels large. There, the convolution is two matrix
    products: one with a matrix of ones and zeros (im2col), one with the kernel.
    """
    channels, inputs, width, _ = kernel.shape
    size = x.shape[1] // 2
    if size > SMALL:
        return C.convolution(kernel, x, strides=2, auto_padding=[False, True, True])
    pixels = C.times(C.reshape(x, (inputs, 4 * size * size)),
                     _im2col_matrix(size, width, x.dtype))
    pixels = C.reshape(pixels, (inputs * width * width, size * size))
    y = C.times_transpose(C.transpose(pixels, (1, 0)),
                          C.reshape(kernel, (channels, inputs * width * width)))
    return C.reshape(C.transpose(y, (1, 0)), (channels, size, size))


def convolution_transpose(kernel, x):
    """(I, S, S) → (O, 2S, 2S) with the kernel (I, O, K, K): the transpose of `convolution`."""
    inputs, channels, width, _ = kernel.shape
    size = x.shape[1]
    if size > SMALL:
        return C.convolution_transpose(kernel, x, strides=2, auto_padding=[False, True, True],
                                       output_shape=(channels, 2 * size, 2 * size))
    pixels = C.transpose(C.reshape(x, (inputs, size * size)), (1, 0))
    products = C.times(pixels, C.reshape(kernel, (inputs, channels * width * width)))
    products = C.reshape(C.transpose(products, (1, 0)), (channels, width * width * size * size))
    y = C.times_transpose(products, _im2col_matrix(size, width, x.dtype))
    return C.reshape(y, (channels, 2 * size, 2 * size))


def _im2col_matrix(size, width, dtype):
    """(2S · 2S, K · K · S · S): 1 where a pixel meets a number of the kernel at a place, else 0."""
    meets = np.zeros((2 * size, width, size), dtype)        # the same for rows and columns
    for tap in range(width):
        for place in range(size):
            pixel = 2 * place + tap - width // 2
            if 0 <= pixel < 2 * size:
                meets[pixel, tap, place] = 1
    both = np.einsum('ykp,xlq->yxklpq', meets, meets)
    return C.constant(both.reshape(4 * size * size, -1))
