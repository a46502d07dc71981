"""The directions of a generator, by the closed form."""

import numpy as np
import pytest

from helpers import latents_of
import models
from wgan.generators import onnx_file
from wgan.generators.directions import direction_rows, directions, first_weights
from wgan.generators.evaluation import evaluate_in_training
from wgan.machine.cntk import C


def dense_parameter(network, rows):
    """The weights as CNTK has them."""
    return next(p.value.reshape(rows, -1) for p in network.parameters
                if p.shape[0] == rows and p.shape[2:] == (4, 4))


@pytest.mark.parametrize('latent_size, labels', [(5, 0), (5, 3), (16, 0)])
def test_the_first_weights(latent_size, labels, tmp_path):
    """Also where a later layer has as many rows (16), and of a file."""
    network = models.generator(32, latent_size=latent_size, width=2, seed=1, labels=labels)
    expected = dense_parameter(network, latent_size + labels)[:latent_size]
    np.testing.assert_allclose(first_weights(network), expected, atol=1e-7)
    network.save(str(tmp_path / 'x.model'))
    np.testing.assert_allclose(first_weights(C.Function.load(str(tmp_path / 'x.model'))), expected,
                               atol=1e-7)


def test_the_first_weights_of_an_onnx_file(tmp_path):
    network = models.generator(32, latent_size=5, width=2, seed=1)
    evaluate_in_training(network, {network.arguments[0]: latents_of(0, 64)})
    onnx_file.export(network, str(tmp_path / 'x.onnx'), {})
    np.testing.assert_allclose(first_weights(onnx_file.load(str(tmp_path / 'x.onnx'))),
                               dense_parameter(network, 5), atol=1e-7)


def test_they_change_the_layer_most():
    """With planted directions: lengths 5, 3 and 1 along an orthogonal basis."""
    basis = np.linalg.qr(np.random.RandomState(0).randn(3, 3))[0]       # its columns
    latent, spread = C.input_variable(3), np.eye(3, 4)
    weights = C.parameter((3, 4), init=np.float32((basis * [5, 3, 1]).dot(spread)))
    network = C.reshape(C.times(latent, weights) + 7, (1, 2, 2))
    found = directions(network, 2)
    assert found.shape == (2, 3) and found.dtype == np.float32
    np.testing.assert_allclose(np.abs(found @ basis), [[1, 0, 0], [0, 1, 0]], atol=1e-6)
    assert (found[np.arange(2), np.abs(found).argmax(axis=1)] > 0).all()


def test_a_small_latent_and_no_dense_layer():
    assert directions(models.generator(32, latent_size=2, width=2), 6).shape == (2, 2)
    latent = C.input_variable(4)
    assert directions(C.reshape(C.tanh(latent), (1, 2, 2)), 6).shape == (0, 4)


def test_rows_of_directions():
    latent, vectors, label = np.float32([1, 2]), np.float32([[1, 0]]), np.float32([0, 1, 0])
    latents, labels = direction_rows(latent, vectors, label, [(0, 2)], 3)
    np.testing.assert_array_equal(latents, [[[-2, 2], [1, 2], [4, 2]], [[1, 2]] * 3])
    np.testing.assert_array_equal(labels, [[label] * 3, [[1, 0, 0], [.5, 0, .5], [0, 0, 1]]])
    for pairs, shape in (([], (1, 3, 2)), ([(1, 0)], (2, 3, 2))):           # without labels too
        latents, labels = direction_rows(latent, vectors, label[:2 * len(pairs)], pairs, 3)
        assert latents.shape == shape and labels.shape == shape[:2] + (2 * len(pairs),)
