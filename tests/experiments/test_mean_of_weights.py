"""The mean of generators' weights, and its batch normalisation."""

import mean_of_weights

from wgan.generators.evaluation import evaluate_in_training, generate, latent_input, state
from wgan.generators.latents import draw_latents
from wgan.machine.command_line import UserError

import models
import numpy as np
import pytest


@pytest.fixture
def two():
    return [models.generator(32, latent_size=20, width=4, seed=seed) for seed in (1, 2)]


def test_each_weight_is_the_mean(two):
    latents = {latent_input(two[0]): draw_latents(64, 20, 0)}
    evaluate_in_training(two[0], latents)           # running statistics that differ
    mean = mean_of_weights.mean_of(two)
    assert len(state(mean)) > len(mean.parameters)
    for p, a, b in zip(*map(state, [mean, *two])):
        np.testing.assert_allclose(p.value, (a.value + b.value) / 2, rtol=1e-6)
        assert p.uid not in (a.uid, b.uid)


def test_statistics_are_those_of_its_images(two):
    """The variance of the first layer is known: that of W z, of which each z has the variance 1."""
    generator = two[0]
    mean_of_weights.measure_statistics(generator)
    weights, = (p.value for p in generator.parameters if p.shape == (20, 16, 4, 4))
    variance, = (p.value for p in generator.constants
                 if p.name == 'aggregate_variance' and p.shape == (16,))
    np.testing.assert_allclose(variance, (weights ** 2).sum(0).mean((1, 2)), rtol=0.05)
    latents = draw_latents(2048, 20, 5)
    images = generate(generator, latents, 256)
    difference = images - evaluate_in_training(generator, {latent_input(generator): latents})
    assert difference.std() < 0.03 * images.std()


@pytest.mark.parametrize('other, said', [
    (dict(width=8), 'has other layers than a.model, so that their weights have no mean'),
    (dict(width=4, labels=2), 'takes labels')])
def test_generators_without_a_mean_are_refused(two, other, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    two[0].save('a.model')
    models.generator(32, latent_size=20, seed=3, **other).save('b.model')
    with pytest.raises(UserError, match='^b.model ' + said):
        mean_of_weights.open_generators(['a.model', 'b.model'])
