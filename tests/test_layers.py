"""The layers compute what CNTK's own do, or what their equation says."""

import numpy as np
import pytest

from wgan.machine.cntk import C
from wgan.training import layers


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


def test_leaky_relu_is_cntks():
    data = np.random.RandomState(0).randn(4, 3, 5, 6)
    with C.default_options(dtype=np.float64):
        x = C.input_variable((3, 5, 6), needs_gradient=True)
        ours, theirs = layers.leaky_relu(x), C.leaky_relu(x, 0.2)
    np.testing.assert_allclose(ours.eval({x: data}), theirs.eval({x: data}), rtol=1e-15)
    np.testing.assert_allclose(ours.grad({x: data}), theirs.grad({x: data}), rtol=1e-15)
