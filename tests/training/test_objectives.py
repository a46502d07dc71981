"""The losses and their gradients, against PyTorch's double backward in float64 (reference.npz)."""

import os

import numpy as np
import pytest

from wgan.machine.cntk import C
import models
from helpers import TESTS
from wgan.training import objectives
from symbolic_gradient import gradient

F64 = np.float64
SIZE, WIDTH, BATCH = 64, 4, 3                   # as in make_reference.py


@pytest.fixture(scope='module')
def reference():
    path = os.path.join(TESTS, 'reference.npz')
    with np.load(path, allow_pickle=False) as saved:
        return dict(saved)


@pytest.fixture(scope='module')
def inputs():
    """real, fake, epsilon: the first numbers that make_reference.py draws."""
    rng = np.random.RandomState(20170331)
    real, fake = rng.uniform(-1, 1, (2, BATCH, 3, SIZE, SIZE))
    return real, fake, rng.uniform(0, 1, (BATCH, 1, 1, 1))


def key(parameter):
    return parameter.name + ' ' + 'x'.join(map(str, parameter.shape))


def build(reference, dtype, penalty_weight=10.0):
    """The reference's critic in CNTK, with its objective and input variables."""
    with C.default_options(dtype=dtype):
        generator, critic = models.generator(SIZE, width=WIDTH), models.critic(SIZE, WIDTH)
        for p in critic.parameters:
            p.value = reference['value ' + key(p)].astype(dtype)
        latent = C.input_variable(100, name='latent')
        real, fake = C.input_variable((3, SIZE, SIZE)), C.input_variable((3, SIZE, SIZE))
        objective = objectives.wgan_gp(generator, critic, latent, real, fake, penalty_weight)
    return critic, objective, (real, fake, *objective.draws)


def relative(actual, expected):
    """Largest deviation, in parts of the largest expected value."""
    scale = np.abs(expected).max()
    return np.abs(actual - expected).max() / (scale if scale > 0 else 1)


# float64 shows that the graph is the right formula; float32 is what trains.
@pytest.mark.parametrize('dtype, values, gradients', [(F64, 1e-12, 1e-11),
                                                      (np.float32, 1e-5, 1e-5)])
def test_values_and_parameter_gradients_equal_pytorch(reference, inputs, dtype, values, gradients):
    critic, objective, variables = build(reference, dtype)
    data = {v: x.astype(dtype) for v, x in zip(variables, inputs)}

    penalty, wasserstein, norm = (objective.logged[n] for n in ('GP', 'wasserstein', 'grad_norm'))
    assert relative(norm.eval(data).ravel(), reference['norm']) < values
    for name, value in (('penalty', penalty), ('wasserstein', wasserstein)):
        feed = {v: data[v] for v in value.arguments}
        assert relative(value.eval(feed).mean(), reference[name]) < values
    assert relative(objective.critic_loss.eval(data).mean(), reference['loss']) < values

    for name, graph in (('penalty', penalty), ('loss', objective.critic_loss)):
        # CNTK sums over the minibatch, the reference takes the mean.
        found = graph.grad(data, wrt=list(graph.parameters))
        assert len(graph.parameters) == len(critic.parameters) - (name == 'penalty')
        for p in graph.parameters:
            expected = reference['%s by %s' % (name, key(p))]
            assert relative(found[p] / BATCH, expected) < gradients, (name, key(p))


@pytest.mark.parametrize('width, dtype, tolerance', [(32, np.float32, 1e-6), (WIDTH, F64, 1e-13)])
def test_slope_equals_cntk_and_pytorch(reference, inputs, width, dtype, tolerance):
    """∂C/∂x of the 64-pixel critic against CNTK's own numbers; at the narrow one PyTorch's too."""
    with C.default_options(dtype=dtype):
        critic = models.critic(SIZE, width, seed=1)
        image = C.input_variable((3, SIZE, SIZE), needs_gradient=True)
    if width == WIDTH:
        for p in critic.parameters:
            p.value = reference['value ' + key(p)]
    real, fake, epsilon = inputs
    between = (epsilon * real + (1 - epsilon) * fake).astype(dtype)
    score = critic(image)
    found = gradient(score, image).eval({image: between})
    assert relative(found, score.grad({image: between})) < tolerance
    if width == WIDTH:
        assert relative(found[0], reference['slope']) < 1e-11


def test_penalty_trains_in_proportion_to_its_weight(reference, inputs):
    """The defect that this project exists for: fed as a number, the penalty changes no gradient."""
    by_weight = {}
    for weight in (0.0, 10.0, 20.0):
        critic, objective, variables = build(reference, F64, weight)
        found = objective.critic_loss.grad(dict(zip(variables, inputs)),
                                           wrt=list(critic.parameters))
        by_weight[weight] = {key(p): found[p] for p in critic.parameters}
    for name in by_weight[0.0]:
        share = by_weight[10.0][name] - by_weight[0.0][name]
        doubled = by_weight[20.0][name] - by_weight[0.0][name]
        assert relative(doubled, 2 * share) < 1e-12
        # Additive constants of the last layers have no part in the slope: PyTorch says zero too.
        if reference['penalty by ' + name].any():
            assert np.abs(share).max() > 1e-3 * np.abs(by_weight[0.0][name]).max()


def test_epsilon_and_norm_are_per_sample(reference, inputs):
    """A sample's norm does not depend on which others are in the minibatch."""
    _, objective, variables = build(reference, F64)
    together = objective.logged['grad_norm'].eval(dict(zip(variables, inputs)))
    for i in range(BATCH):
        alone = objective.logged['grad_norm'].eval(
            {v: x[i:i + 1] for v, x in zip(variables, inputs)})
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-12)


def test_critic_update_has_no_generator_in_it(reference):
    critic, objective, _ = build(reference, np.float32)
    assert ({p.uid for p in objective.critic_loss.parameters}
            == {p.uid for p in critic.parameters})
