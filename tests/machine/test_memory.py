"""What CNTK keeps for backpropagation: less, and all that it needs."""

import sys

from helpers import count_interrupted, everything_kept, run_test_program
from wgan.machine import memory
from wgan.machine.cntk import C, libraries

import numpy as np
import pytest

needs_memory = pytest.mark.skipif(not memory.KEPT, reason='needs CNTK 2.7 for Linux')
SHAPE, SIZE = (4, 6, 6), 144
PAD = [False, True, True]


def gradients(seed, dtype):
    """Of a random chain of products with constants, parameters or earlier values on either side.
    Other operations between them use the memory that is freed.
    """
    rng = np.random.RandomState(seed)

    def factor(*shape):
        values = rng.uniform(-2, 2, shape).astype(dtype) / min(6, max(shape))
        return C.constant(values) if rng.rand() < 0.5 else C.parameter(init=values)

    def earlier():
        """Also one that no gradient reaches."""
        without = C.sin(fixed * (len(values) + 1))
        return without if rng.rand() < 0.5 else values[rng.randint(len(values))]

    kinds = [
        lambda v: v * factor(*SHAPE), lambda v: factor(*SHAPE) * v, lambda v: v * earlier() + v,
        lambda v: earlier() * v - v, lambda v: v * v + v, lambda v: v + earlier(), C.tanh,
        lambda v: C.reshape(C.times(C.reshape(v, SIZE), factor(SIZE, SIZE)), SHAPE),
        lambda v: C.reshape(C.times(C.reshape(v, (1, SIZE)), C.reshape(earlier(), (SIZE, 1))),
                            (1, 1, 1)) * factor(*SHAPE),
        lambda v: C.reshape(C.times_transpose(factor(SIZE, SIZE), C.reshape(v, (1, SIZE))), SHAPE),
        lambda v: C.convolution(factor(4, 4, 3, 3), v, auto_padding=PAD),
        lambda v: C.convolution_transpose(factor(4, 4, 3, 3), C.reshape(v, SHAPE),
                                          auto_padding=PAD, output_shape=SHAPE)]
    x = C.input_variable(SHAPE, dtype, needs_gradient=bool(rng.randint(2)))
    fixed = C.input_variable(SHAPE, dtype)
    values = [x * C.parameter(init=rng.uniform(-1, 1, SHAPE).astype(dtype))]
    for _ in range(20):
        y = kinds[rng.randint(len(kinds))](values[-1 - rng.randint(min(2, len(values)))])
        values.append(C.tanh(y) if rng.rand() < 0.5 else y)
    loss = C.reduce_sum(values[-1] * values[-1] + values[-2] * fixed)
    wrt = list(loss.parameters) + [x] * x.needs_gradient
    found = loss.grad({v: rng.uniform(-1, 1, (3,) + SHAPE).astype(dtype) for v in (x, fixed)},
                      wrt=wrt)
    return [found[v] for v in wrt] if len(wrt) > 1 else [found]


@needs_memory
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('seed', [
    pytest.param(seed, marks=pytest.mark.slow if seed >= 6 else ()) for seed in range(20)])
def test_gradients_are_those_with_everything_kept(seed, dtype):
    found = gradients(seed, dtype)
    with everything_kept():
        expected = gradients(seed, dtype)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)
    assert any(0 < np.abs(one).max() < 1e6 for one in found)


@needs_memory
def test_in_a_recurrent_loop_and_for_other_variables():
    """The variables that get a gradient decide what is kept, and may change."""
    def found():
        C.cntk_py.set_fixed_random_seed(1)
        x, z = (C.sequence.input_variable(4, needs_gradient=True) for _ in range(2))
        h = C.layers.Recurrence(C.layers.LSTM(4))(C.sin(x) * C.exp(z))
        loss = C.reduce_sum(C.sequence.reduce_sum(h * C.tanh(h * z) * C.constant(0.7, 4)))
        rng, wrt = np.random.RandomState(0), [x, z, *loss.parameters]
        feed = {v: [rng.standard_normal((n, 4)).astype(np.float32) for n in (2, 5, 3)]
                for v in (x, z)}
        gradients = [loss.grad(feed, wrt=[v]) for v in wrt]
        both = loss.grad(feed, wrt=wrt)
        return gradients + [both[v] for v in wrt]

    less = found()
    with everything_kept():
        for one, other in zip(less, found()):
            assert all(np.array_equal(a, b) for a, b in zip(one, other))


@needs_memory
@pytest.mark.slow
def test_ctrl_c_while_it_is_decided_is_not_lost_and_spoils_nothing():
    """An exception would be lost there, and CNTK would get the answer no."""
    def gradient(start):
        x = C.input_variable(3)
        y = x * C.parameter(3, init=1)
        for _ in range(60):
            y = C.sin(y) * C.cos(y)
        loss = C.reduce_sum(y)
        start()
        return loss.grad({x: np.ones((2, 3), np.float32)}, wrt=loss.parameters)

    moments = [0.001 + 0.0005 * i for i in range(40)]
    assert count_interrupted(gradient, gradient(lambda: None), moments) == 40


@needs_memory
@pytest.mark.slow
def test_less_is_kept():
    """Of a chain of products with constants, nothing."""
    needed, everything = (float(run_test_program('products.py', kept).out)
                          for kept in ('needed', 'everything'))
    assert needed < 0.6 * everything


@needs_memory
def test_another_build_of_cntk(tmp_path, monkeypatch):
    """It is refused, and nothing changes."""
    (_, slots), = memory.KEPT
    before = [slot.value for slot in slots]
    for name, value in (('READER', 'other'), ('READS', memory.re.compile(b'other')),
                        ('PRODUCTS', memory.PRODUCTS + [('other', 'other')])):
        with monkeypatch.context() as changed:
            changed.setattr(memory, name, value)
            with pytest.raises(memory.Unavailable, match='not one that it is known to work with'):
                memory.install(libraries())
    with pytest.raises(memory.Unavailable, match='not one that it is known to work with'):
        memory.install(str(tmp_path))
    monkeypatch.setattr(sys, 'platform', 'win32')
    with pytest.raises(memory.Unavailable, match='on Linux only'):
        memory.install(libraries())
    assert [slot.value for slot in slots] == before
