"""Every rule of symbolic_gradient, against CNTK's own numbers, and once more an order higher.

`Function.grad` differentiates by other code (CNTK's C++), so it is an independent source for the
first derivative. For the second, CNTK's numbers for the gradient graph are held against
`gradient` of it: the two agree only if both differentiate its operations rightly.
"""

import cntk as C
import numpy as np
import pytest

import random_graphs
import symbolic_gradient
from wgan.machine.cntk import quiet
from symbolic_gradient import (
    BLOCK_RULES, REDUCTIONS, RULES, gradient, no_gradient, safe_to_differentiate)

F64 = np.float64
SUM_OVER_SEQUENCE = C.TIMES_REDUCE_SEQUENCE_AXIS_WITHOUT_INFERRED_INPUT_RANK


def numbers(shape, low=-2.0, high=2.0, seed=0):
    return np.random.RandomState(seed).uniform(low, high, shape)


def parameter(*shape, **kwargs):
    return C.parameter(shape, init=numbers(shape, seed=1, **kwargs), dtype=F64)


CASES = [
    # name, shape of x, lowest x, graph of x
    ('plus, broadcast', (3, 4), -2, lambda x: C.square(x + parameter(4))),
    ('plus, own parameter smaller', (1, 4), -2, lambda x: C.square(x + parameter(3, 4))),
    ('minus', (3, 4), -2, lambda x: C.square(parameter(3, 4) - x)),
    ('minus left', (3, 4), -2, lambda x: C.square(x - parameter(3, 4))),
    ('element_times', (3, 4), -2, lambda x: x * x * parameter(3, 1)),
    ('element_times, larger other', (4,), -2, lambda x: C.exp(x * parameter(2, 3, 4))),
    ('negate', (5,), -2, lambda x: C.exp(C.negate(x))),
    ('select', (5,), -2, lambda x: C.element_select(C.less(x, 0.3), x * x, C.exp(x))),
    ('relu', (20,), -2, lambda x: C.square(C.relu(x))),
    ('leaky_relu', (20,), -2, lambda x: C.square(C.leaky_relu(x, 0.2))),
    ('elu, a block', (20,), -2, lambda x: C.elu(x)),
    ('tanh', (5,), -2, C.tanh),
    ('sigmoid', (5,), -2, C.sigmoid),
    ('softplus', (5,), -2, C.softplus),
    ('log_add_exp', (5,), -2, lambda x: C.log_add_exp(x, C.square(x))),
    ('exp', (5,), -2, C.exp),
    ('log', (5,), 0.1, C.log),
    ('sqrt', (5,), 0.1, C.sqrt),
    ('square', (5,), -2, C.square),
    ('reciprocal', (5,), 0.1, C.reciprocal),
    ('division', (5,), 0.1, lambda x: C.exp(x) / (x + C.square(x))),
    ('abs', (20,), -2, lambda x: C.abs(x) * x),
    ('alias', (5,), -2, lambda x: C.square(C.alias(x))),
    ('clipped by comparisons', (20,), -2, lambda x: C.element_select(
        C.greater_equal(x, 1), 1, C.element_select(C.less_equal(x, -1), -1, C.exp(x)))),
    ('equal', (20,), -2, lambda x: C.element_select(
        C.equal(x, 1), 1, C.element_select(C.not_equal(x, -1), C.exp(x), x))),
    ('reduce_sum, all', (3, 4), -2, lambda x: C.square(C.reduce_sum(x))),
    ('reduce_mean, all', (3, 4), -2, lambda x: C.exp(C.reduce_mean(x))),
    ('reduce_sum, listed axes', (3, 4, 5), -2, lambda x: C.square(C.reduce_sum(x, axis=(0, 2)))),
    ('reduce_mean, last axis', (3, 4, 5), -2, lambda x: C.square(C.reduce_mean(x, axis=-1))),
    ('reduce_mean, axis dropped', (3, 4, 5), -2,
     lambda x: C.square(C.reduce_mean(x, axis=1, keepdims=False))),
    ('reduce_sum, all listed and dropped', (3, 4), -2,
     lambda x: C.square(C.reduce_sum(x, axis=(0, 1), keepdims=False))),
    ('softmax', (3, 4), -2, C.softmax),
    ('softmax, an axis', (3, 4), -2, lambda x: C.square(C.softmax(x, axis=0))),
    ('log_softmax', (3, 4), -2, lambda x: C.square(C.log_softmax(x, axis=1))),
    ('clip', (20,), -2, lambda x: C.square(C.clip(x, -1, 1.5))),
    ('reduce_max', (3, 4), -2, lambda x: C.square(C.reduce_max(x, axis=1))),
    ('reduce_max, all', (3, 4), -2, lambda x: C.square(C.reduce_max(x))),
    ('reduce_min, axes', (3, 4), -2, lambda x: C.square(C.reduce_min(x, axis=(0, 1)))),
    ('reduce_min, all', (3, 4), -2, lambda x: C.square(C.reduce_min(x))),
    ('reduce_log_sum_exp', (3, 4), -2, lambda x: C.square(C.reduce_log_sum_exp(x, axis=0))),
    ('reduce_log_sum_exp, all', (3, 4), -2, lambda x: C.square(C.reduce_log_sum_exp(x))),
    ('reduce_prod', (3, 4), 0.5, lambda x: C.square(C.reduce_prod(x, axis=0))),
    ('reduce_prod, all', (3, 4), 0.5, lambda x: C.square(C.reduce_prod(x))),
    ('squared_error, a block', (6,), -2, lambda x: C.squared_error(x, parameter(6))),
    ('reshape', (3, 8, 8), -2, lambda x: C.square(C.reshape(x, (16, 12)) + parameter(12))),
    ('reshape, some axes', (3, 4, 4), -2,
     lambda x: C.square(C.reshape(x, (8, 2), 1, 3) + parameter(2))),
    ('transpose', (2, 3, 4), -2,
     lambda x: C.square(C.transpose(x, (2, 0, 1)) + parameter(4, 2, 3))),
    ('swapaxes', (2, 3, 4), -2, lambda x: C.square(C.swapaxes(x, 0, -1) + parameter(4, 3, 2))),
    ('times', (6,), -2, lambda x: C.tanh(C.times(x, parameter(6, 3)))),
    ('times, rows', (2, 6), -2, lambda x: C.tanh(C.times(x, parameter(6, 3)))),
    ('times, several inner axes', (2, 3, 4), -2,
     lambda x: C.tanh(C.times(x, parameter(2, 3, 4, 5)))),
    ('times, several outer axes', (2, 3), -2,
     lambda x: C.tanh(C.times(x, parameter(2, 3, 4, 5), output_rank=2))),
    ('times, x on the right', (6, 2), -2, lambda x: C.tanh(C.times(parameter(3, 6), x))),
    ('times, x on both sides', (4, 4), -2, lambda x: C.tanh(C.times(x, x))),
    ('times_transpose', (6,), -2, lambda x: C.tanh(C.times_transpose(x, parameter(3, 6)))),
    ('times_transpose, x on the right', (3, 6), -2,
     lambda x: C.tanh(C.times_transpose(parameter(2, 6), x))),
    ('times, both with a batch axis', (2, 4), -2,
     lambda x: C.tanh(C.times(x, C.transpose(C.square(x), (1, 0))))),
    ('times, vector and matrix', (6,), -2,
     lambda x: C.tanh(C.times(x, C.reshape(C.square(x), (6, 1)) * parameter(1, 3)))),
    ('times, one number and a row', (6,), -2, lambda x: C.tanh(C.times(
        C.reshape(C.reduce_sum(x), (1,)), C.reshape(C.square(x), (1, 6))))),
    ('times_transpose, one number', (6,), -2, lambda x: C.tanh(C.times_transpose(
        C.reshape(C.reduce_sum(x), (1,)), C.reshape(C.square(x), (6, 1))))),
    ('times_transpose, vectors', (6,), -2,
     lambda x: C.tanh(C.times_transpose(C.square(x), x))),
    ('times_transpose, a vector on the right', (6,), -2,
     lambda x: C.tanh(C.times_transpose(parameter(2, 6), x))),
    ('cross_entropy_with_softmax', (6,), -2,
     lambda x: C.cross_entropy_with_softmax(x, C.sigmoid(x))),
    ('stop_gradient', (5,), -2, lambda x: C.exp(x) * C.stop_gradient(C.greater(x, 0))),
    ('Dense', (6,), -2, lambda x: C.layers.Dense(3, activation=C.tanh)(x)),
    ('Convolution2D', (2, 7, 6), -2,
     lambda x: C.layers.Convolution2D((3, 3), 4, strides=2, pad=True,
                                      activation=C.leaky_relu)(x)),
    ('ConvolutionTranspose2D', (4, 4, 3), -2,
     lambda x: C.layers.ConvolutionTranspose2D((5, 5), 2, strides=2, pad=True,
                                               activation=C.tanh)(x)),
    ('LayerNormalization', (3, 4), -2, lambda x: C.layers.LayerNormalization()(x)),
]
for strides in ((1, 1), (2, 2), (2, 1), (3, 2)):
    for pad in (True, False):
        CASES += [
            ('convolution %s %s' % (strides, pad), (2, 8, 7), -2,
             lambda x, strides=strides, pad=pad: C.tanh(C.convolution(
                 parameter(3, 2, 3, 3), x, strides=strides, auto_padding=[False, pad, pad]))),
            ('convolution_transpose %s %s' % (strides, pad), (2, 5, 6), -2,
             lambda x, strides=strides, pad=pad: C.tanh(C.convolution_transpose(
                 parameter(2, 3, 5, 5), x, strides=strides, auto_padding=[False, pad, pad])))]
CASES += [
    ('convolution, even kernel', (2, 8, 8), -2, lambda x: C.tanh(C.convolution(
        parameter(3, 2, 4, 4), x, strides=2, auto_padding=[False, True, True]))),
    ('convolution_transpose, output shape', (2, 4, 4), -2, lambda x: C.tanh(C.convolution_transpose(
        parameter(2, 3, 5, 5), x, strides=2, auto_padding=[False, True, True],
        output_shape=(3, 8, 8)))),
]
CASES += [
    # The gradient at the sum goes to a convolution and past it: see _convolution.
    ('residual block', (3, 6, 6), -2, lambda x: C.square(C.tanh(x) + C.convolution(
        parameter(3, 3, 3, 3), C.tanh(x), auto_padding=[False, True, True]))),
    ('x in several places', (4,), -2, lambda x: C.exp(x) * C.tanh(x) + x / (2 + C.square(x))),
]


def differentiate(shape, graph):
    """x, graph(x), its gradient by x, a number made of that gradient, and its gradient by x."""
    with C.default_options(dtype=F64):
        x = C.input_variable(shape, dtype=F64, needs_gradient=True)
        y = graph(x)
        first = gradient(y, x)
        mixed = C.reduce_sum(first * C.constant(numbers(shape, seed=2), dtype=F64))
        return x, y, first, mixed, gradient(mixed, x)


@pytest.mark.parametrize('name, shape, low, graph', CASES, ids=[case[0] for case in CASES])
def test_rule(name, shape, low, graph):
    x, y, first, mixed, second = differentiate(shape, graph)
    data = {x: numbers((5,) + shape, low)}
    np.testing.assert_allclose(first.eval(data), y.grad(data, wrt=[x]), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(second.eval(data), mixed.grad(data, wrt=[x]),
                               rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_every_rule_is_checked(monkeypatch):
    """No line of the tables is left out by the cases above."""
    used = set()

    def recording(key, rule):
        def call(*arguments):
            used.add(key)
            return rule(*arguments)
        return rule if rule in (None, no_gradient) else call

    wanted = {('REDUCTIONS', kind, 0) for kind in REDUCTIONS}
    monkeypatch.setattr(symbolic_gradient, 'REDUCTIONS', {
        kind: recording(('REDUCTIONS', kind, 0), rule) for kind, rule in REDUCTIONS.items()})
    for name, table in (('RULES', RULES), ('BLOCK_RULES', BLOCK_RULES)):
        wanted |= {(name, op, i) for op, rules in table.items() for i, rule in enumerate(rules)
                   if rule not in (None, no_gradient)}
        monkeypatch.setattr(symbolic_gradient, name, {
            op: [recording((name, op, i), rule) for i, rule in enumerate(rules)]
            for op, rules in table.items()})
    for _, shape, _, graph in CASES:
        differentiate(shape, graph)
    # C.sigmoid makes StableSigmoid; the plain one is in older models, and has the same rule.
    # ReconcileDynamicAxis is how a gradient starts, so only a third derivative walks over it.
    # Sums over sequences have a test of their own.
    assert wanted - used == {('RULES', 'Sigmoid', 0), ('RULES', 'ReconcileDynamicAxis', 0),
                             ('BLOCK_RULES', 'Sequence::ReduceElements', 0)}


def test_third_derivative():
    x = C.input_variable(3, dtype=F64)
    graph = C.square(C.square(x))
    for expected in (lambda v: 4 * v ** 3, lambda v: 12 * v ** 2, lambda v: 24 * v):
        graph = gradient(graph, x)
        values = numbers((5, 3))
        np.testing.assert_allclose(graph.eval({x: values}), expected(values), rtol=1e-12)


@pytest.mark.parametrize('shape', [(6, 3), (3,), (1, 3), ()])
def test_by_a_parameter_sums_over_the_minibatch(shape):
    x, w = C.input_variable((6, 3), dtype=F64), parameter(*shape)
    y = C.tanh(x * w)
    data = {x: numbers((5, 6, 3))}
    np.testing.assert_allclose(gradient(y, w).eval(data), y.grad(data, wrt=[w]), rtol=1e-10)


def test_by_a_weight_matrix():
    x, w = C.input_variable((2, 6), dtype=F64), parameter(6, 3)
    y = C.tanh(C.times(x, w))
    data = {x: numbers((5, 2, 6))}
    np.testing.assert_allclose(gradient(y, w).eval(data), y.grad(data, wrt=[w]), rtol=1e-10)


def test_by_an_intermediate_result():
    x = C.input_variable(4, dtype=F64)
    middle = C.tanh(x)
    data = {x: numbers((5, 4))}
    np.testing.assert_allclose(gradient(C.exp(middle), middle).eval(data),
                               np.exp(np.tanh(data[x])), rtol=1e-12)
    assert (gradient(middle, middle).eval(data) == 1).all()


def test_parameters_are_shared_and_trained_through():
    """A loss made of a gradient has the network's own parameters, and CNTK moves them."""
    x, w = C.input_variable(4, dtype=F64), parameter(4, 2)
    loss = C.reduce_sum(C.square(gradient(C.tanh(C.times(x, w)), x)))
    assert [p.uid for p in loss.parameters] == [w.uid]
    data, step = {x: numbers((5, 4))}, 1e-6
    direction, value = numbers((4, 2), seed=7), w.value
    slope = (loss.grad(data, wrt=[w]) * direction).sum()
    w.value = value + step * direction
    up = loss.eval(data).sum()
    w.value = value - step * direction
    down = loss.eval(data).sum()
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_stop_gradient():
    x = C.input_variable(4, dtype=F64)
    data = {x: numbers((5, 4))}
    np.testing.assert_allclose(gradient(x * C.stop_gradient(x), x).eval(data), data[x])
    assert (gradient(C.exp(C.stop_gradient(x)), x).eval(data) == 0).all()


@pytest.mark.slow
def test_deep_graphs():
    x = C.input_variable(1, dtype=F64)
    y = x
    for _ in range(1500):
        y = y + 1
    assert gradient(y, x).eval({x: np.ones((1, 1))}).item() == 1


def test_what_it_refuses():
    x, kernel = C.input_variable((2, 8, 8)), C.parameter((3, 2, 3, 3))
    convolved = C.convolution(kernel, x, auto_padding=[False, True, True])
    steps = C.sequence.input_variable(3)
    for graph, wrt, named in [
            (C.hardmax(x), x, 'the operation Hardmax'),
            (convolved, kernel, 'the operation Convolution by its operand 0'),
            (C.convolution(kernel, x), x, 'padding along the channels'),
            (C.argmax(x, axis=1), x, 'ReduceElements of the kind Argmax'),
            (C.reduce_mean(x, axis=C.Axis.default_batch_axis()), x, 'over the batch axis'),
            (C.sequence.reduce_max(steps), steps, 'Sequence::ReduceElements of the kind Max'),
            (C.sequence.last(steps), steps, 'the operation GatherPacked'),
            (C.layers.Recurrence(C.layers.RNNStep(3))(steps), steps,
             'a recurrent loop, which the operation PastValue'),
            (C.layers.Recurrence(C.layers.LSTM(3))(steps), steps, 'a recurrent loop'),
            (C.layers.Fold(C.layers.GRU(3))(steps), steps, 'a recurrent loop'),
            (C.sequence.past_value(steps), steps, 'the operation PastValue'),
            (C.times(C.reshape(steps, (3, 1)), C.reshape(steps, (1, 3)),
                     infer_input_rank_to_map=SUM_OVER_SEQUENCE), steps,
             'the operation Times over a dynamic axis'),
            (C.layers.BatchNormalization(map_rank=1)(x), x, 'the operation BatchNormalization')]:
        with pytest.raises(NotImplementedError, match=named):
            gradient(graph, wrt)
    with pytest.raises(ValueError, match='was not computed from'):
        gradient(convolved, C.input_variable(3))


@pytest.mark.parametrize('table', [RULES, BLOCK_RULES])
def test_a_table_with_too_few_rules_is_noticed(monkeypatch, table):
    name = 'Plus' if table is RULES else 'ElementDivide'
    monkeypatch.setitem(table, name, table[name][:1])
    x = C.input_variable(3)
    with pytest.raises(AssertionError, match='%s has 2 operands, and 1 rules' % name):
        gradient(x + x if table is RULES else x / x, x)


def test_equal_maxima_share_the_gradient():
    x = C.input_variable(4, dtype=F64)
    for reduce, sign in ((C.reduce_max, 1), (C.reduce_min, -1)):
        for axis in (None, 0):
            slope = gradient(reduce(x, axis=axis), x)
            found = slope.eval({x: sign * np.array([[2, 1, 2, 0.]])})
            np.testing.assert_array_equal(found, [[0.5, 0, 0.5, 0]])


@pytest.mark.parametrize('shape', [(1,), (2,), (1, 1), (3, 2, 4)])
@pytest.mark.parametrize('batch', ['samples', 'sequences', 'neither'])
@pytest.mark.parametrize('reduce', [C.reduce_sum, C.reduce_mean, C.reduce_max, C.reduce_min,
                                    C.reduce_prod, C.reduce_log_sum_exp])
def test_a_reduction_over_all_axes(reduce, batch, shape):
    """Its kind is found out; CNTK's own gradient is known to be right where no two are equal."""
    x = {'samples': C.input_variable(shape, needs_gradient=True),
         'sequences': C.sequence.input_variable(shape, needs_gradient=True),
         'neither': C.parameter(shape, init=numbers(shape, 0.5).astype(np.float32))}[batch]
    y = reduce(C.square(x))
    data = {} if batch == 'neither' else {x: numbers((2, 3)[:1 + (batch == 'sequences')] + shape,
                                                     0.5).astype(np.float32)}
    np.testing.assert_allclose(np.asarray(gradient(y, x).eval(data)),
                               np.asarray(y.grad(data, wrt=[x])), rtol=1e-5)


@pytest.mark.parametrize('shape', [(), (2, 3)])
def test_a_mean_or_a_sum_over_all_axes_is_refused(shape):
    """CNTK does not tell what it is. (A sum over the minibatch and one over a sample are fine.)"""
    x, s = C.input_variable(shape), C.sequence.input_variable(shape)
    for graph, wrt in ((C.reduce_sum(x, axis=C.Axis.all_axes()), x),
                       (C.reduce_mean(x, axis=C.Axis.all_axes()), x),
                       (C.reduce_sum(s, axis=C.Axis.all_axes()), s),
                       (C.reduce_max(x, axis=C.Axis.default_batch_axis()), x)):
        with pytest.raises(NotImplementedError, match='except for sums over it alone'):
            gradient(graph, wrt)


def test_sums_over_the_minibatch_and_over_sequences():
    """With respect to the samples, and to a parameter, twice; closed forms."""
    for shape in ((), (2, 3)):
        x, w = C.input_variable(shape, dtype=F64), C.parameter((), init=0.7, dtype=F64)
        numbers_of_x = numbers((4,) + shape)
        total = C.reduce_sum(C.square(w * x), axis=C.Axis.default_batch_axis())
        slope = gradient(total, x)
        np.testing.assert_allclose(slope.eval({x: numbers_of_x}), 2 * 0.49 * numbers_of_x)
        first = gradient(total, w)
        assert first.eval({x: numbers_of_x}) == pytest.approx(1.4 * np.square(numbers_of_x).sum())
        second = gradient(C.square(first), w)
        assert second.eval({x: numbers_of_x}) == pytest.approx(
            2 * 1.4 * 2 * np.square(numbers_of_x).sum() ** 2)

    s = C.sequence.input_variable(3, dtype=F64)
    steps = [numbers((2, 3)), numbers((4, 3), seed=3)]
    squares = [2 * 0.7 * np.square(v).sum() for v in steps]
    for output in (C.square(w * s), C.sequence.reduce_sum(C.square(w * s))):
        found = gradient(output, w)
        assert found.eval({s: steps}) == pytest.approx(sum(squares))
        assert gradient(C.square(found), w).eval({s: steps}) == pytest.approx(
            2 * sum(squares) ** 2 / 0.7)
    slope = gradient(C.sequence.reduce_sum(C.square(w * s)), s)
    for found, v in zip(slope.eval({s: steps}), steps):
        np.testing.assert_allclose(found, 2 * 0.49 * v)


def test_loops_elsewhere_do_no_harm():
    """In front of what is differentiated, and beside it."""
    x, z = C.sequence.input_variable(3, dtype=F64), C.sequence.input_variable(3, dtype=F64)
    with C.default_options(dtype=F64):
        h = C.layers.Recurrence(C.layers.RNNStep(3))(x)
    data = {x: [numbers((4, 3))]}
    value, = h.eval(data)
    np.testing.assert_allclose(gradient(C.square(h), h).eval(data)[0], 2 * value, rtol=1e-12)
    with pytest.raises(NotImplementedError, match='the operation PastValue'):
        gradient(h * C.sequence.past_value(h), h)
    data[z] = [numbers((4, 3), seed=4)]
    np.testing.assert_allclose(gradient(C.square(z) * h, z).eval(data)[0], 2 * data[z][0] * value,
                               rtol=1e-12)


def test_a_sample_repeated_along_a_sequence():
    """Its gradient is the sum over the steps."""
    s, b = C.sequence.input_variable(3, dtype=F64), C.input_variable(3, dtype=F64)
    output = C.square(s + C.sequence.broadcast_as(b, s))
    steps = [np.ones((2, 3)), np.ones((5, 3))]
    found = gradient(output, b).eval({s: steps, b: np.zeros((2, 3))})
    np.testing.assert_allclose(found, [[4] * 3, [10] * 3])


def transposing_critic(x):
    """Stock layers with a transposed convolution among them, and none other unusual."""
    with C.default_options(dtype=F64, init=C.glorot_uniform(seed=4)):
        return C.layers.Sequential([
            C.layers.Convolution2D((3, 3), 3, pad=True, activation=C.tanh),
            C.layers.ConvolutionTranspose2D((4, 4), 2, strides=2, pad=False, activation=C.tanh),
            C.layers.Dense(1)])(x)


def check_parameter_gradients(loss, data):
    """CNTK's gradient of `loss` for each parameter, along a direction: the central difference."""
    rng, step = np.random.RandomState(5), 1e-5
    assert len(loss.parameters) > 1
    for p in loss.parameters:
        value, direction = p.value, rng.uniform(-1, 1, p.shape)
        ends = []
        for sign in (1, -1):
            p.value = value + sign * step * direction
            ends.append(loss.eval(data).sum())
        p.value = value
        found = (loss.grad(data, wrt=[p]) * direction).sum()
        assert found == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-7, abs=1e-9)


def test_penalty_of_a_critic_with_a_transposed_convolution():
    """CNTK trains such a critic through its penalty, with and without its scores in the loss."""
    x = C.input_variable((2, 5, 4), dtype=F64, needs_gradient=True)
    score, data = transposing_critic(x), {x: numbers((3, 2, 5, 4))}
    norm = C.sqrt(C.reduce_sum(C.square(gradient(score, x)), axis=(0, 1, 2)))
    np.testing.assert_allclose(gradient(score, x).eval(data), score.grad(data, wrt=[x]),
                               rtol=1e-10)
    penalty = C.square(norm - 1)
    check_parameter_gradients(penalty, data)
    check_parameter_gradients(C.reduce_sum(10 * penalty) - C.reduce_sum(score), data)


def test_a_network_that_cntk_differentiates_wrongly():
    """A skip around a transposed convolution: `gradient` is right all the same."""
    x, kernel = C.input_variable((2, 4, 4), dtype=F64, needs_gradient=True), parameter(2, 2, 3, 3)
    h = C.tanh(x * parameter(2, 1, 1))
    score = C.reduce_sum(C.square(h + C.convolution_transpose(
        kernel, h, auto_padding=[False, True, True])))
    data = {x: numbers((3, 2, 4, 4))}
    safe = safe_to_differentiate(score)
    assert {p.uid for p in safe.parameters} == {p.uid for p in score.parameters}
    np.testing.assert_array_equal(safe.eval(data), score.eval(data))
    slope = gradient(score, x).eval(data)
    assert np.abs(slope - score.grad(data, wrt=[x])).max() > 0.1
    np.testing.assert_allclose(slope, safe.grad(data, wrt=[x]), rtol=1e-10)
    loss = C.reduce_sum(C.square(gradient(safe, x))) + safe
    check_parameter_gradients(loss, data)


def test_what_is_safe_is_left_as_it_is():
    x = C.input_variable((2, 4, 4), dtype=F64)
    plain = C.tanh(C.convolution(parameter(2, 2, 3, 3), x, auto_padding=[False, True, True]))
    for graph in (plain, gradient(plain, x)):
        assert safe_to_differentiate(graph).outputs[0].uid == graph.output.uid


def test_stop_gradient_keeps_a_generator_from_being_copied():
    """What no gradient goes through need not be safe, and is not computed twice."""
    z, x = C.input_variable((2, 4, 4), dtype=F64), C.input_variable((2, 4, 4), dtype=F64)
    h = C.tanh(z)
    fake = C.stop_gradient(h + C.convolution_transpose(
        parameter(2, 2, 3, 3), h, auto_padding=[False, True, True]))
    image = 0.5 * x + 0.5 * fake
    slope = gradient(C.tanh(image), image)
    assert random_graphs.depends_on(slope, fake)


@pytest.mark.parametrize('how', ['freeze', 'share', 'clone'])
@pytest.mark.parametrize('graph', [
    lambda a, b: a / b, lambda a, b: b / a, lambda a, b: a * C.leaky_relu(b - 1) / (b + 3),
    lambda a, b: C.squared_error(a, b), lambda a, b: C.element_max(a, b)])
def test_operands_that_a_clone_replaced_by_constants(graph, how):
    """CNTK moves them into the block of a division or leaky ReLU, which then has fewer operands."""
    a, b = (C.input_variable(3, needs_gradient=True) for _ in range(2))
    for replaced in (a, b):
        y = C.combine([graph(a, b)]).clone(how, {replaced: C.constant([0.7, 1.3, 2.1])})
        x, = y.arguments
        point = {x: np.float32([[0.6, 1.2, 2.5], [2.0, 0.3, 0.9]])}
        assert gradient(y, x).eval(point) == pytest.approx(y.grad(point, wrt=[x]), rel=1e-5)


def test_a_block_that_takes_a_value_twice():
    x = C.input_variable(3, dtype=F64)
    block = C.BlockFunction('Own', 'own')(lambda a, b: C.element_max(C.square(a), b))
    np.testing.assert_allclose(gradient(block(x, x), x).eval({x: [[2, 0.5, -1]]}), [[4, 1, -2]])


@pytest.mark.slow
@pytest.mark.parametrize('first', range(0, 60, 10))
def test_random_graphs(first):
    """Ten at a time; `python tests/random_graphs.py` checks thousands."""
    checked = 0
    for seed in range(first, first + 10):
        with quiet():                                   # CNTK's remarks on engines
            result = random_graphs.check(seed)
        for name in random_graphs.COMPARED:
            assert result is None or result.get(name, 0) < random_graphs.TOLERANCE, (seed, result)
        checked += result is not None
    assert checked >= 5


def test_the_defect_of_cntk_that_products_work_around():
    """A vector (K,) times a matrix (K, 1) with a batch axis gets the sum over the minibatch.

    If this fails, CNTK has been mended and _times and _refuse_wrong_product can go.
    """
    x, y = C.input_variable(4, dtype=F64), C.input_variable((4, 1), dtype=F64)
    data = {x: numbers((3, 4)), y: numbers((3, 4, 1), seed=3)}
    expected = np.einsum('ni,nij->nj', data[x], data[y])
    assert np.abs(C.times(x, y).eval(data) - expected).max() > 0.1
    row = C.times(C.reshape(x, (1, 4)), y)
    np.testing.assert_allclose(row.eval(data)[:, 0], expected, rtol=1e-12)
    for wrt in (x, y):
        with pytest.raises(NotImplementedError, match='adds up the minibatch'):
            gradient(C.times(x, y), wrt)


def test_the_defect_of_cntk_that_convolution_works_around():
    """CNTK's gradient of an operand shared with a transposed convolution is wrong on the CPU.

    If this fails, CNTK has been mended and the reshape in _convolution can go.
    """
    x = C.input_variable((2, 4, 4), dtype=F64, needs_gradient=True)

    def slope(shared):
        h = C.tanh(x)
        up = C.convolution_transpose(parameter(2, 3, 3, 3), shared(h),
                                     auto_padding=[False, True, True])
        loss = C.reduce_sum(C.square(up)) + C.reduce_sum(C.exp(h))
        return loss.grad({x: numbers((1, 2, 4, 4))})

    apart = slope(lambda h: C.reshape(h, h.shape))
    assert np.abs(slope(lambda h: h) - apart).max() > 0.01
