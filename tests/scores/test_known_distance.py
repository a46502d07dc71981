"""WGAN-GP's critic where its optimum is known in closed form."""

import numpy as np
import pytest

from wgan.machine.cntk import C
from wgan.training.optimizers import Adam
from wgan.training.objectives import wgan_gp

pytestmark = pytest.mark.slow
BATCH, STEPS, WEIGHT = 128, 500, 10.0


def estimate(draw_real, draw_fake, seed=0):
    """E[C(x)] − E[C(x̃)] and the mean slope of a small critic, trained to its optimum; images
    of one pixel and one colour.
    """
    rng = np.random.RandomState(seed)
    point = C.input_variable((1, 1, 1))
    h = C.reshape(point, (1,))
    for i in range(2):
        h = C.layers.Dense(32, C.tanh, init=C.initializer.glorot_uniform(seed=seed + i + 1))(h)
    critic = C.layers.Dense(1, init=C.initializer.glorot_uniform(seed=seed + 9))(h)
    # A slope of −1 costs no penalty either, and in one dimension there is no way round from there
    # to +1 but through 0. So the critic begins with the right sign.
    low, high = critic.eval({point: np.float32([0, 1]).reshape(2, 1, 1, 1)}).ravel()
    if high < low:
        last = [p for p in critic.parameters if p.shape == (32, 1)][0]
        last.value = -last.value
    real, fake = C.input_variable((1, 1, 1)), C.input_variable((1, 1, 1))
    objective = wgan_gp(lambda z: z, critic, point, real, fake, WEIGHT)
    logged = [objective.logged['wasserstein'], objective.logged['grad_norm']]
    trainer = C.Trainer(objective.critic_loss, (objective.critic_loss, None), [
        Adam(critic.parameters, 4e-3, 0.0, 0.99).learner])
    (epsilon, draw_epsilon), = objective.draws.items()
    found = []
    for step in range(STEPS):
        x, y = (d(rng).astype(np.float32).reshape(BATCH, 1, 1, 1) for d in (draw_real, draw_fake))
        _, values = trainer.train_minibatch(
            {real: x, fake: y, epsilon: draw_epsilon(rng, x)}, outputs=logged)
        if step >= STEPS - 150:
            found.append([np.mean(values[f]) for f in logged])
    return np.mean(found, axis=0)


def test_two_points():
    """x = d, x̃ = 0. With slope g between them the critic gains d g − λ (g − 1)²: at the optimum
    g = 1 + d / 2λ, and the estimate is d g, above the distance d by the part d / 2λ.
    """
    d = 0.5
    found, slope = estimate(lambda rng: np.full(BATCH, d), lambda rng: np.zeros(BATCH))
    expected = 1 + d / (2 * WEIGHT)
    assert slope == pytest.approx(expected, rel=0.005)
    assert found == pytest.approx(d * expected, rel=0.005)


def test_two_gaussians():
    """N(0, ½²) and N(0.6, ½²): the distance is that of the means; the estimate is within 5 %."""
    found, slope = estimate(lambda rng: 0.6 + 0.5 * rng.randn(BATCH),
                            lambda rng: 0.5 * rng.randn(BATCH))
    assert found == pytest.approx(0.6, rel=0.05)
    assert slope == pytest.approx(1, abs=0.1)
