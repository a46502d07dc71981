"""Random CNTK graphs in float64, and whether their gradients are right.

    .venv/bin/python tests/random_graphs.py --count 1000 --seed 0

Each graph is drawn from the operations that symbolic_gradient.py has rules for and from CNTK's own
layers; values are used several times. Checked are

- `gradient` against central differences, and against CNTK's `Function.grad`;
- the gradients that CNTK computes through a loss made of it, for each parameter, against central
  differences: of the gradient alone, and together with the output itself.

A graph depends on its seed alone. tests/test_symbolic_gradient.py checks a few of them.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from wgan.machine.cntk import C, cpu_kernels, quiet  # noqa: E402

import numpy as np  # noqa: E402

cpu_kernels()               # CNTK is loaded without its noise
from symbolic_gradient import gradient, safe_to_differentiate  # noqa: E402

F64 = np.float64
STEP = 1e-5                 # of a central difference
TOLERANCE = 1e-6            # relative to the size of the derivative, at least 1
COMPARED = ('first', 'second', 'second with output', 'parameter', 'parameter, twice')
KINDS = ('batch', 'batch', 'batch', 'sequence', 'no batch axis')


class RandomGraph:
    """x: an input. output: what was computed from it. wrt: x, or an intermediate result.

    kind: which dynamic axes x has. operations: names of what was drawn. samples(): data for x.
    """

    def __init__(self, seed):
        self.rng = np.random.RandomState(seed)
        self.kind = self._choice(KINDS)
        self.operations, self.parameters = [], []
        shape = self._choice([(2, 5, 4), (3, 4, 4), (3, 5), (6,), (1, 6, 6)])
        with C.default_options(dtype=F64):
            self.x = (C.sequence.input_variable(shape, dtype=F64, needs_gradient=True)
                      if self.kind == 'sequence' else
                      C.input_variable(shape, dtype=F64, needs_gradient=True,
                                       **({'dynamic_axes': []} if self.kind != 'batch' else {})))
            self.values = [self.x]
            for _ in range(self.rng.randint(3, 11)):
                self.values.append(self._grow())
            self.output = self._join()
        self.wrt = self._choice([self.x, self.x, self._between()])

    def samples(self):
        """Data for x: 1 to 4 samples; for sequences of 1 to 3 steps each."""
        count = self.rng.randint(1, 5)
        if self.kind == 'batch':
            return self._numbers((count,) + self.x.shape)
        if self.kind == 'sequence':
            return [self._numbers((self.rng.randint(1, 4),) + self.x.shape) for _ in range(count)]
        return self._numbers(self.x.shape)

    def _between(self):
        """An intermediate result that the output depends on."""
        used = [v for v in self.values[1:] if depends_on(self.output, v)]
        return self._choice(used) if used else self.x

    def _choice(self, options):
        return options[self.rng.randint(len(options))]

    def _numbers(self, shape):
        return self.rng.uniform(-1.5, 1.5, shape)

    def _parameter(self, shape, scale=1.0):
        p = C.parameter(shape, init=scale * self.rng.uniform(-1, 1, shape), dtype=F64)
        self.parameters.append(p)
        return p

    def _pick(self):
        """One of the values so far, mostly one of the last."""
        recent = self.values[-3:] if self.rng.rand() < 0.7 else self.values
        return self._choice(recent)

    def _grow(self):
        x = self._pick()
        kinds = [self._unary, self._unary, self._binary, self._binary, self._shape, self._matrix]
        # CNTK 2.7 writes beyond its memory in a convolution of data without a batch axis.
        if len(x.shape) == 3 and min(x.shape[1:]) >= 2 and self.kind != 'no batch axis':
            kinds += [self._image] * 5
        y = self._choice(kinds)(x)
        # Values stay of a size at which differences can be taken.
        return C.tanh(y) if self.rng.rand() < 0.3 else y

    def _named(self, table, *operands):
        name = self._choice(sorted(table))
        self.operations.append(name)
        return table[name](*operands)

    def _unary(self, x):
        axis = self.rng.randint(len(x.shape)) if x.shape else 0
        table = {
            'tanh': C.tanh, 'sigmoid': C.sigmoid, 'softplus': C.softplus, 'relu': C.relu,
            'leaky_relu': C.leaky_relu, 'elu': C.elu, 'selu': C.selu, 'softsign': C.softsign,
            'exp': lambda v: C.exp(C.tanh(v)), 'square': C.square, 'negate': C.negate,
            'abs': C.abs, 'alias': C.alias, 'sqrt': lambda v: C.sqrt(1 + C.square(v)),
            'log': lambda v: C.log(1.5 + C.square(v)), 'clip': lambda v: C.clip(v, -0.7, 0.6),
            'reciprocal': lambda v: C.reciprocal(1.5 + C.square(v)),
            'param_relu': lambda v: C.param_relu(self._parameter(v.shape), v),
            'select': lambda v: C.element_select(C.less(v, 0.3), v * v, C.exp(-v * v)),
            'stop_gradient': lambda v: v * C.stop_gradient(C.greater(v, 0.1)),
            'ones_like': lambda v: v + C.ones_like(v),
            'hard_sigmoid': lambda v: C.hard_sigmoid(v, 0.3, 0.5),
            'softmax': C.softmax,
        }
        if x.shape:
            table.update({
                'softmax of an axis': lambda v: C.softmax(v, axis=axis),
                'log_softmax': lambda v: C.log_softmax(v, axis=axis),
                'LayerNormalization': lambda v: self._layer(C.layers.LayerNormalization(), v)})
        return self._named(table, x)

    def _binary(self, x):
        alike = [v for v in self.values if v.shape == x.shape]
        y = self._choice(alike) if alike and self.rng.rand() < 0.7 else self._parameter(
            tuple(n if self.rng.rand() < 0.6 else 1 for n in x.shape[self.rng.randint(
                len(x.shape) + 1):]))
        return self._named({
            'plus': C.plus, 'minus': C.minus, 'element_times': C.element_times,
            'divide': lambda a, b: a / (1.5 + C.square(b)), 'itself': lambda a, b: C.square(
                1 + C.square(a)) / C.square(1 + C.square(a)) + b,
            'log_add_exp': C.log_add_exp,
            'element_max': C.element_max, 'element_min': C.element_min,
            'squared_error': lambda a, b: C.squared_error(a, b) if a.shape == b.shape else a + b,
            'minus reversed': lambda a, b: b - a,
            'residual': lambda a, b: a + C.tanh(b)}, x, y)

    def _shape(self, x):
        rank = len(x.shape)
        if not rank:
            return C.reshape(x, (1, 1))
        order = self.rng.permutation(rank).tolist()
        axes = tuple(int(a) for a in self.rng.permutation(rank)[:self.rng.randint(1, rank + 1)])
        keep = bool(self.rng.randint(2))
        table = {
            'reshape': lambda v: C.reshape(v, (int(np.prod(v.shape)),)),
            'reshape to rows': lambda v: C.reshape(v, (1, int(np.prod(v.shape)))),
            'transpose': lambda v: C.transpose(v, order),
            'expand_dims': lambda v: C.expand_dims(v, 0),
            'swapaxes': lambda v: C.swapaxes(v, 0, -1)}
        for name in ('sum', 'mean', 'max', 'min', 'log_sum_exp'):
            def reduce(v, name=name, **kwargs):
                # Equal values, as behind a ReLU, would have no derivative at their maximum.
                apart = v + self._parameter(v.shape) if name in ('max', 'min') else v
                return getattr(C, 'reduce_' + name)(apart, **kwargs)
            table['reduce_' + name] = lambda v, reduce=reduce: reduce(v, axis=axes, keepdims=keep)
            table['reduce_%s of all' % name] = lambda v, reduce=reduce: C.tanh(reduce(v)) * v
        table['reduce_prod'] = lambda v: C.reduce_prod(2 + C.tanh(v), axis=axes[0], keepdims=keep)
        return self._named(table, x)

    def _matrix(self, x):
        rank, size = len(x.shape), int(np.prod(x.shape))
        out = int(self.rng.randint(1, 4))
        scale = 1 / np.sqrt(max(size, 1))
        table = {'Dense': lambda v: self._layer(C.layers.Dense(
            out, activation=self._choice([None, C.tanh, C.relu])), v)}
        if rank:
            table['times'] = lambda v: C.times(v, self._parameter((v.shape[-1], out)))
            table['times, several axes'] = lambda v: C.times(
                v, self._parameter(v.shape + (2, out), scale), output_rank=2)
        if rank == 1 and self.kind == 'batch':
            table['times, vector and matrix'] = lambda v: C.times(v, C.reshape(
                C.square(v), v.shape + (1,)) * self._parameter((1, out + 1)))
            table['times, number and row'] = lambda v: C.times(
                C.reshape(C.reduce_sum(v), (1,)), C.reshape(v, (1,) + v.shape))
            table['times_transpose with itself'] = lambda v: C.times_transpose(C.tanh(v), v)
        if rank == 2:
            left = self._parameter((out, x.shape[0]))
            table['times, on the right'] = lambda v: C.times(left, v)
            table['times_transpose, on the right'] = lambda v: C.times_transpose(
                self._parameter((out, v.shape[1])), v)
            if self.kind == 'batch':
                table['times_transpose with itself'] = lambda v: C.times_transpose(v, v)
        if rank in (1, 2):
            table['times_transpose'] = lambda v: C.times_transpose(
                v, self._parameter((out, v.shape[-1])))
        return self._named(table, x)

    def _image(self, x):
        channels = x.shape[0]
        out, side = int(self.rng.randint(1, 4)), int(self.rng.randint(2, 5))
        stride, pad = int(self.rng.randint(1, 3)), bool(self.rng.randint(2))
        pad = pad or min(x.shape[1:]) < side
        activation = self._choice([None, C.tanh, C.leaky_relu])
        scale = 1 / side
        return self._named({
            'Convolution2D': lambda v: self._layer(C.layers.Convolution2D(
                (side, side), out, strides=stride, pad=pad, activation=activation), v),
            'ConvolutionTranspose2D': lambda v: self._layer(C.layers.ConvolutionTranspose2D(
                (side, side), out, strides=stride, pad=pad, activation=activation), v),
            'convolution': lambda v: C.convolution(
                self._parameter((out, channels, side, side), scale), v, strides=stride,
                auto_padding=[False, pad, pad]),
            'convolution_transpose': lambda v: C.convolution_transpose(
                self._parameter((channels, out, side, side), scale), v, strides=stride,
                auto_padding=[False, pad, pad]),
            'residual convolution_transpose': lambda v: v + C.convolution_transpose(
                self._parameter((channels, channels, 3, 3), scale), C.tanh(v),
                auto_padding=[False, True, True]),
            'residual convolution': lambda v: v + C.convolution(
                self._parameter((channels, channels, 3, 3), scale), C.tanh(v),
                auto_padding=[False, True, True])}, x)

    def _layer(self, layer, x):
        y = layer(x)
        for p in layer.parameters:
            p.value = p.value * 0.5 + 0.3 * self.rng.uniform(-1, 1, p.shape)
        self.parameters.extend(layer.parameters)
        return y

    def _join(self):
        """The last value and one more, so that several branches lead to the output."""
        last, other = self.values[-1], self._pick()
        return C.reduce_sum(last) * C.sigmoid(C.reduce_sum(other)) if self.rng.rand() < 0.7 \
            else C.plus(C.tanh(last), 0)


def depends_on(output, value):
    uid = getattr(value, 'output', value).uid
    seen, stack = set(), [getattr(output, 'output', output)]
    while stack:
        v = stack.pop()
        if v.uid == uid:
            return True
        if v.uid not in seen and v.is_output:
            seen.add(v.uid)
            stack.extend(v.owner.inputs)
    return False


def total(value):
    """The sum of what `eval` returned, which for sequences is a list."""
    return sum(float(np.sum(v)) for v in value) if isinstance(value, list) else float(np.sum(value))


def difference(function, step=STEP):
    """The central difference of function(t) at 0; None if it has a kink or a jump there."""
    ends = [function(t) for t in (-step, step)]
    halves = [function(t) for t in (-step / 2, step / 2)]
    slope, finer = (ends[1] - ends[0]) / (2 * step), (halves[1] - halves[0]) / step
    middle = function(0.0)
    bend = abs(ends[0] + ends[1] - 2 * middle) / step
    smooth = abs(slope - finer) < 0.3 * TOLERANCE * max(1, abs(slope)) and bend < 1e-2 * max(
        1, abs(slope))
    return (4 * finer - slope) / 3 if smooth else None


def deviation(found, expected):
    return abs(found - expected) / max(1, abs(expected))


def check_first(graph, data, result):
    """`gradient` against central differences, and against CNTK's own where that is right."""
    rng, x, wrt = graph.rng, graph.x, graph.wrt
    slope = gradient(graph.output, wrt)
    if wrt is x:
        function, point = C.combine([graph.output]), data
    else:
        # The same graph with an input in the place of the intermediate result.
        axes = wrt.output.dynamic_axes
        middle = C.input_variable(wrt.shape, dtype=F64, dynamic_axes=axes)
        try:
            function = C.combine([graph.output]).clone(C.CloneMethod.share, {
                wrt.output: middle, graph.x: graph.x})
        except RuntimeError:                            # a block that takes a variable twice
            return False
        point = wrt.eval({x: data})
        x = middle
    direction = shaped_like(point, rng)

    def along(t):
        feed = {graph.x: data, x: moved(point, direction, t)}
        return total(function.eval({v: feed[v] for v in function.arguments}))

    expected = difference(along)
    if expected is None:
        return False
    numbers = slope.eval({graph.x: data})
    result['first'] = deviation(dot(numbers, direction), expected)
    if wrt is graph.x:
        try:
            own = C.combine([graph.output]).grad({graph.x: data}, wrt=[graph.x])
        except (ValueError, RuntimeError):
            result['own'] = None                        # CNTK has no grad for such data
        else:
            result['own'] = deviation(dot(own, direction), expected)
            result['against own'] = dot_difference(numbers, own)
    return True


def check_parameter(graph, data, result):
    """`gradient` with respect to a parameter: summed over the minibatch and over sequences."""
    p = graph.parameters[graph.rng.randint(len(graph.parameters))]
    output = C.reduce_sum(graph.output)
    try:
        slope = gradient(output, p)
        again = gradient(C.reduce_sum(C.square(slope)), p)
    except ValueError:                                  # it did not go into the output
        return True
    except NotImplementedError as error:
        result['refused'] = str(error)
        assert 'Convolution by its operand 0' in str(error), error
        return True
    value, direction = p.value, np.asarray(graph.rng.uniform(-1, 1, p.shape))
    for name, function, found in (
            ('parameter', output, slope),
            ('parameter, twice', C.reduce_sum(C.square(slope)), again)):

        def along(t):
            p.value = np.asarray(value + t * direction)
            return total(function.eval({v: data for v in function.arguments}))

        expected = difference(along)
        p.value = value
        if expected is None:
            return False
        numbers = found.eval({v: data for v in found.arguments})
        result[name] = deviation(float(np.sum(numbers * direction)), expected)
    return True


def check_second(graph, data, result):
    """What CNTK computes through losses made of the gradient, for each parameter."""
    rng, output = graph.rng, safe_to_differentiate(graph.output)
    slope, safe = gradient(graph.output, graph.wrt), gradient(output, graph.x)
    weights = C.constant(rng.uniform(-1, 1, slope.shape), dtype=F64)
    alone = C.reduce_sum(slope * weights + 0.1 * C.square(slope))
    losses = {'second': alone, 'second with output': C.reduce_sum(C.tanh(output)) + C.reduce_sum(
        0.1 * C.square(safe))}
    for name, loss in losses.items():
        for p in loss.parameters:
            value, direction = p.value, rng.uniform(-1, 1, p.shape)

            def along(t):
                p.value = np.asarray(value + t * direction)
                return total(loss.eval({v: data for v in loss.arguments}))

            expected = difference(along)
            p.value = value
            if expected is None:
                return False
            found = loss.grad({v: data for v in loss.arguments}, wrt=[p])
            result[name] = max(result.get(name, 0), deviation(float(np.sum(found * direction)),
                                                              expected))
    return True


def shaped_like(data, rng):
    if isinstance(data, list):
        return [rng.uniform(-1, 1, v.shape) for v in data]
    return rng.uniform(-1, 1, np.shape(data))


def moved(data, direction, t):
    if isinstance(data, list):
        return [v + t * d for v, d in zip(data, direction)]
    return data + t * direction


def dot(a, b):
    pairs = zip(a, b) if isinstance(b, list) else [(a, b)]
    return sum(float(np.sum(np.reshape(u, np.shape(v)) * v)) for u, v in pairs)


def dot_difference(a, b):
    pairs = zip(a, b) if isinstance(b, list) else [(a, b)]
    return max(float(np.abs(np.reshape(u, np.shape(v)) - v).max() / max(1, np.abs(v).max()))
               for u, v in pairs)


def check(seed):
    """A dict of deviations by what was compared, with the graph's operations; None if CNTK itself
    can't evaluate the graph, or every point tried lies at a kink.

    Raises NotImplementedError where `gradient` does.
    """
    try:
        graph = RandomGraph(seed)
        data = graph.samples()
        graph.output.eval({v: data for v in graph.output.arguments})
    except (ValueError, RuntimeError, TypeError):
        return None
    if graph.x not in graph.output.arguments:
        return None
    for _ in range(3):
        result = {'operations': graph.operations, 'kind': graph.kind}
        if check_first(graph, data, result) and check_second(graph, data, result) and (
                not graph.parameters or check_parameter(graph, data, result)):
            return result
        data = graph.samples()
    return None


def main():
    parser = argparse.ArgumentParser(description='Check the gradients of random CNTK graphs.')
    parser.add_argument('--count', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=0, help='of the first graph')
    options = parser.parse_args()
    worst, checked, refused, own_wrong, failures = {}, 0, 0, 0, 0
    for seed in range(options.seed, options.seed + options.count):
        try:
            with quiet():                           # CNTK remarks on its convolution engines
                result = check(seed)
        except NotImplementedError as error:
            refused += 1
            print('seed %d refused: %s' % (seed, error))
            continue
        except (ValueError, RuntimeError, KeyError) as error:
            failures += 1
            print('seed %d fails: %s' % (seed, str(error).split('\n')[0]))
            continue
        if result is None:
            continue
        checked += 1
        own_wrong += (result.get('own') or 0) > TOLERANCE
        if (result.get('own') or 0) > TOLERANCE and not any(
                'ranspose' in name and 'onvolution' in name for name in result['operations']):
            print('seed %d: Function.grad is wrong without a transposed convolution' % seed)
        for name in COMPARED:
            worst[name] = max(worst.get(name, 0), result.get(name, 0))
            if result.get(name, 0) > TOLERANCE:
                failures += 1
                print('seed %d: %s is off by %.1e: %s, %s' % (
                    seed, name, result[name], result['kind'], ' → '.join(result['operations'])))
        if (result.get('own') or 0) < 1e-8 and 'against own' in result:
            worst['against Function.grad'] = max(worst.get('against Function.grad', 0),
                                                 result['against own'])
    print('%d graphs checked, %d refused, %d not usable; CNTK\'s own first derivative was wrong '
          'in %d' % (checked, refused, options.count - checked - refused, own_wrong))
    for name, value in worst.items():
        print('largest deviation, %s: %.1e' % (name, value))
    return failures > 0


if __name__ == '__main__':
    sys.exit(main())
