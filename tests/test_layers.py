"""The layers compute what CNTK's own do, or what their equation says."""

import numpy as np
import pytest

from wgan.cntk import C
from wgan import layers
from symbolic_gradient import gradient

F64 = np.float64


def test_layer_normalization_is_per_sample_with_gain_and_bias_per_map():
    rng = np.random.RandomState(0)
    data, gain, bias = rng.randn(4, 3, 5, 6) * 3 + 1, rng.randn(3, 1, 1), rng.randn(3, 1, 1)
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 5, 6))
        y = layers.layer_normalization(x)
    for p in y.parameters:
        p.value = {'gain': gain, 'bias': bias}[p.name]
    mean = data.mean(axis=(1, 2, 3), keepdims=True)
    variance = data.var(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(y.eval({x: data}),
                               gain * (data - mean) / np.sqrt(variance + 1e-5) + bias, rtol=1e-12)


def test_leaky_relu_is_cntks():
    data = np.random.RandomState(0).randn(4, 3, 5, 6)
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 5, 6), needs_gradient=True)
        ours, theirs = layers.leaky_relu(x), C.leaky_relu(x, 0.2)
    np.testing.assert_allclose(ours.eval({x: data}), theirs.eval({x: data}), rtol=1e-15)
    np.testing.assert_allclose(ours.grad({x: data}), theirs.grad({x: data}), rtol=1e-15)


def plain(kernel, x):
    return C.convolution(kernel, x, strides=2, auto_padding=[False, True, True])


def plain_transpose(kernel, x):
    size = 2 * x.shape[1]
    return C.convolution_transpose(kernel, x, strides=2, auto_padding=[False, True, True],
                                   output_shape=(kernel.shape[1], size, size))


@pytest.mark.parametrize('width', [3, 5])
@pytest.mark.parametrize('small', [3, 4, 8])
@pytest.mark.parametrize('ours, theirs, kernel_shape, per_size', [
    (layers.convolution, plain, (3, 2), 2),
    (layers.convolution_transpose, plain_transpose, (2, 3), 1)])
def test_convolutions_are_cntks(monkeypatch, ours, theirs, kernel_shape, per_size, small, width):
    """Values, both gradients, and the gradient graph with its own: in float64, to rounding."""
    monkeypatch.setattr(layers, 'SMALL', 8)
    rng = np.random.RandomState(small)
    data = rng.randn(3, 2, per_size * small, per_size * small)
    with C.default_options(dtype=F64):
        x = C.input_variable(data.shape[1:], needs_gradient=True)
        kernel = C.parameter(kernel_shape + (width, width), init=rng.randn(
            *kernel_shape, width, width))
        results = []
        for convolve in (ours, theirs):
            y = convolve(kernel, x)
            slope = gradient(C.tanh(y), x)
            results.append([y.eval({x: data}), slope.eval({x: data})] + [
                graph.grad({x: data}, wrt=[by])
                for graph in (C.tanh(y), C.square(slope)) for by in (x, kernel)])
    assert results[0][0].shape == results[1][0].shape
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_only_small_images_are_rearranged():
    def operations(size):
        x = C.input_variable((2, size, size))
        graph = layers.convolution(C.parameter((3, 2, 3, 3)), x)
        return {f.op_name for f in C.logging.graph.depth_first_search(graph.root_function, lambda f:
                isinstance(f, C.Function))}

    assert 'Convolution' in operations(16) and 'Convolution' not in operations(8)
