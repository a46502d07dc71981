"""The networks: shapes, maps, initial weights, generation."""

import numpy as np
import pytest

from wgan.datasets.images import IMAGE_SIZES
from wgan.generators.evaluation import evaluate_in_training, generate
import models
from helpers import singular_vectors, spectral_norms


@pytest.mark.parametrize('size', IMAGE_SIZES)
def test_shapes(size):
    generator, critic = models.generator(size, latent_size=7, width=2), models.critic(size, width=2)
    images = generator.eval({generator.arguments[0]: np.ones((2, 7), np.float32)})
    assert images.shape == (2, 3, size, size) and np.abs(images).max() <= 1
    assert critic.eval({critic.arguments[0]: images}).shape == (2, 1)


def test_the_articles_networks():
    """At 256 pixels and width 32: every kernel, from the latent to the score."""
    def kernels(network):
        return sorted((p.shape for p in network.parameters if len(p.shape) == 4), reverse=True)

    maps = [1024, 512, 256, 128, 64, 32]
    assert kernels(models.generator(256)) == sorted(
        [(100, 1024, 4, 4)] + [(i, o, 5, 5) for i, o in zip(maps, maps[1:] + [3])], reverse=True)
    maps = maps[::-1]
    assert kernels(models.critic(256)) == sorted(
        [(o, i, 3, 3) for i, o in zip([3] + maps, maps)] + [(1024, 4, 4, 1)], reverse=True)
    # Normalised: five layers of the critic (not its first), a gain and a bias for each map.
    assert sorted(p.shape for p in models.critic(256).parameters if p.name == 'gain') == [
        (m, 1, 1) for m in (64, 128, 256, 512, 1024)]


def test_initial_weights():
    """N(0, 0.02), the same from the same seed, and not the same numbers in every layer."""
    a, b, other = (models.generator(64, seed=s) for s in (5, 5, 6))
    kernels = [p.value for p in a.parameters if len(p.shape) == 4]
    for kernel, again in zip(kernels, (p.value for p in b.parameters if len(p.shape) == 4)):
        assert (kernel == again).all()
        assert abs(kernel.std() - 0.02) < 0.002 and abs(kernel.mean()) < 0.002
    assert len({kernel.flat[0] for kernel in kernels}) == len(kernels)
    assert other.parameters[0].value.flat[0] != a.parameters[0].value.flat[0]


def test_generation_does_not_depend_on_the_batch():
    generator = models.generator(32, width=4, seed=1)
    latents = np.random.RandomState(0).randn(10, 100).astype(np.float32)
    evaluate_in_training(generator, {generator.arguments[0]: latents})    # statistics
    whole = generate(generator, latents, 10)
    np.testing.assert_allclose(generate(generator, latents, 3), whole, atol=1e-6)


def test_in_training_the_minibatch_normalises_itself():
    """The first layer's statistics become those of the minibatch: what evaluation uses later."""
    generator = models.generator(32, width=4, seed=1)
    latents = np.random.RandomState(0).randn(64, 100).astype(np.float32)
    evaluated = generate(generator, latents, 64)
    trained = evaluate_in_training(generator, {generator.arguments[0]: latents})
    assert np.abs(trained - evaluated).max() > 0.1              # CNTK starts from no statistics
    # A first minibatch sets the running statistics to its own: now both agree closely.
    assert np.abs(generate(generator, latents, 64) - trained).max() < 0.05


def test_unknown_size():
    with pytest.raises(ValueError, match='image size 100 is not supported'):
        models.generator(100)


@pytest.mark.parametrize('labels', [0, 2])
def test_spectral_normalization_is_of_all_weights(labels):
    """Of new weights σ is near the largest singular value; there is no other normalisation."""
    critic = models.critic(32, width=4, seed=1, normalization='spectral', labels=labels)
    assert {p.name for p in critic.parameters} == {'W', 'b'}
    norms = spectral_norms(critic)
    assert len(norms) == sum(p.name == 'W' for p in critic.parameters)
    for norm, largest in norms:
        assert norm == pytest.approx(largest, rel=0.05)
    for weights, u, v in singular_vectors(critic):
        assert u.shape[1] == (1 if weights.shape[-1] == 1 else weights.shape[0])
