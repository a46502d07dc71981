"""The networks for text against a PyTorch twin, in float64: forward, and one update of each."""

import os

import numpy as np
import pytest

from helpers import TESTS
from wgan.generators import onnx_file as onnx_generator
from wgan.machine.cntk import C
from wgan.generators.evaluation import makes_text
from wgan.training.objectives import OBJECTIVES
from wgan.training.updates import trainer
import text_models

SETTINGS = dict(learning_rate=1e-4, beta1=0.5, beta2=0.9, penalty_weight=10.0)


@pytest.fixture(scope='module')
def twin():
    """(what PyTorch computed, the two networks with its weights)."""
    with np.load(os.path.join(TESTS, 'text.npz'), allow_pickle=False) as saved:
        reference = dict(saved)
    with C.default_options(dtype=np.float64):
        networks = {'generator': text_models.generator(5, 6, 7, 4),
                    'critic': text_models.critic(5, 6, 4)}
    for name, network in networks.items():
        for i, p in enumerate(in_order(network)):
            p.value = reference['%s %02d' % (name, i)].reshape(p.shape)
    return reference, networks


def in_order(network):
    """The weights in the order in which the network uses them: W0, b0, W1 …"""
    return sorted(network.parameters, key=lambda p: (int(p.name[1:]), p.name))


def test_forward_and_one_update_of_each(twin):
    reference, networks = twin
    latent, real = C.input_variable(7, np.float64), C.input_variable((5, 1, 6), np.float64)
    generator, critic = networks['generator'], networks['critic']
    one_hot = np.ascontiguousarray(reference['real'].transpose(0, 2, 1)[:, :, None])
    text = generator(latent).eval({latent: reference['latents'][0]})
    np.testing.assert_allclose(text[:, :, 0], reference['text'], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(text.sum(axis=1), 1, rtol=1e-14)
    scores = critic(real).eval({real: one_hot})
    np.testing.assert_allclose(scores.ravel(), reference['scores'], rtol=1e-11)

    with C.default_options(dtype=np.float64):
        objective = OBJECTIVES['wgan-gp']
        made = objective.build_losses(generator, critic, latent, real,
                                      C.stop_gradient(generator(latent)), SETTINGS)
        trainers = {name: trainer(loss, [], objective.build_optimizer(
                        networks[name].parameters, SETTINGS))
                    for name, loss in (('critic', made.critic_loss),
                                       ('generator', made.generator_loss))}
    epsilon, = made.draws
    trainers['critic'].train_minibatch({real: one_hot, latent: reference['latents'][0],
                                        epsilon: reference['epsilon'][..., None]})
    trainers['generator'].train_minibatch({latent: reference['latents'][1]})
    for name, network in networks.items():
        assert trainers[name].previous_minibatch_loss_average == pytest.approx(
            float(reference[name + ' loss']), rel=1e-7)
        for i, p in enumerate(in_order(network)):       # a step is about as long as the rate
            after = reference['%s after %02d' % (name, i)].reshape(p.shape)
            assert np.abs(p.value - after).max() < 1e-5 * 1e-4, (name, i)


def test_initial_weights():
    """Even, ± √(12 / (fan in + fan out)) in convolutions and ± √(6 / …) in dense layers."""
    networks = text_models.networks(30, 10, 128, 64, np.random.RandomState(0))
    limits = set()
    for network in networks:
        for p in network.parameters:
            if p.name.startswith('b'):
                assert (p.value == 0).all()
                continue
            fan = (sum(p.shape[:2]) * p.shape[3] if len(p.shape) == 4 else sum(p.shape))
            limit = np.sqrt((12 if len(p.shape) == 4 else 6) / fan)
            assert 0.97 * limit < np.abs(p.value).max() <= limit * (1 + 1e-6)
            assert p.value.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)
            limits.add(limit)
    assert len(limits) == 4
    again = text_models.networks(30, 10, 128, 64, np.random.RandomState(0))
    other = text_models.networks(30, 10, 128, 64, np.random.RandomState(1))
    assert all((p.value == q.value).all() for a, b in zip(networks, again)
               for p, q in zip(a.parameters, b.parameters))
    assert not all((p.value == q.value).all() for p, q in zip(
        networks[0].parameters, other[0].parameters))


def test_onnx(tmp_path):
    generator = text_models.generator(6, 9, 5, 8, seed=0)
    assert makes_text(generator)
    path = str(tmp_path / 'g.onnx')
    assert onnx_generator.export(generator, path, {}) < 1e-6
    loaded = onnx_generator.load(path)
    latents = np.random.RandomState(0).standard_normal((4, 5)).astype(np.float32)
    assert loaded.output.shape == (6, 1, 9)
    np.testing.assert_allclose(loaded.eval(latents), generator.eval(latents), atol=1e-6)
