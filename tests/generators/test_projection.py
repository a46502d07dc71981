"""Latents of pictures: the distance and its gradient, Adam, and images that are found again."""

import numpy as np
import pytest

from helpers import latents_of
import models
from wgan.datasets.images import to_images, to_network
from wgan.generators import onnx_file, projection
from wgan.generators.evaluation import evaluate_in_training, generate
from wgan.generators.projection import (
    DRAWN, Distance, as_output, in_evaluation_mode, minimize, project, psnr)
from wgan.machine.cntk import C
from wgan.machine.command_line import UserError

pytestmark = pytest.mark.slow

PLAIN = np.zeros((1, 0), np.float32)            # no labels


def trained(network, size=5, labels=0):
    """The network with running statistics of a minibatch."""
    rng = np.random.RandomState(0)
    values = [rng.randn(64, size).astype('f'), np.eye(max(labels, 1), labels, dtype='f')[
        rng.randint(0, max(labels, 1), 64)]]
    evaluate_in_training(network, dict(zip(network.arguments, values)))
    return network


@pytest.fixture(scope='module')
def generator():
    return trained(models.generator(32, latent_size=5, width=2, seed=1))


def exported(network, tmp_path):
    onnx_file.export(network, str(tmp_path / 'g.onnx'), {})
    return onnx_file.load(str(tmp_path / 'g.onnx'))


@pytest.mark.parametrize('of_onnx', [False, True])
def test_evaluation_mode(generator, tmp_path, of_onnx):
    """Both modes give what evaluation gives."""
    network, latents = generator, latents_of(0, 6)
    if of_onnx:
        network = exported(generator, tmp_path)
    expected, copy = generate(network, latents, 6), in_evaluation_mode(network)
    np.testing.assert_allclose(generate(copy, latents, 6), expected, atol=1e-5)
    np.testing.assert_allclose(evaluate_in_training(copy, {copy.arguments[0]: latents}), expected,
                               atol=1e-5)


@pytest.mark.parametrize('judged', [False, True])
@pytest.mark.parametrize('labels, colours, normalization', [
    (0, 3, 'layer'), (2, 3, 'spectral'), (0, 1, 'batch')])
def test_the_gradient(labels, colours, normalization, judged):
    """Along random directions it is the difference quotient, whatever else is in the minibatch."""
    network = trained(models.generator(32, 5, 2, 1, labels, colours), labels=labels)
    critic = models.critic(32, 2, 3, normalization, labels, colours) if judged else None
    label = np.eye(max(labels, 1), labels, dtype='f')[np.arange(6) % max(labels, 1)]
    z, direction = latents_of(0, 6), latents_of(1, 6)
    pictures = generate(network, latents_of(2, 6), 6, label)
    distance = Distance(network, critic, z, label)
    values, gradients = distance.of(pictures, label)(z)
    assert values.shape == (6,) and gradients.shape == (6, 5)
    alone = distance.of(pictures[:1], label[:1])(z[:1])
    np.testing.assert_allclose(alone[0], values[:1], rtol=1e-4)
    np.testing.assert_allclose(alone[1], gradients[:1], rtol=1e-3, atol=1e-6)
    after, before = (distance.of(pictures, label)(z + step * direction)[0].astype(float)
                     for step in (1e-3, -1e-3))
    close = np.isclose((gradients * direction).sum(axis=1), (after - before) / 2e-3, rtol=0.05,
                       atol=3e-3 * abs(values).max())
    assert close.sum() >= 5                     # one may have the kink of a ReLU on its way
    if not judged:
        expected = np.square(generate(network, z, 6, label) - pictures).mean(axis=(1, 2, 3))
        expected += projection.SPHERE * (np.linalg.norm(z, axis=1) - np.sqrt(5)) ** 2
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_adam():
    """The first step has the length of the rate in each number; the minimum is found."""
    centre, steps = np.float32([[1, -2, 0.5], [0, 3, 1]]), []

    def function(z):
        return np.square(z - centre).sum(axis=1), 2 * (z - centre)
    z, _ = minimize(function, np.zeros((2, 3), np.float32), 1000, steps.append)
    np.testing.assert_allclose(z, centre, atol=1e-3)
    assert steps == list(range(1, 1001)) and z.dtype == np.float32
    z, values = minimize(function, np.zeros((2, 3), np.float32), 2, steps.append)
    first = projection.RATE / 2 * np.sign(centre)           # of two steps the last has no length
    np.testing.assert_allclose(z, first, rtol=1e-5)
    np.testing.assert_allclose(values, function(first)[0], rtol=1e-5)


def test_psnr():
    """One level of 255 is 48.13 dB (20 log₁₀ 255); of equal ones only the rounding counts."""
    pictures = to_network(np.random.RandomState(0).randint(0, 250, (3, 8, 8, 3)).astype('u1'))
    images = pictures + np.float32([0, 2 / 255, 20 / 255])[:, None, None, None]
    np.testing.assert_allclose(psnr(images, pictures), [58.92, 48.13, 28.13], atol=0.01)


def test_grey_pictures_for_a_grey_generator():
    """The weights of ITU-R BT.601, as in training."""
    pictures = np.uint8([[[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [200, 200, 200]]]])
    network = models.generator(32, 5, 2, 1, colours=1)
    grey = as_output(pictures, network)
    assert grey.dtype == np.float32
    np.testing.assert_allclose((grey[0] + 1) * 127.5, [[[76.245, 149.685], [29.07, 200]]],
                               rtol=1e-5)
    assert (as_output(pictures, models.generator(32, 5, 2, 1)) == to_network(pictures)).all()


@pytest.mark.parametrize('of_onnx', [False, True])
def test_images_of_the_generator_are_found_again(generator, tmp_path, of_onnx):
    """Above 30 dB in nine of ten cases. The image of a latent is what generating makes of it."""
    network = exported(generator, tmp_path) if of_onnx else generator
    pictures = to_network(to_images(generate(generator, latents_of(7, 10), 10)))
    result = project(network, pictures, labels=PLAIN, starts=2, steps=100, seed=0, name='g')
    assert (psnr(result.images, pictures) > 30).sum() >= 9
    assert result.latents.dtype == np.float32 and (result.labels == 0).all()
    np.testing.assert_allclose(generate(network, result.latents, 3), result.images, atol=1e-6)


def test_more_starts_are_never_worse_and_others_do_not_matter(generator):
    pictures = np.random.RandomState(0).uniform(-1, 1, (3, 3, 32, 32)).astype('f')

    def distances(count, starts, steps):
        result = project(generator, pictures[:count], labels=PLAIN, starts=starts, steps=steps,
                         seed=0, name='g')
        return result.latents, Distance(generator, None, latents_of(0, 1), PLAIN).of(
            pictures[:count], np.repeat(PLAIN, count, axis=0))(result.latents)[0]
    (_, one), (z, four) = distances(3, 1, 20), distances(3, 4, 20)
    assert (four <= one + 1e-5).all()
    np.testing.assert_allclose(distances(1, 4, 20)[0], z[:1], atol=1e-3)


@pytest.mark.parametrize('starts', [1, 6])
def test_all_labels_are_tried(starts):
    network, eye = trained(models.generator(32, 5, 4, 1, labels=3), labels=3), np.eye(3, dtype='f')
    pictures = generate(network, latents_of(3, 6), 6, eye.repeat(2, axis=0))
    result = project(network, pictures, labels=eye, starts=starts, steps=60, seed=0, name='g')
    assert (result.labels == [0, 0, 1, 1, 2, 2]).sum() >= 5
    only = project(network, pictures, labels=eye[1:2], starts=starts, steps=2, seed=0, name='g')
    assert (only.labels == 1).all()


def test_the_nearest_of_the_drawn_are_the_starts(generator):
    """For each label; the images are compared when they are shrunk."""
    drawn, labels = projection._draw(generator, PLAIN, 3, seed=4)
    assert drawn.shape == (DRAWN, 5) and labels.shape == (DRAWN, 0)
    images = generate(generator, drawn, 64)
    nearest = projection._nearest(generator, images[[7, 500]], drawn, labels, 1, 3, 'g')
    assert nearest.shape == (2, 3) and list(nearest[:, 0]) == [7, 500]
    errors = np.square(images - images[7]).sum(axis=(1, 2, 3))
    assert set(nearest[0]) == set(np.argsort(errors)[:3])
    drawn, labels = projection._draw(generator, np.eye(2, dtype='f'), 600, seed=4)
    assert len(drawn) == 1200 and (drawn[:600] == drawn[600:]).all()
    assert (labels.argmax(axis=1) == np.arange(1200) // 600).all()


def test_an_unusable_generator():

    x = C.input_variable(5, name='latent')
    network = C.reshape(C.log(C.times(x, -np.ones((5, 12), 'f')) - 100), (3, 2, 2))
    with pytest.raises(UserError, match='NaN or infinite'):
        project(network, np.zeros((1, 3, 2, 2), 'f'), labels=PLAIN, starts=1, steps=1, seed=0,
                name='bad')
