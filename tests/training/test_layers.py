"""The layers compute what CNTK's own do, or what their equation says."""

import numpy as np
import pytest

from wgan.machine.cntk import C
from wgan.training import layers

from symbolic_gradient import gradient


@pytest.mark.parametrize('has_bias', [False, True])
def test_layer_normalization_is_per_sample_with_gain_and_bias_per_map(has_bias):
    rng = np.random.RandomState(0)
    data, gain, bias = rng.randn(4, 3, 5, 6) * 3 + 1, rng.randn(3, 1, 1), rng.randn(3, 1, 1)
    before = rng.randn(3, 1, 1) * has_bias
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 5, 6))
        y = layers.layer_normalization(x, bias='b' if has_bias else None)
    for p in y.parameters:
        p.value = {'gain': gain, 'bias': bias, 'b': before}[p.name]
    data, given = data + before, data
    mean = data.mean(axis=(1, 2, 3), keepdims=True)
    variance = data.var(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(y.eval({x: given}),
                               gain * (data - mean) / np.sqrt(variance + 1e-5) + bias, rtol=1e-12)


def test_spectral_normalization():
    """σ comes nearer to the largest singular value with each power iteration, as NumPy has it."""
    value = np.random.RandomState(0).randn(4, 3, 3, 3)
    with C.default_options(dtype=np.float64):
        w = C.parameter((4, 3, 3, 3), init=value)
        normalized = layers.spectral_normalization(w, 4)
    iteration, u = layers.PowerIteration(normalized), np.full(4, 0.5)
    matrix = value.reshape(4, 27)
    for _ in range(3):
        iteration.run()
        v = u @ matrix / np.linalg.norm(u @ matrix)
        u = matrix @ v / np.linalg.norm(matrix @ v)
        np.testing.assert_allclose(normalized.eval(), value / (u @ matrix @ v), rtol=1e-12)
    iteration.run(200)
    found = np.linalg.svd(normalized.eval().reshape(4, 27), compute_uv=False)
    assert found[0] == pytest.approx(1, rel=1e-9) and found[1] < 0.99


def test_power_iteration_of_a_network_without_spectral_normalization():
    layers.PowerIteration(layers.leaky_relu(C.input_variable((3, 5, 6)))).run()


@pytest.mark.parametrize('size', [1, 3, 5])
def test_convolution_mean_pool_and_its_transpose(size):
    """As convolution, pooling and unpooling one after the other; values and all gradients."""
    rng = np.random.RandomState(size)
    weights = rng.randn(4, 3, size, size)
    images, small = rng.randn(2, 3, 8, 6), rng.randn(2, 4, 4, 3)
    with C.default_options(dtype=np.float64):
        x, z = (C.input_variable(data.shape[1:], needs_gradient=True) for data in (images, small))
        kernel = C.parameter(weights.shape, init=weights)
        pooled = C.pooling(layers.convolution(kernel, x, stride=1), C.AVG_POOLING, (2, 2), (2, 2))
        twice = C.reshape(C.splice(*[C.reshape(C.splice(*[C.reshape(z, (4, 4, 1, 3, 1))] * 2,
                                                        axis=4), (4, 4, 1, 6))] * 2, axis=2),
                          (4, 8, 6))
        doubled = C.convolution_transpose(kernel, twice, auto_padding=[False, True, True],
                                          output_shape=(3, 8, 6))
        cases = [(layers.convolution_mean_pool(kernel, x), pooled, {x: images}),
                 (layers.upsampled_convolution(kernel, z), doubled, {z: small})]
    np.testing.assert_array_equal(twice.eval({z: small}), small.repeat(2, 2).repeat(2, 3))
    for ours, plain, feed in cases:
        np.testing.assert_allclose(ours.eval(feed), plain.eval(feed), rtol=1e-12, atol=1e-12)
        for variable in (kernel, *feed):
            found, expected = (C.square(C.sin(y)).grad(feed, wrt=[variable])
                               for y in (ours, plain))
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_mean_of_pixels():
    data = np.random.RandomState(0).randn(4, 3, 5, 6)
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 5, 6))
        np.testing.assert_allclose(layers.mean_of_pixels(x).eval({x: data}), data.mean((2, 3)))


def test_label_planes():
    label, image = C.input_variable(2), C.input_variable((3, 4, 4))
    planes = layers.label_planes(label, image).eval({label: np.float32([[0, 1], [1, 0]])})
    expected = np.zeros((2, 2, 4, 4))
    expected[0, 1] = expected[1, 0] = 1
    np.testing.assert_array_equal(planes, expected)


def test_leaky_relu_is_cntks():
    data = np.random.RandomState(0).randn(4, 3, 5, 6)
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 5, 6), needs_gradient=True)
        ours, theirs = layers.leaky_relu(x), C.leaky_relu(x, 0.2)
    np.testing.assert_allclose(ours.eval({x: data}), theirs.eval({x: data}), rtol=1e-15)
    np.testing.assert_allclose(ours.grad({x: data}), theirs.grad({x: data}), rtol=1e-15)


@pytest.mark.parametrize('normalize', [
    layers.layer_normalization, lambda x: layers.layer_normalization(x, bias='b')])
def test_a_gradient_that_only_the_signs_of_the_activation_enter(normalize):
    """The last activation of a penalty: its value enters no loss, only whether it is positive."""
    rng = np.random.RandomState(0)
    data = rng.randn(4, 3, 5, 6)
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 5, 6))
        weights = C.parameter((3, 1, 1), init=rng.randn(3, 1, 1))
        last = layers.leaky_relu(normalize(x * weights))
        scores = C.times(last, C.constant(rng.randn(3, 5, 6, 1)))
        penalty = C.reduce_sum(C.square(gradient(scores, x)))
    for p in penalty.parameters:
        p.value = rng.randn(*p.shape)
    found = penalty.grad({x: data}, wrt=list(penalty.parameters))
    for p in penalty.parameters:
        for at in np.ndindex(p.shape):
            values = []
            for step in (1e-5, -1e-5):
                before = p.value
                moved = before.copy()
                moved[at] += step
                p.value = moved
                values.append(penalty.eval({x: data}).sum())
                p.value = before
            np.testing.assert_allclose(found[p][at], (values[0] - values[1]) / 2e-5,
                                       rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('build', [
    lambda x: layers.layer_normalization(x), lambda x: layers.layer_normalization(x, bias='b'),
    lambda x: layers.add_bias(x, 'b'), lambda x: layers.leaky_relu(layers.add_bias(x, 'b')),
    lambda x: layers.add_bias(x, sum(
        C.parameter((3, 1, 1), dtype=np.float64) for _ in range(2)))])
def test_gradients_are_those_of_finite_differences(build):
    """Of an input with a gradient, of a parameter, and for another number of samples."""
    rng = np.random.RandomState(1)
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 4, 5), needs_gradient=True)
        weights = C.constant(rng.randn(3, 4, 5, 1))
        loss = C.square(C.times(C.tanh(build(x)), weights))
    for p in loss.parameters:
        p.value = rng.randn(*p.shape)
    for count in (3, 1):
        data, direction = rng.randn(count, 3, 4, 5), rng.randn(count, 3, 4, 5)
        found = loss.grad({x: data}, wrt=[x])
        values = [loss.eval({x: data + step * direction}).sum() for step in (1e-6, -1e-6)]
        np.testing.assert_allclose(np.sum(found * direction), (values[0] - values[1]) / 2e-6,
                                   rtol=1e-6)
