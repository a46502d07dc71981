"""Find what CNTK 2.7 computes wrongly, or slowly, without a word.

    python cntk_doctor.py FILE.model …                      examine networks
    python cntk_doctor.py --write FIXED.model FILE.model    and write a mended copy
    python cntk_doctor.py --run SCRIPT.py [ARGUMENTS]       examine what a program trains

From Python: `diagnose(function, learners, data)` returns a list of Findings, and `mend(function)` a
copy without those faults that can be mended without a change of what the network computes. The file
needs CNTK and NumPy only. Each function behind `@check` looks for one fault; the decorator has its
name, why it matters, and what to write instead.

Faults are found by the structure of the graph or by a measurement, never by a name that somebody
gave. Blocks (layers) are opened: `Network` is the graph of primitive operations.
"""

import argparse
import contextlib
import ctypes
import glob
import locale
import os
import runpy
import sys
import tempfile
import warnings
from collections import OrderedDict, namedtuple

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter('ignore')             # of a distribution and of GPU parts
    import cntk as C

# check: the name of the fault, as in CHECKS. where: the name and shape of the node and its layer.
# why: 'wrong result', 'crash' or 'slow'. sure: 'sure', 'likely' or 'may be'. instead: the remedy.
Finding = namedtuple('Finding', 'check what where why sure instead')

# One operation: its output, and its inputs, none of which is a placeholder or the output of a
# block. layers: the blocks that it is inside of, the outermost first.
Node = namedtuple('Node', 'op output inputs layers')

# By name: what finds a fault, why it matters, and the remedy.
CHECKS, Check = OrderedDict(), namedtuple('Check', 'find why instead')

# By operation: the operands that no gradient goes to.
NO_GRADIENT = {'StopGradient': [0], 'ConstantOp': [0], 'ReconcileDynamicAxis': [1], 'Select': [0],
               'Less': [0, 1], 'LessEqual': [0, 1], 'Greater': [0, 1], 'GreaterEqual': [0, 1],
               'Equal': [0, 1], 'NotEqual': [0, 1], 'RandomDistribution': [0], 'OneHotOp': [0],
               'Hardmax': [0], 'Floor': [0], 'Where': [0], 'PackedIndex': [0, 1]}
LINEAR = {'Plus', 'Minus', 'Negate', 'Reshape', 'ReduceElements', 'NoOp', 'ElementTimes', 'Times',
          'TransposeAxes', 'Slice', 'Splice', 'ReconcileDynamicAxis', 'Reciprocal'}
ELEMENTWISE = {'Plus', 'Minus', 'ElementTimes', 'Splice', 'Select', 'ReconcileDynamicAxis', 'Less',
               'Greater', 'LessEqual', 'GreaterEqual'}
SAMPLES = 16                    # in a minibatch, where no data are given
COMPUTING = (ValueError, RuntimeError, TypeError, LookupError)      # what CNTK raises


def check(name, why, instead, of=()):
    """A decorator for what finds a fault.

    The function is given a Network, and yields (where, what, how sure). With of, names of
    operations, it is given each Node of them too, and yields (what, how sure).
    """
    def add(function):
        def find_in_nodes(network, **arguments):
            return [(network.where(node), what, sure) for node in network.of(*of)
                    for what, sure in function(network, node, **arguments)]
        CHECKS[name] = Check(find_in_nodes if of else function, why, instead)
        return function
    return add


def diagnose(function, learners=(), data=None):
    """Return the Findings in a CNTK Function, a list.

    function: a network, or a loss. learners: those that train it; they are examined too, and are
    left as they were. data: what a Trainer would get, by input; without it, random numbers are
    used where something has to be measured.
    """
    network = Network(function, learners, data)
    with _undisturbed(network):
        return [finding for name in CHECKS for finding in _findings(name, network)]


def _findings(name, network, **arguments):
    find, why, instead = CHECKS[name]
    return [Finding(name, what, where, why, sure, instead)
            for where, what, sure in find(network, **arguments)]


def mend(function, data=None):
    """Return a copy that computes the same, with the same parameters, and that CNTK computes and
    differentiates correctly; the function itself if there is nothing to mend.

    Raises ValueError if the copy's gradients do not agree with central differences.
    """
    network = Network(function, (), data)
    changes = _changes(network)
    if not changes:
        return function
    copy = network.copy(changes)
    for name, _, found, expected in evidence(function, copy, data):
        if abs(found - expected) > 0.03 * max(abs(expected), 1e-3):
            raise ValueError('the derivative of %s is %g in the mended copy, by central '
                             'differences %g' % (name, found, expected))
    return copy


def evidence(function, copy, data=None, count=4):
    """For some parameters: (name, derivative in function, in the copy, by central differences).

    The derivatives are those of a weighted sum of all outputs along a random direction. Parameters
    whose differences have not converged (a kink, too few digits) are left out. What is behind a
    stop_gradient does not move in a difference.
    """
    rows = []
    with _undisturbed(Network(function)):
        wrong, right = (_Measured(f, data).gradients() for f in (function, copy))
        after = _Measured(*_with_stopped_as_inputs(copy, data))
        changed = [p for p in right if p.is_parameter]
        for p in sorted(changed, key=lambda p: -np.abs(wrong.get(p, 0) - right[p]).sum())[:count]:
            direction = np.random.RandomState(0).uniform(0.5, 1, p.shape) * np.sign(right[p])
            slope = after.difference(p, direction)
            if slope is not None:
                rows.append((_name(p), float((wrong.get(p, np.nan) * direction).sum()),
                             float((right[p] * direction).sum()), slope))
    return rows


def _with_stopped_as_inputs(function, data):
    """The function with inputs in the place of what StopGradient gives, and data for all inputs."""
    network, feed = Network(function), _feed(function, data)
    stand_ins = {node.output.uid: C.input_variable(
        node.output.shape, node.output.dtype, dynamic_axes=node.output.dynamic_axes)
        for node in network.of('StopGradient')}
    for uid, stand_in in stand_ins.items():
        value = network.copy({}, [network.nodes[uid].output])
        feed[stand_in] = value.eval({x: feed[x] for x in value.arguments})
    return network.copy({uid: lambda *_, stand_in=stand_in: C.alias(stand_in)
                         for uid, stand_in in stand_ins.items()}), feed


class Network:
    """A Function as a graph of primitive operations.

    nodes: an OrderedDict of Nodes by the uid of their output, inputs first (except in loops).
    users: by uid, the (Node, position) that use the variable. parameters, inputs: of the Function.
    """

    def __init__(self, function, learners=(), data=None):
        self.function, self.learners = C.combine(list(function.outputs)), list(learners)
        self.data, self.trained = data, {p.uid for q in self.learners for p in q.parameters}
        self.nodes, self.users, self.loops = OrderedDict(), {}, []
        self._stands_for, self._steps = {}, None
        self.outputs = [self._walk(output) for output in self.function.outputs]
        for node in self.nodes.values():
            for i, x in enumerate(node.inputs):
                self.users.setdefault(x.uid, []).append((node, i))
        self.parameters = list(self.function.parameters)
        self.values = {v.uid: v for v in self.parameters + list(self.function.constants)}
        # Of the gradients of two copies that should be the same.
        self.tolerance = 1e-6 if self.outputs[0].dtype == np.float64 else 1e-3
        # What depends on a parameter that is trained; or on any, if no learners are given.
        self.trainable = self.after([p.uid for p in self.parameters
                                     if not self.learners or p.uid in self.trained])
        self.learned = self.trainable | self.after([
            x.uid for x in self.function.arguments if x.needs_gradient])
        self.reached = self._reached()                  # what gradients of the outputs go to

    @property
    def steps(self):
        """Of each learner that keeps something: (the learner, its Steps)."""
        if self._steps is None:
            count = _count_samples(self)
            found = [(learner, _steps(learner, count)) for learner in self.learners]
            self._steps = [pair for pair in found if pair[1]]
        return self._steps

    def _walk(self, output):
        stack, seen = [(output, (), None)], set()
        while stack:
            variable, layers, node = stack.pop()
            if node is not None:                        # second visit: its inputs are done
                self.loops += [node for x in node.inputs
                               if x.is_output and x.uid not in self.nodes]
                self.nodes[variable.uid] = node
                continue
            variable, layers = self._resolve(variable, layers)
            if not variable.is_output or variable.uid in seen or variable.uid in self.nodes:
                continue
            seen.add(variable.uid)
            op = variable.owner
            inputs = [self._resolve(x, layers) for x in op.inputs]
            node = Node(op, variable, [x for x, _ in inputs], layers)
            stack.append((variable, layers, node))
            stack.extend((x, inside, None) for x, inside in inputs)
        return self._resolve(output, ())[0]

    def _resolve(self, variable, layers):
        """What a variable stands for outside of blocks, and the blocks that this is inside of."""
        while True:
            if variable.uid in self._stands_for:
                variable, layers = self._stands_for[variable.uid]
            elif variable.is_output and variable.owner.is_block:
                block = variable.owner
                for placeholder, actual in block.block_arguments_mapping:
                    self._stands_for[placeholder.uid] = actual, layers
                for outer, inner in zip(block.outputs, block.block_root.outputs):
                    self._stands_for[outer.uid] = inner, layers + (block,)
            else:
                return variable, layers

    def _reached(self):
        reached, before = {v.uid for v in self.outputs}, 0
        while len(reached) > before:                    # once more for what a loop leads back to
            before = len(reached)
            for uid, node in reversed(self.nodes.items()):
                if uid in reached:
                    reached.update(x.uid for i, x in enumerate(node.inputs) if _passes(node, i))
        return reached

    def value(self, variable):
        """The numbers of a parameter or constant; None for other variables."""
        return self.values[variable.uid].value if variable.uid in self.values else None

    def of(self, *names):
        """The Nodes of some operations."""
        return [node for node in self.nodes.values() if node.op.op_name in names]

    def computed(self, x, *names):
        """The Node of x in a list, if x is the result of one of these operations."""
        node = self.nodes.get(x.uid)
        return [node] if node and node.op.op_name in names else []

    def after(self, uids):
        """The uids of all that depends on some variables, themselves included."""
        return _closure(uids, lambda uid: [n.output.uid for n, _ in self.users.get(uid, [])])

    def before(self, uids):
        """The uids of all that some variables depend on, themselves included."""
        return _closure(uids, lambda uid: [x.uid for x in self.nodes[uid].inputs]
                        if uid in self.nodes else [])

    def where(self, node):
        text = _name(node.output, node.op.op_name)
        named = [b for b in node.layers if b.name] or list(node.layers[:1])
        return text + (' in the layer ' + _name(named[-1].outputs[0], named[-1].op_name)
                       if named else '')

    def gradients(self, changes=()):
        """Of the trained parameters, as CNTK computes them, in a copy with the changes. What is
        random is made constant, so that two copies can be compared.
        """
        calm = {node.output.uid: _constant for node in self.of('Dropout', 'RandomDistribution')}
        calm.update((node.output.uid, _with_operand_alone) for node in _stopped_sums(self))
        calm.update(changes)
        try:
            return _Measured(self.copy(calm) if calm else self.function, self.data,
                             self.trained).gradients()
        except COMPUTING:                               # an operation that can't be copied
            return {}

    def copy(self, changes, ends=None):
        """A copy of primitive operations that shares all parameters, constants and inputs.

        changes: by uid, a function that computes a node in another way, of its Node and inputs.
        ends: instead of the outputs, other variables to compute.
        """
        copies, placeholders = {}, {}
        for uid, node in self.nodes.items():
            inputs = []
            for x in node.inputs:
                if x.is_output and x.uid not in copies:         # a loop leads back
                    placeholders.setdefault(x.uid, C.placeholder(
                        x.shape, dynamic_axes=x.dynamic_axes))
                inputs.append(copies.get(x.uid) or placeholders.get(x.uid) or x)
            result = changes.get(uid, _again)(node, inputs)
            for old, new in zip(node.op.outputs, result.outputs):
                copies[old.uid] = new
        copies.update((v.uid, C.alias(copies[v.uid], name=outer.name).output)
                      for v, outer in zip(self.outputs, self.function.outputs)
                      if outer.name and v.uid in copies)
        ends = [copies.get(v.uid, v) for v in ends or self.outputs]
        result = C.combine(ends)
        return result.replace_placeholders({p: copies[uid] for uid, p in placeholders.items()}
                                           ) if placeholders else result


def _again(node, inputs):
    """The operation of other inputs. Its own parameters and constants are shared: CNTK may have
    replaced the constants since, by those of another precision.
    """
    return C.as_composite(node.op).clone(C.CloneMethod.share, {
        x: new for x, new in zip(node.op.inputs, inputs)
        if not (_is_fixed(x) and _is_fixed(new))})


def _is_fixed(x):
    return x.is_constant or x.is_parameter


def _constant(node, inputs):
    """Instead of dropout: all; instead of random numbers: 0.5."""
    if node.op.op_name == 'Dropout':
        return C.alias(inputs[0])
    half = C.constant(0.5, node.output.shape, node.output.dtype)
    return C.alias(C.reconcile_dynamic_axes(half, inputs[0]) if inputs else half)


def _passes(node, i):
    return i not in NO_GRADIENT.get(node.op.op_name, ())


def _closure(uids, neighbours):
    found, stack = set(uids), list(uids)
    while stack:
        new = [uid for uid in neighbours(stack.pop()) if uid not in found]
        found.update(new)
        stack.extend(new)
    return found


def _name(variable, operation=''):
    """'Times output (3 × 4)': the operation, the name or uid, the shape."""
    name = ' '.join(part for part in (operation, variable.name or variable.uid) if part)
    return '%s (%s)' % (name, _shape(variable))


def _shape(variable):
    return ' x '.join(str(n) if n >= 0 else '?' for n in variable.shape)


def _size(shape):
    return int(np.prod(shape)) if all(n >= 0 for n in shape) else 0


# ---------------------------------------------------------------------------------------------
# Measurements


class _Measured:
    """A weighted sum of all outputs of a Function, at data.

    trained: uids of parameters; empty for all. loss is None if it can't be computed, or is not the
    same number twice (dropout).
    """

    def __init__(self, function, data=None, trained=()):
        self.loss, self.trained = None, trained
        if list(CHECKS['no batch axis'].find(Network(function))):       # CNTK would crash
            return
        try:
            terms = [C.reduce_sum(v * C.constant(np.random.RandomState(0).uniform(0.5, 1, v.shape),
                                                 v.shape, v.dtype), axis=C.Axis.all_axes())
                     for v in function.outputs if v.dtype in (np.float32, np.float64)]
            self.loss = C.combine([sum(terms[1:], terms[0])])
            self.feed = _feed(self.loss, data)
            one, other = self.value(), self.value()     # the same but for how they are rounded
            if not np.isfinite(one) or abs(one - other) > 1e-5 * abs(one) + 1e-12:
                self.loss = None
        except COMPUTING:
            self.loss = None

    def value(self):
        return float(np.sum(self.loss.eval(self.feed)))

    def gradients(self):
        """By parameter, or input that asks for one; {} if CNTK can't compute them."""
        wrt = [] if self.loss is None else [
            p for p in self.loss.parameters if not self.trained or p.uid in self.trained] + [
            x for x, value in self.feed.items() if x.needs_gradient
            and isinstance(value, np.ndarray)]
        try:
            found = self.loss.grad(self.feed, wrt=wrt) if wrt else {}
        except COMPUTING:
            return {}
        return found if isinstance(found, dict) else {wrt[0]: found}

    def difference(self, p, direction):
        """The central difference along a direction; None if two steps do not agree."""
        value = p.value
        size, slopes = max(np.abs(value).max(), 1e-2), []
        for step in (3e-3, 1e-3) if p.dtype == np.float32 else (1e-4, 5e-5):
            ends = []
            for sign in (1, -1):
                p.value = (value + sign * step * size * direction).astype(p.dtype)
                ends.append(self.value())
            slopes.append((ends[0] - ends[1]) / (2 * step * size))
        p.value = value
        return slopes[1] if abs(slopes[0] - slopes[1]) < 0.02 * abs(slopes[0]) else None


def _feed(function, data=None):
    """The data, or random numbers, for each input of a function."""
    rng = np.random.RandomState(0)
    given = {x.uid: v for x, v in _by_input(function, data).items()}
    return {x: given[x.uid] if x.uid in given else _random(x, rng) for x in function.arguments}


def _by_input(function, data):
    if data is None:
        return {}
    if not isinstance(data, dict):
        data = dict(zip(function.arguments, data if isinstance(data, (list, tuple)) else [data]))
    return {x: getattr(v, 'data', v) if type(v).__name__ == 'MinibatchData' else v
            for x, v in data.items() if not isinstance(x, str)}


def _random(x, rng):
    shape = tuple(n if n >= 0 else 8 for n in x.shape)
    for _ in x.dynamic_axes[1:]:
        shape = (3,) + shape
    if x.dynamic_axes:
        shape = (4,) + shape
    numbers = rng.uniform(-1, 1, shape).astype(x.dtype)
    if not x.is_sparse:
        return list(numbers) if len(x.dynamic_axes) > 1 else numbers
    ones = rng.randint(0, x.shape[-1], shape[:-1])
    return C.Value.one_hot(ones.tolist() if len(shape) == 3 else ones.reshape(-1, 1).tolist(),
                           x.shape[-1], dtype=x.dtype)


@contextlib.contextmanager
def _undisturbed(network):
    """Restore the statistics of batch normalisation, which Function.grad changes; and hide what
    CNTK writes of a measurement that fails.
    """
    statistics = [network.values[x.uid] for node in network.of('BatchNormalization')
                  for x in node.inputs[3:] if x.uid in network.values]
    before = [v.value for v in statistics]
    with _quiet():
        yield
    for v, value in zip(statistics, before):
        v.value = value


@contextlib.contextmanager
def _quiet():
    """What CNTK writes of a measurement that fails is not shown."""
    sys.stderr.flush()
    terminal, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nothing)


# ---------------------------------------------------------------------------------------------
# What to look for


@check('transposed convolution', 'wrong result',
       'C.reshape(h, h.shape) in front of the layer, or mend()')
def transposed_convolution(network):
    """CNTK writes the gradient of the operand where it should add to what is there."""
    suspects = _overwritten(network)
    if not suspects:
        return
    deviation = _deviation(network, {n.output.uid: _with_operand_alone for n in suspects})
    if deviation is not None and deviation < network.tolerance:     # right, as it happens
        return
    for node in suspects:
        yield (network.where(node), 'something else uses the operand %s of a transposed '
               'convolution, and its gradient is overwritten%s' % (
                   _name(node.inputs[1]), '' if deviation is None else '; gradients of '
                   'parameters are wrong by up to %.2g %%' % (100 * deviation)),
               'may be' if deviation is None else 'sure')


def _overwritten(network):
    return [node for node in network.of('Convolution')
            if node.op.attributes['transpose'] and node.output.uid in network.reached
            and node.inputs[1].uid in network.learned
            and sum(_passes(user, i) and user.output.uid in network.reached
                    for user, i in network.users[node.inputs[1].uid]) > 1]


def _deviation(network, changes):
    """How wrong the gradients of parameters are, relative to those of a copy with the changes.
    None if they can't be computed, or are all 0.
    """
    wrong, right = network.gradients(), network.gradients(changes)
    largest = max([np.abs(g).max() for g in right.values()] or [0])
    found = [np.abs(wrong[p] - g).max() / max(np.abs(g).max(), 1e-5 * largest)
             for p, g in right.items() if p in wrong and largest > 0]
    return max(found) if found else None


def _with_operand_alone(node, inputs):
    """The node with its last operand as a variable of its own, which nothing else uses."""
    return _again(node, inputs[:-1] + [C.reshape(inputs[-1], inputs[-1].shape).output])


@check('fed penalty', 'wrong result',
       'a graph of the parameters: for a gradient penalty, gradient() of symbolic_gradient.py')
def fed_penalty(network):
    """An input that is added to what depends on parameters: no parameter's gradient has it."""
    for x in network.function.arguments:
        after = network.after([x.uid])
        joined = [n for n in network.nodes.values() if n.output.uid in after & network.trainable]
        ends = [v for v in network.outputs if v.uid in after & network.trainable
                and _size(v.shape) == 1]
        if ends and all(_adds(network, node, after) for node in joined):
            yield ('the input ' + _name(x), 'it is added to %s, but no gradient of a '
                   'parameter depends on it: to the training it is a constant'
                   % _name(ends[0]), 'may be')


def _adds(network, node, after):
    """Whether the node only adds what depends on the input, or scales such a sum."""
    name = node.op.op_name
    if name in ('ElementTimes', 'Times'):
        return any(x.uid not in network.trainable | after for x in node.inputs)
    return name in ('Plus', 'Minus', 'Negate', 'Reshape', 'NoOp', 'Slice', 'TransposeAxes') or (
        name == 'ReduceElements' and _is_linear(node))


def _is_linear(node):
    """Whether a reduction is a sum or a mean."""
    reduced, numbers = _reduction(node)
    return reduced is not None and np.allclose(reduced(numbers) + reduced(numbers ** 2),
                                               reduced(numbers + numbers ** 2), rtol=1e-4)


def _is_choice(node):
    """Whether a reduction is a maximum or minimum: it gives some of its numbers."""
    reduced, numbers = _reduction(node)
    return reduced is not None and np.isin(reduced(numbers), numbers).all()


def _reduction(node):
    """A reduction as a function, and numbers to try it on: CNTK aborts if it is asked for the
    attributes of some. (None, None) if it can't be tried.
    """
    x = node.inputs[0]
    if len(x.dynamic_axes) > 1 or _size(x.shape) == 0:
        return None, None
    stand_in = C.input_variable(x.shape, x.dtype, dynamic_axes=x.dynamic_axes)
    reduced, shape = _again(node, [stand_in]), (2,) * len(x.dynamic_axes) + x.shape
    return (lambda numbers: reduced.eval({stand_in: numbers}),
            np.random.RandomState(0).uniform(0.5, 1.5, shape).astype(x.dtype))


@check('sum behind stop_gradient', 'crash', 'C.stop_gradient(C.reshape(s, s.shape)), or mend()')
def sum_behind_stop(network):
    """A sum of what depends on parameters, that nothing but StopGradient uses."""
    for node in _stopped_sums(network):
        yield (network.where(node), "backpropagation ends in 'Cannot find input', since only "
               'stop_gradient uses the sum ' + _name(node.inputs[0]), 'sure')


def _stopped_sums(network):
    sums = {n.output.uid for n in network.of('Plus') if n.output.uid in network.trainable
            and {user.op.op_name for user, _ in network.users.get(n.output.uid, [])}
            == {'StopGradient'}}
    return [n for n in network.of('StopGradient') if n.inputs[0].uid in sums]


@check('layer normalisation by column', 'wrong result',
       'normalise in your own graph, with C.parameter((channels, 1, 1)) for gain and shift, and '
       'epsilon under the root')
def gain_for_columns(network):
    """The gain of a layer normalisation lies along the last axis of a map."""
    said = set()                                        # a network may occur several times
    for node in network.of('ElementTimes'):
        for gain, x in (node.inputs, node.inputs[::-1]):
            along_last = _is_fixed(gain) and gain.uid not in said and (
                1 < _size(gain.shape) == gain.shape[-1] < _size(x.shape)
                and gain.shape[-1] == x.shape[-1])
            epsilon = _epsilon_of_normalization(network, x) if along_last and (
                len(x.shape) > 2 or _is_map(network, x)) else None
            if epsilon:
                said.add(gain.uid)
                yield (network.where(node), 'a layer normalisation learns a gain for each of '
                       'the %d columns of a map %s, and adds epsilon to the %s' % (
                           x.shape[-1], _shape(x), epsilon), 'sure')


def _is_map(network, x):
    """Whether x comes from a convolution by operations that keep its shape."""
    while x.uid in network.nodes:
        node = network.nodes[x.uid]
        if node.op.op_name in ('Convolution', 'Pooling'):
            return True
        x = ([y for y in node.inputs if y.shape == x.shape and y.is_output] or node.inputs[:1])[0]
        if x.shape != node.output.shape:
            return False
    return False


def _epsilon_of_normalization(network, x):
    """What epsilon is added to, if x is (y - mean) / root, with one root for each sample."""
    for inverse, centred in _operands(network, x, 'ElementTimes'):
        for divisor in network.computed(inverse, 'Reciprocal'):
            sums = network.computed(divisor.inputs[0], 'Plus')
            roots = [v for n in sums for v in n.inputs] or [divisor.inputs[0]]
            if (_size(inverse.shape) == 1 and network.computed(centred, 'Minus')
                    and any(network.computed(v, 'Sqrt') for v in roots)):
                return 'deviation, not to the variance' if sums else 'variance'


def _operands(network, x, operation):
    """Both orders of the operands of the operation that x is the result of, if it is."""
    return [pair for n in network.computed(x, operation) for pair in (n.inputs, n.inputs[::-1])]


@check('softmax over all numbers', 'wrong result', 'say the axis: C.softmax(x, axis=...)',
       of=['Softmax', 'Hardmax'])
def softmax_over_all(network, node):
    x = node.inputs[0]
    if x.dynamic_axes and sum(n != 1 for n in x.shape) > 1:
        yield '%s without an axis is over all %s numbers of a sample, not along the last axis' % (
            node.op.op_name.lower(), _shape(x)), 'likely'


@check('product summed over the batch', 'wrong result', 'C.times(C.reshape(v, (1, K)), m)',
       of=['Times'])
def product_over_batch(network, node):
    left, right = node.inputs
    if (len(left.shape) == 1 and len(right.shape) == 2 and right.shape[1] == 1
            and right.dynamic_axes and left.shape != (1,)):
        yield ('a vector %s times a matrix %s with a batch axis gives each sample the sum over the '
               'minibatch' % (left.shape, right.shape), 'sure')


@check('one random number for a batch', 'wrong result',
       'C.random.uniform_like(x), or an input that is drawn in NumPy')
def one_random_number(network):
    """Random numbers without a batch axis meet data that have one."""
    for node in network.of('RandomDistribution'):
        stack = [] if node.inputs or node.output.dynamic_axes else [node.output]
        while stack:
            x = stack.pop()
            for user, i in network.users.get(x.uid, []):
                others = [y for j, y in enumerate(user.inputs) if j != i]
                if any(y.is_parameter for y in others):
                    continue                            # noise on weights
                if not user.output.dynamic_axes:
                    stack.append(user.output)
                elif user.op.op_name in ELEMENTWISE:
                    yield (network.where(node), 'the same random numbers for all samples of '
                           'a minibatch: they are drawn without a batch axis, and used in '
                           + network.where(user), 'sure')
                    stack = []
                    break


@check('samples mixed under a penalty', 'wrong result', 'layer normalisation, or none')
def samples_mixed(network):
    """Batch normalisation in a network whose gradient for each sample is penalised."""
    penalised = _differentiated(network)
    certain = bool(penalised)
    if not penalised and list(fed_penalty(network)):
        penalised = [p.uid for p in network.parameters if p.uid in network.reached and (
            not network.trained or p.uid in network.trained)]
    weights = set(penalised)
    uses = [n.output.uid for n in network.nodes.values()
            if weights & {x.uid for x in n.inputs} and n.op.op_name != 'BatchNormalization']
    between = network.after(uses) & network.before(uses)
    said = set()                                        # a network may occur several times
    for node in network.of('BatchNormalization', 'ReduceElements'):
        normal = node.op.op_name == 'BatchNormalization'
        over_batch = normal or len(node.output.dynamic_axes) < len(node.inputs[0].dynamic_axes) == 1
        which = node.inputs[1].uid if normal else node.output.uid
        if over_batch and node.output.uid in between and which not in said:
            said.add(which)
            yield (network.where(node), 'it mixes the samples of a minibatch in a network '
                   'whose gradient for each sample is penalised',
                   'likely' if certain else 'may be')


def _differentiated(network):
    """The uids of parameters of a network whose gradient, or finite difference, is in the loss."""
    ways = {}
    for node in network.of('Convolution', 'Times'):
        for x, turned in _weights(network, node):
            ways.setdefault(x.uid, set()).add(turned)
    both = {uid for uid, way in ways.items() if len(way) == 2}
    for node in network.of('Minus'):
        if node.output.uid in network.trainable and _is_squared(network, node.output):
            both |= _perturbed(network, *(network.before([x.uid]) for x in node.inputs))
    return both


def _is_squared(network, x):
    """Whether x, scaled and shifted by what no parameter has a part in, is squared."""
    for user, i in network.users.get(x.uid, []):
        name, others = user.op.op_name, [y for j, y in enumerate(user.inputs) if j != i]
        if name in ('Abs', 'Pow') or (name == 'ElementTimes' and others[0].uid == x.uid):
            return True
        if name in LINEAR and not any(y.uid in network.trainable for y in others) and _is_squared(
                network, user.output):
            return True
    return False


def _weights(network, node):
    """The parameters that a product has as a factor, and whether as a transposed one."""
    if node.op.op_name == 'Convolution':
        return [(node.inputs[0], node.op.attributes['transpose'])]
    found = []
    for x in node.inputs:
        turned = False
        while x.uid in network.nodes and network.nodes[x.uid].op.op_name in (
                'Reshape', 'TransposeAxes'):
            turned |= network.nodes[x.uid].op.op_name == 'TransposeAxes'
            x = network.nodes[x.uid].inputs[0]
        if x.is_parameter:
            found.append((x, turned))
    return found


def _perturbed(network, one, other):
    """Parameters that two branches share, if they begin with x and with x + something."""
    starts = []
    for branch in (one - other, other - one):
        starts.append(OrderedDict())
        for node in network.nodes.values():
            for p in node.inputs if node.output.uid in branch else ():
                if p.is_parameter:
                    starts[-1].setdefault(p.uid, _summands(network, node))
    shared = [uid for uid in starts[0] if uid in starts[1]]
    return set(shared) if shared and starts[0][shared[0]] & starts[1][shared[0]] else set()


def _summands(network, node):
    """The uids of the data that a node uses, and of the operands of the sums that they are."""
    data = [x for x in node.inputs if x.dynamic_axes]
    return {x.uid for x in data} | {
        y.uid for x in data for n in network.computed(x, 'Plus', 'Minus')
        for y in n.inputs if y.dynamic_axes}


@check('no running statistics', 'wrong result',
       'train with the batch normalisation in the graph, or set its mean, variance and count',
       of=['BatchNormalization'])
def no_statistics(network, node, evaluated=False):
    """A batch normalisation without running statistics, trained or evaluated: `eval` needs them."""
    values = [network.value(node.inputs[i]) for i in (1, 3, 4, 5)]
    if all(v is not None for v in values):
        gain, mean, variance, count = values
        if (evaluated or gain.ptp() > 0) and count.max() == mean.ptp() == variance.ptp() == 0:
            yield ('it has no running statistics, but eval computes with them',
                   'sure' if evaluated else 'likely')


@check('mode of training', 'wrong result', 'for numbers as eval gives them, a clone without '
       'dropout and with its statistics frozen; or a gradient as a graph',
       of=['Dropout', 'BatchNormalization'])
def training_mode(network, node, differentiated=False):
    if differentiated:
        yield 'Function.grad computes it as in training: ' + (
            'some numbers are dropped' if node.op.op_name == 'Dropout' else 'with the statistics '
            'of the minibatch, and it changes the running ones'), 'likely'


@check('no batch axis', 'crash', 'an input with a batch axis, of one sample; or mend()',
       of=['Convolution', 'BatchNormalization'])
def no_batch_axis(network, node):
    if _lacks_batch(node):
        yield ('of data without a batch axis; on a CPU it reads and writes beyond its memory',
               'sure')


def _lacks_batch(node):
    return not node.inputs[node.op.op_name == 'Convolution'].dynamic_axes


@check('kernel smaller than stride', 'wrong result', 'take every n-th row and column first '
       '(C.slice with strides), then convolve with stride 1; or compute in double precision',
       of=['Convolution'])
def stride_beyond_kernel(network, node):
    """With automatic padding, the gradient of such a kernel is wrong for some sizes."""
    a, kernel = node.op.attributes, node.inputs[0]
    strides, sizes = a['strides'], kernel.shape[-len(a['strides']):]
    if kernel.uid in network.learned and any(pad and stride > size for pad, stride, size in zip(
            a['autoPadding'], strides, sizes)):
        found = _kernel_gradient(node)
        if found is None or found > 1e-3:
            yield 'strides %s larger than the kernel %s, with automatic padding: %s' % (
                strides[-2:], sizes[-2:], 'CNTK can not compute the gradient of the kernel'
                if found is None else 'the gradient of the kernel is wrong by %.0f %%' % (
                    100 * found)), 'sure'


def _kernel_gradient(node):
    """How wrong the gradient of a kernel is. The output is linear in the kernel, so that the
    output for a kernel is the product of kernel and gradient. None if there is an error.
    """
    kernel, x = node.inputs
    if kernel.dynamic_axes or not all(n > 0 for n in kernel.shape + x.shape):
        return None
    rng = np.random.RandomState(0)
    w = C.parameter(kernel.shape, init=rng.uniform(0.5, 1, kernel.shape), dtype=kernel.dtype)
    data = C.input_variable(x.shape, x.dtype)
    try:
        y = C.as_composite(node.op).clone(C.CloneMethod.share, dict(zip(node.op.inputs, [w, data])))
        numbers = rng.uniform(0.5, 1, (5,) + x.shape).astype(x.dtype)
        total = float(np.sum(y.eval({data: numbers}), dtype=float))
        return abs(float(np.sum(y.grad({data: numbers}, wrt=[w]) * w.value, dtype=float)) / total
                   - 1)
    except (ValueError, RuntimeError):
        return None


@check('equal maxima', 'wrong result',
       'C.reduce_sum(x * C.stop_gradient(e / C.reduce_sum(e))) with e = C.equal(x, maximum)',
       of=['ReduceElements'])
def equal_maxima(network, node):
    """Each of several equal maxima gets the whole gradient. (Where they are the zeros of a ReLU,
    that does no harm.)
    """
    x, y = node.inputs[0], node.output
    if (y.uid in network.reached and x.uid in network.learned
            and y.dynamic_axes == x.dynamic_axes and _is_choice(node)):
        deviation = _deviation(network, {y.uid: _with_shares})
        if deviation is not None and deviation > network.tolerance:
            yield ('several numbers are the largest or smallest, and each gets the whole gradient: '
                   'gradients of parameters are wrong by up to %.2g %%' % (100 * deviation),
                   'likely' if network.data is None else 'sure')


def _with_shares(node, inputs):
    """The maximum, of which equal ones share the gradient."""
    x, y = inputs[0], _again(node, inputs)
    axes = list(range(len(x.shape)))
    if y.shape != ():
        a = node.op.attributes
        listed = a['axisVec' if 'axisVec' in a else 'axis']
        listed = [listed] if isinstance(listed[0], str) else listed
        axes = [len(x.shape) - 1 - n if n >= 0 else -1 - n for _, _, n in listed]
    kept = C.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
    equal = C.equal(x, kept)
    shares = C.stop_gradient(equal / C.reduce_sum(equal, axis=axes))
    return C.reshape(C.reduce_sum(x * shares, axis=axes), y.shape)


@check('same initial numbers', 'wrong result',
       'a seed for each initializer: after set_fixed_random_seed, all begin alike')
def same_numbers(network):
    """Parameters that begin with the same random numbers, up to a factor."""
    groups = []                                         # (first numbers, the parameters)
    for p in network.parameters:
        numbers = np.ravel(p.value)[:64].astype(float) if _size(p.shape) >= 8 else np.zeros(1)
        if len(np.unique(numbers)) <= max(len(numbers) / 2, 4):         # not random
            continue
        alike = [members for start, members in groups if _are_proportional(start, numbers)]
        if alike:
            alike[0].append(p)
        else:
            groups.append((numbers, [p]))
    for _, members in groups:
        if len(members) > 1:
            yield ('the parameters ' + ', '.join(map(_name, members)), 'all begin with the same '
                   'numbers, up to a factor', 'sure')


def _are_proportional(one, other):
    n = min(len(one), len(other))
    return abs(np.corrcoef(one[:n], other[:n])[0, 1]) > 1 - 1e-6


@check('NaN', 'wrong result', 'go back to an earlier checkpoint, with a smaller step')
def not_finite(network):
    for v in network.values.values():
        if _size(v.shape) and not np.isfinite(v.value).all():
            yield ('the %s %s' % ('parameter' if v.is_parameter else 'constant', _name(v)),
                   'it has values that are NaN or infinite', 'sure')


@check('gradient through a loop', 'crash',
       'a network without recurrence there: gradient() refuses, and Function.grad gives numbers '
       'that train nothing')
def gradient_through_loop(network):
    """A gradient with respect to an input that is not to be had as a graph."""
    inputs = [x for x in network.function.arguments if x.needs_gradient]
    for node in network.loops[:1]:
        if node.output.uid in network.after([x.uid for x in inputs]):
            yield (network.where(node), 'a gradient with respect to %s is wanted, which is '
                   'the start of a recurrent loop' % _name(inputs[0]), 'may be')


@check('parameter without a learner', 'wrong result',
       'give it to the learner, or stop_gradient if it is to stay')
def untrained(network):
    """A parameter between trained ones, or in a layer with one, that no learner trains."""
    if not network.trained:
        return
    trained = [p.uid for p in network.parameters if p.uid in network.trained]
    users = {p.uid: {n.output.uid for n, _ in network.users.get(p.uid, [])}
             for p in network.parameters}
    between = network.after(trained) & network.before(
        [user for uid in trained for user in users[uid]])
    for p in network.parameters:
        if (p.uid in network.reached and p.uid not in network.trained
                and users[p.uid] & network.after(trained) and users[p.uid] & between):
            yield ('the parameter ' + _name(p), 'it lies between parameters that are trained, but '
                   'no learner trains it', 'likely')


@check('learner without effect', 'wrong result', 'give it the parameters that the loss depends on')
def idle_learner(network):
    """A learner none of whose parameters gets a gradient, or whose rate is 0."""
    for learner in network.learners:
        if learner.learning_rate() == 0:
            yield (_learner(learner), 'its learning rate is 0', 'sure')
        elif not any(p.uid in network.reached for p in learner.parameters):
            yield (_learner(learner), 'none of its parameters gets a gradient of this loss',
                   'sure')


def _learner(learner):
    return 'the learner of %s and %d more' % (
        _name(learner.parameters[0]), len(learner.parameters) - 1)


@check('slow ReLU', 'slow', 'C.cntk_py.disable_cpueval_optimization()')
def slow_relu(network):
    """CNTK's 'optimisation for inference' is on; it is a switch of the process."""
    if network.learners and network.of('ReLU') and _optimised_for_inference() and (
            C.use_default_device().type() == C.device.DeviceKind.CPU):
        yield (network.where(network.of('ReLU')[0]), 'CNTK\'s optimisation for inference is '
               'on, which makes each ReLU ten times as slow on a CPU', 'sure')


def _optimised_for_inference():
    library, = glob.glob(os.path.join(os.path.dirname(C.__file__), 'libs', 'libCntk.Math-*.so'))
    return ctypes.CDLL(library)._ZN9Microsoft3MSR4CNTK9CPUMatrixIfE20GetOptimizationFlagsEv() & 1


# Learners. CNTK does not say what they are; how they change parameters does.


@check('step divided by the batch', 'wrong result', 'minibatch_size=C.learners.IGNORE')
def rate_for_one_sample(network):
    for learner, steps in network.steps:
        rate, count = learner.learning_rate(), steps.count
        divided = steps.many < 1.5 * steps.one / count or (
            steps.tuned_for > 1 and abs(steps.many * steps.tuned_for / rate - 1) < 0.1)
        if count > 1 and steps.adapts and divided:
            yield (_learner(learner), 'the step is divided by the minibatch size: with a rate of '
                   '%.3g, it is %.3g for a minibatch of %d' % (rate, steps.many, count), 'sure')


@check('RMSProp epsilon', 'wrong result',
       'C.adam with momentum=0, or C.universal with the rule of the paper')
def large_epsilon(network):
    for learner, steps in network.steps:
        if steps.blocks == 3 and steps.adapts and not steps.adapts_to_small:
            yield (_learner(learner), 'it adds to squared gradients a number larger than they are: '
                   'for gradients of 1e-4 its steps shrink with the gradient', 'may be')


@check('beta2 for one sample', 'wrong result',
       'variance_momentum=0.999 (a number, said on purpose) with minibatch_size=C.learners.IGNORE')
def decay_for_one_sample(network):
    for learner, steps in network.steps:
        one, many = steps.forgotten
        if steps.adapts and 1.5 * one < many < 5e-4:
            yield (_learner(learner), 'beta2 is %.7f for one sample, %.5f for a minibatch of %d: '
                   'squared gradients are averaged over %d minibatches' % (
                       1 - one, 1 - many, steps.count, 1 / many), 'sure')


# What a learner does from its initial state. one, many: the step for a minibatch of one sample and
# of count. adapts, adapts_to_small: whether smaller gradients make as large steps, for gradients
# of about 1 and 1e-4. forgotten: 1 - β2 for one sample and for count. blocks: how many numbers it
# keeps for one of a parameter. tuned_for: the minibatch size that its settings are for, 0 if none.
Steps = namedtuple('Steps', 'count one many adapts adapts_to_small forgotten blocks tuned_for')


def _steps(learner, count):
    """The Steps of a learner, which is left as it was; None if it keeps nothing (plain SGD)."""
    before = learner.create_checkpoint()
    if isinstance(learner, (C.learners.UserLearner, C.train.distributed.DistributedLearner)) or (
            not any(np.shape(state) for state in before['smoothed_gradients'])):
        return None
    values = [(p, p.value) for p in learner.parameters]
    place = int(np.argmax([_size(p.shape) for p in learner.parameters]))
    largest = learner.parameters[place]

    def update(scale, samples):
        """(how far the largest parameter moves for gradients of half 1 and half 0.1, 1 - β2)"""
        learner.reset_smoothed_gradients()
        gradients = {}
        for p in learner.parameters:
            p.value = np.zeros(p.shape, p.dtype)
            pattern = np.where(np.arange(_size(p.shape)) % 2, 0.1, 1) * scale * samples
            gradients[p] = pattern.reshape(p.shape).astype(p.dtype)
        learner.update(gradients, samples)
        square = np.ravel(learner.create_checkpoint()['smoothed_gradients'][place])[0]
        return np.abs(largest.value).ravel().astype(float), float(square) / (
            1 if learner.is_compatible_mode() else samples) ** 2

    try:
        (one, first), (many, last), (small, _) = (
            update(*how) for how in ((1, 1), (1, count), (1e-4, count)))
    finally:
        learner.restore_from_checkpoint(before)
        for p, value in values:
            p.value = value
    adapts, adapts_to_small = (len(moved) > 1 and moved[1] > 0.5 * moved[0] > 0
                               for moved in (many, small))
    return Steps(count, one.max(), many.max(), adapts, adapts_to_small, (first, last),
                 np.size(before['smoothed_gradients'][place]) / _size(largest.shape),
                 before['learnig_rate_schedule']['ref_mb_size'])            # CNTK's spelling


def _count_samples(network):
    """How many samples the data have."""
    for x, value in _by_input(network.function, network.data).items():
        if x.dynamic_axes:
            return len(value) if isinstance(value, (list, np.ndarray)) else value.shape[0]
    return SAMPLES


def _changes(network):
    """What `mend` can mend: by uid, how the node is computed instead."""
    changes = {n.output.uid: _with_operand_alone for n in _overwritten(network)}
    changes.update((n.output.uid, _with_operand_alone) for n in _stopped_sums(network))
    changes.update((n.output.uid, _with_a_batch) for n in network.of('Convolution')
                   if _lacks_batch(n) and all(s > 0 for s in n.inputs[1].shape))
    return changes


def _with_a_batch(node, inputs):
    kernel, x = inputs
    y = _again(node, [kernel, C.to_batch(C.reshape(x, (1,) + x.shape)).output])
    return C.reshape(C.unpack_batch(y), node.output.shape)


# ---------------------------------------------------------------------------------------------
# The program


class UserError(Exception):
    """A sentence that says what is wrong, and what to do."""


class Parser(argparse.ArgumentParser):
    """Its errors are one sentence."""

    def error(self, message):
        raise UserError(message + ' (--help lists all options)')


def main(arguments=None):
    parser = Parser(description='Find what CNTK 2.7 computes wrongly or slowly.')
    parser.add_argument('files', nargs='*', metavar='FILE', help='CNTK models, or *.onnx')
    parser.add_argument('--write', metavar='FIXED.model', help='write a mended copy of FILE')
    parser.add_argument('--end', action='store_true', help='with --run: end the program when '
                        'each of its Trainers has been examined')
    parser.add_argument('--run', nargs=argparse.REMAINDER, metavar='SCRIPT.py [ARGUMENT ...]',
                        help='run a program, and examine its Trainers at their first minibatch')
    try:
        options = parser.parse_args(arguments)
        if bool(options.files) == bool(options.run) or (options.write and len(options.files) != 1):
            raise UserError('give FILE.model ..., or --write FIXED.model FILE.model, or --run '
                            'SCRIPT.py (--help says more)')
        if options.run:
            return run(options.run[0], options.run, options.end)
        found = [examine(path) for path in options.files]
        if options.write:
            write_mended(options.files[0], options.write)
        return int(any(found))
    except UserError as error:
        say('error: %s' % error, sys.stderr)
        return 2
    except BrokenPipeError:                             # nobody reads what it prints
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def examine(path):
    """Print the findings in a model file; returns how many there are."""
    findings = list(_unwritable(path)) + diagnose(load(path))
    report(path, findings)
    return len(findings)


def report(title, findings):
    """Print the findings, those of one kind together."""
    lines = ['%s: %s' % (title, '%d finding%s' % (len(findings), 's' * (len(findings) != 1))
                         if findings else 'nothing found')]
    for check in OrderedDict.fromkeys(f.check for f in findings):
        alike = [f for f in findings if f.check == check]
        lines.append('  %s (%s, %s)' % (check, alike[0].why, alike[0].sure))
        lines += ['    %s: %s' % (f.where, f.what) for f in alike]
        lines.append('    instead: ' + alike[0].instead)
    say('\n'.join(lines))


def say(text, file=None):
    """Print; letters that the terminal lacks are written as numbers."""
    file = file or sys.stdout
    encoding = file.encoding or 'ascii'
    print(text.encode(encoding, 'backslashreplace').decode(encoding), file=file, flush=True)


def load(path):
    """The network in a file of CNTK's format or, if it is called *.onnx, of ONNX."""
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise UserError('%s can not be read: %s' % (path, error.strerror))
    onnx = path.lower().endswith('.onnx')
    source, kind = (path, C.ModelFormat.ONNX) if onnx else (data, C.ModelFormat.CNTKv2)
    try:
        with _quiet():
            if not data or _crashes(lambda: C.Function.load(source, format=kind)):
                raise RuntimeError('it is empty, or CNTK crashes')
            return C.Function.load(source, format=kind)
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError('%s is not a model that CNTK can read (%s)' % (path, _first_line(error)))


def write_mended(path, target):
    """Write a mended copy of the network in a file; print the evidence that it is right."""
    if os.path.exists(target):
        raise UserError('%s exists already: choose another name, or remove it' % target)
    network = load(path)
    try:
        mended = mend(network)
    except COMPUTING as error:
        raise UserError('%s can not be mended (%s)' % (path, _first_line(error)))
    if mended is network:
        say('%s: nothing that can be mended without a change of its results; %s is not written' % (
            path, target))
        return
    with _quiet():
        rows = evidence(network, mended)
    for name, wrong, right, expected in rows:
        say('  derivative of %s: %.6g as it was, %.6g mended, %.6g by central differences' % (
            name, wrong, right, expected))
    target_path = os.path.abspath(target)
    try:                                # CNTK can't write each name that there may be
        with tempfile.TemporaryDirectory(dir=os.path.dirname(target_path)) as scratch, _quiet():
            if _crashes(lambda: (os.chdir(scratch), mended.save('mended.model'))):
                raise OSError(0, 'there is no room')
            os.rename(os.path.join(scratch, 'mended.model'), target_path)
    except OSError as error:
        raise UserError('%s can not be written: %s' % (target, error.strerror))
    say('%s: written' % target)


def _crashes(action):
    """Whether CNTK brings a copy of this process down. Not tried where a GPU is in use."""
    if C.use_default_device().type() != C.device.DeviceKind.CPU or not hasattr(os, 'fork'):
        action()
        return False
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _first_line(error):
    return str(error).strip().split('\n')[0] or type(error).__name__


def _unwritable(path):
    """CNTK cuts a path off before the first letter that the locale lacks."""
    try:
        str(path).encode(locale.getpreferredencoding(False))
    except UnicodeEncodeError as error:
        yield Finding('path that the locale lacks', 'CNTK reads and writes at %r instead: the '
                      'encoding of the locale is %s' % (str(path)[:error.start], error.encoding),
                      'the path %r' % str(path), 'wrong result', 'sure',
                      'LC_ALL=C.UTF-8, or a path in ASCII')


def run(script, arguments, end=False):
    """Run a program under the eyes of a Watch; returns its exit code, 1 if there is a finding."""
    if not os.path.isfile(script):
        raise UserError('there is no program %s' % script)
    before, code = (sys.argv, sys.path[:]), 0
    sys.argv, sys.path[0] = arguments, os.path.dirname(os.path.abspath(script))
    watch = Watch(end)
    try:
        with watch:
            runpy.run_path(script, run_name='__main__')
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        raise
    except Exception as error:
        failure = '%s: %s' % (type(error).__name__, _first_line(error))
        raise UserError('the program %s fails (%s); %d findings until then' % (
            script, failure, watch.count))
    finally:
        sys.argv, sys.path[:] = before
        watch.finish()
    return 1 if watch.count else code


class Watch:
    """While it is entered, CNTK's Trainers are examined at their first minibatch, and some calls
    for what they are given.

    count: of findings. end: whether to end the program when each Trainer has been examined.
    """

    def __init__(self, end=False):
        self.end, self.count, self.busy = end, 0, False
        self.trainers, self.examined, self.said, self.originals = [], set(), set(), []

    def __enter__(self):
        self._wrap(C.Trainer, '__init__', self.trainers.append, after=True)
        self._wrap(C.Trainer, 'train_minibatch', self.minibatch)
        self._wrap(C.Trainer, 'save_checkpoint', self.saved)
        self._wrap(C.Function, 'save', self.saved)
        self._wrap(C.Function, 'eval', self.call('eval', {
            'no running statistics': {'evaluated': True}, 'one random number for a batch': {}}))
        self._wrap(C.Function, 'grad', self.call('grad', {
            'mode of training': {'differentiated': True}}))
        return self

    def __exit__(self, *_):
        for owner, name, original in self.originals:
            setattr(owner, name, original)

    def _wrap(self, owner, name, look, after=False):
        """Have look called with what a method is called with, but not from within another."""
        original = getattr(owner, name)
        self.originals.append((owner, name, original))

        def wrapper(*args, **kwargs):
            result = original(*args, **kwargs) if after else None
            if not self.busy:
                self.busy = True
                try:
                    look(*args[:1]) if after else look(*args, **kwargs)
                finally:
                    self.busy = False
            return result if after else original(*args, **kwargs)
        setattr(owner, name, wrapper)

    def saved(self, _, filename, *__, **___):
        self.say('what is saved', _unwritable(filename))

    def say(self, title, findings):
        new = [f for f in findings if (f.check, f.where) not in self.said]
        self.said.update((f.check, f.where) for f in new)
        self.count += len(new)
        if new:
            report(title, new)

    def minibatch(self, trainer, arguments=None, *_, **__):
        if id(trainer) not in self.examined:
            self.examine(trainer, arguments)
        elif self.end and len(self.examined) == len(self.trainers):
            raise SystemExit(0)

    def examine(self, trainer, arguments=None):
        self.examined.add(id(trainer))
        loss, number = trainer.loss_function, [id(t) for t in self.trainers].index(id(trainer)) + 1
        self.say('the Trainer %d of %d, loss %s' % (number, len(self.trainers),
                                                    _name(loss.outputs[0])),
                 diagnose(loss, trainer.parameter_learners, arguments))

    def call(self, name, checks):
        """What is called before Function.eval or grad; each function is examined once."""
        def look(function, *_, **__):
            if (name, function.uid) not in self.said:
                self.said.add((name, function.uid))
                network = Network(function)
                self.say('Function.%s of %s' % (name, _name(function.outputs[0])), [
                    finding for check, how in checks.items()
                    for finding in _findings(check, network, **how)])
        return look

    def finish(self):
        """Examine those Trainers that CNTK trained otherwise, and what none of them trains."""
        for trainer in self.trainers:
            if id(trainer) not in self.examined:
                self.examine(trainer)


if __name__ == '__main__':
    sys.exit(main())
