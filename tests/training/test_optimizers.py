"""The optimisers, step by step, against their papers' rules written in NumPy."""

import numpy as np

from wgan.machine.cntk import C
from wgan.training.optimizers import Adam, RmsProp

BATCH = 16


def descend(learner_of, steps, scale=1.0):
    """Yields the weights before and after each update, and the mean gradient of its minibatch."""
    rng = np.random.RandomState(3)
    with C.default_options(dtype=np.float64):
        x = C.input_variable(6)
        w = C.parameter((6, 4), init=rng.randn(6, 4), dtype=np.float64)
        loss = scale * C.reduce_sum(C.square(C.tanh(C.times(x, w)) - 0.3))
        trainer = C.Trainer(loss, (loss, None), [learner_of([w])])
    for data in rng.randn(steps, BATCH, 6):
        before, y = w.value.copy(), np.tanh(data @ w.value)
        gradient = scale * data.T @ (2 * (y - 0.3) * (1 - y * y)) / BATCH
        trainer.train_minibatch({x: data})
        yield before, w.value.copy(), gradient


def assert_step(before, after, expected_step):
    assert np.abs(before - after - expected_step).max() < 1e-6 * np.abs(expected_step).max()


def test_adam():
    """Kingma and Ba, end of section 2."""
    rate, beta1, beta2 = 1e-4, 0.5, 0.999977766
    m = v = 0
    updates = descend(lambda p: Adam(p, rate, beta1, beta2).learner, 10)
    for t, (before, after, g) in enumerate(updates, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        corrected = rate * np.sqrt(1 - beta2 ** t) / (1 - beta1 ** t)
        assert_step(before, after, corrected * m / (np.sqrt(v) + 1e-8))


def test_rmsprop():
    """Also where gradients are as small as those of a clipped critic: CNTK's own fails there."""
    for scale in (1.0, 1e-5):
        r = 0
        for before, after, g in descend(lambda p: RmsProp(p, 5e-5, BATCH).learner, 10, scale):
            r = 0.99 * r + 0.01 * g * g
            assert_step(before, after, 5e-5 * g / (np.sqrt(r) + 1e-8))


def test_rmsprop_clips():
    for before, after, g in descend(lambda p: RmsProp(p, 1e-2, BATCH, clip=0.01).learner, 3):
        assert np.abs(after).max() == np.float32(0.01) <= 0.01


def test_rmsprop_goes_on_from_what_was_saved():
    made = []

    def learner(parameters):
        made.append(RmsProp(parameters, 1e-3, BATCH))
        return made[-1].learner

    updates = descend(learner, 3)
    next(updates)
    first = made[0].arrays()
    assert list(first) == ['squares_0'] and first['squares_0'].any()
    second = [after for _, after, _ in updates]
    again = descend(learner, 3)
    next(again)
    made[1].restore({'squares_0': 0 * first['squares_0']})
    made[1].restore(first)
    np.testing.assert_array_equal([after for _, after, _ in again], second)
