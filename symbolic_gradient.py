"""The gradient of a CNTK graph, as another CNTK graph.

CNTK differentiates for its trainers, but gives Python only numbers (`Function.grad`). A penalty
computed from such numbers is a constant to the trainer: it trains nothing. This module writes
reverse-mode differentiation in ordinary CNTK operations. CNTK evaluates and differentiates them
like any others:

    y = C.tanh(C.times(x, w))
    g = gradient(y, x)                    # has the shape of x, and uses the same parameter w
    loss = C.reduce_sum(g * g)            # trains w through the gradient

Read `gradient` first (the walk through the graph), then `RULES` (a line for each operation). The
end of the file, `safe_to_differentiate`, works around a defect of CNTK's own backpropagation.
"""

from collections import Counter, OrderedDict, namedtuple

import cntk as C
import numpy as np


def gradient(output, wrt):
    """Return the CNTK graph of ∂(sum of `output`)/∂`wrt`.

    output: a CNTK Function or Variable, of any shape.
    wrt: the Variable, Parameter or Function to differentiate with respect to. `output` must be
        computed from it. If it has a batch axis, each sample gets the gradient of its own output.
        If it has none (a parameter), the sum also runs over the minibatch and the steps of
        sequences.
    Returns a Function of the shape of `wrt`. It shares all parameters with `output` and, except
    inside blocks, all intermediate results. It can be passed to `gradient` again.

    If there is a transposed convolution between `wrt` and `output`, the result depends on a copy of
    the graph that CNTK differentiates correctly (`safe_to_differentiate`). The copy shares the
    parameters too.

    Raises NotImplementedError, naming the operation, if `RULES` has no rule for an operation
    between `wrt` and `output`, or if a recurrent loop is between them; ValueError if `output` was
    not computed from `wrt`.

    Source: reverse accumulation; Griewank and Walther, 'Evaluating Derivatives', 2nd ed. 2008,
    section 3.2.
    """
    output, wrt = _variable(output), _variable(wrt)
    steps, everything = _steps_between(wrt, output)
    if output.uid != wrt.uid and output.uid not in steps:
        raise ValueError('%s was not computed from %s: there is no gradient'
                         % (output.uid, wrt.uid))
    overwritten = _overwritten(everything, [output, wrt], reused=steps)
    if overwritten:
        copies = _copy(everything, overwritten, steps)
        output, wrt = (copies.get(v.uid, v) for v in (output, wrt))
        steps, _ = _steps_between(wrt, output)

    gradients = {output.uid: _ones_for(output)}
    for step in reversed(list(steps.values())):
        dy = gradients.get(step.result.uid)
        if dy is None:                          # used only by operands without a gradient
            continue
        for i, x in enumerate(step.inputs):
            if step.rules[i] is no_gradient or (x.uid not in steps and x.uid != wrt.uid):
                continue
            dx = _gradient_of_operand(step, i, dy)
            gradients[x.uid] = gradients[x.uid] + dx if x.uid in gradients else dx
    return gradients[wrt.uid] if wrt.uid in gradients else C.zeros_like(wrt)


# One computation: `operation` computes `result` from `inputs`, with one rule for each input.
# opened: the operation is a block; its only input is the result of the graph inside the block.
Step = namedtuple('Step', 'result operation inputs rules opened')


def _gradient_of_operand(step, i, dy):
    """The term that the gradient `dy` of the step's result adds to the gradient of operand i."""
    x, rule, name = step.inputs[i], step.rules[i], step.operation.op_name
    if rule is None:
        raise NotImplementedError(
            'no gradient rule for the operation %s by its operand %d (%s); RULES in '
            'symbolic_gradient.py is the place for one' % (name, i, x.uid))
    if (len(step.result.dynamic_axes) < len(x.dynamic_axes)
            and rule not in (_reduce, _reduce_sequence)):
        raise NotImplementedError('no gradient rule for the operation %s over a dynamic axis (%s)'
                                  % (name, x.uid))
    return _sum_to_shape_of(x, rule(step.operation, dy, step.result, *step.inputs))


def _variable(x):
    return x.output if isinstance(x, C.Function) else x


def _ones_for(output):
    """Ones of the shape of `output`, for each sample."""
    return _for_each_sample(C.constant(1, output.shape, output.dtype), output)


def _for_each_sample(value, like):
    """Repeats `value`, which has fewer dynamic axes than `like`, along the axes of `like`.

    The axes are taken from an input of the graph. If they came from `like`, as with `C.ones_like`,
    CNTK would backpropagate zeros through the whole graph.
    """
    if not like.dynamic_axes:
        return value
    alike = [x for x in C.combine([like]).arguments if x.dynamic_axes == like.dynamic_axes]
    return C.reconcile_dynamic_axes(value, alike[0] if alike else like)


def _steps_between(wrt, output):
    """Returns the Steps that lead from `wrt` to `output`, and all Steps to both of them.

    Each is an OrderedDict by the uid of the result, inputs first. Raises NotImplementedError if
    there is a loop between them, because a loop has no such order.
    """
    everything, stack, seen = OrderedDict(), [(output, None), (wrt, None)], set()
    users, loops = {}, []
    while stack:
        variable, step = stack.pop()
        if step is not None:                    # second visit: all inputs are done, but in loops
            loops += [(x.uid, step) for x in step.inputs
                      if x.is_output and x.uid not in everything]
            everything[variable.uid] = step
        elif variable.uid not in seen and variable.is_output:
            seen.add(variable.uid)
            step = _step_to(variable)
            stack.append((variable, step))
            stack.extend((x, None) for x in step.inputs)
            for x in step.inputs:
                users.setdefault(x.uid, []).append(variable.uid)
    # Results that depend on wrt, and results that output depends on other than through wrt.
    after = _reached(wrt.uid, lambda uid: users.get(uid, []))
    before = _reached(output.uid, lambda uid: [] if uid == wrt.uid or uid not in everything else [
        x.uid for x in everything[uid].inputs])
    between = OrderedDict((uid, step) for uid, step in everything.items()
                          if uid != wrt.uid and uid in after and uid in before)
    for uid, step in loops:
        if uid in between and step.result.uid in between:
            raise NotImplementedError('no gradient through a recurrent loop, which the operation '
                                      '%s (%s) is part of' % (step.operation.op_name,
                                                              step.result.uid))
    return between, everything


def _reached(start, neighbours):
    """The set of all uids that can be reached from `start`, with `start`."""
    reached, stack = {start}, [start]
    while stack:
        new = [uid for uid in neighbours(stack.pop()) if uid not in reached]
        reached.update(new)
        stack.extend(new)
    return reached


def _step_to(variable):
    operation = variable.owner
    if not operation.is_block:
        return _ruled(variable, operation, list(operation.inputs), RULES)

    mapping = operation.block_arguments_mapping
    rules = BLOCK_RULES.get(operation.op_name)
    # `clone` moves operands into a block if it replaces them by constants: then it is opened too.
    if rules and len(rules) <= len(mapping):
        return _ruled(variable, operation, [actual for _, actual in mapping], BLOCK_RULES)

    inside = _inside(operation, [actual for _, actual in mapping])
    return Step(variable, operation, [inside.outputs[_position(variable)]], RULES['NoOp'],
                opened=True)


def _inside(block, inputs):
    """A copy of the graph inside a block, with `inputs` in the place of its placeholders. It shares
    the parameters.
    """
    replaced = {}
    for (placeholder, _), x in zip(block.block_arguments_mapping, inputs):
        # CNTK can't clone a graph with an inner block that would get the same variable twice.
        twice = any(x.uid == other.uid for other in replaced.values())
        replaced[placeholder] = C.alias(x).output if twice else x
    return block.block_root.clone(C.CloneMethod.share, replaced)


def _position(variable):
    """The index of a variable among the outputs of its operation."""
    return [o.uid for o in variable.owner.outputs].index(variable.uid)


def _ruled(variable, operation, inputs, table):
    rules = table.get(operation.op_name, [None] * len(inputs))
    assert len(rules) == len(inputs), '%s has %d operands, and %d rules' % (
        operation.op_name, len(inputs), len(rules))
    return Step(variable, operation, inputs, rules, opened=False)


def _sum_to_shape_of(x, dx):
    """Undoes broadcasting: sums `dx` over the axes along which CNTK repeated `x`."""
    sequences = [len(v.dynamic_axes) > 1 for v in (x, dx)]
    if sequences == [False, True]:
        dx = C.sequence.reduce_sum(dx)
    if not x.dynamic_axes and dx.dynamic_axes:
        dx = C.reduce_sum(dx, axis=C.Axis.default_batch_axis())
    if dx.shape == x.shape:
        return dx
    aligned = (1,) * (len(dx.shape) - len(x.shape)) + x.shape
    repeated = [i for i, (n, m) in enumerate(zip(dx.shape, aligned)) if n != m]
    if repeated:
        dx = C.reduce_sum(dx, axis=repeated)
    return C.reshape(dx, x.shape)


# ---------------------------------------------------------------------------------------------
# The rules. Each takes the operation, the gradient dy of its result y, then y and the operands. It
# returns the gradient of one operand. The caller undoes broadcasting, so a rule may return the
# larger shape.


def no_gradient(*_):
    """Marks an operand whose gradient is zero or not needed."""
    raise AssertionError('never called: gradient() leaves such operands out')


def _convolution(op, dy, y, kernel, x):
    """Convolution is linear in x: its gradient is the transposed convolution, and vice versa."""
    a = op.attributes
    if (a['groups'] != 1 or set(a['dilation']) != {1} or not all(a['sharing'])
            or a['sequential'] or a['autoPadding'][0]):
        raise NotImplementedError(
            'no gradient rule for a Convolution with groups, dilation, unshared kernels, a '
            'sequence axis, or padding along the channels (auto_padding=[False, True, True] pads '
            'the image only)')
    settings = dict(strides=a['strides'], auto_padding=a['autoPadding'])
    if a['transpose']:
        return C.convolution(kernel, dy, **settings)
    return C.convolution_transpose(kernel, _alone(dy), output_shape=x.shape, **settings)


def _times_left(op, dy, y, left, right):
    """left (R…, K…) · right (K…, O…) sums over K…; K… and O… may be several axes each."""
    _refuse_wrong_product(left, right)
    inner_rank = len(right.shape) - op.attributes['outputRank']
    if inner_rank == 0:                                 # an outer product
        out = _size(right.shape)
        return C.reshape(C.times(_as_matrix(dy, out), C.reshape(right, (out, 1))), left.shape)
    axes = list(range(len(right.shape)))
    turned = C.transpose(right, axes[inner_rank:] + axes[:inner_rank])          # (O…, K…)
    return _times(dy, turned, inner_rank)


def _times_right(op, dy, y, left, right):
    _refuse_wrong_product(left, right)
    inner_rank = len(right.shape) - op.attributes['outputRank']
    inner, out = _size(right.shape[:inner_rank]), _size(right.shape[inner_rank:])
    left, dy = _as_matrix(left, inner), _as_matrix(dy, out)
    return C.reshape(C.times(C.transpose(left, (1, 0)), dy), right.shape)


def _is_wrong_product(left, right):
    """CNTK 2.7 computes a vector (K,) times a matrix (K, 1) that has a batch axis as if there were
    none: each sample gets the sum over the minibatch. tests/test_symbolic_gradient.py shows it.
    """
    return (len(left.shape) == 1 and len(right.shape) == 2 and right.shape[1] == 1
            and right.dynamic_axes)


def _times(left, right, output_rank=1):
    """C.times without CNTK's wrong result."""
    if _is_wrong_product(left, right):
        return C.reshape(C.times(C.reshape(left, (1,) + left.shape), right), (1,))
    return C.times(left, right, output_rank=output_rank)


def _refuse_wrong_product(left, right):
    if _is_wrong_product(left, right) and left.shape != (1,):
        raise NotImplementedError(
            'CNTK 2.7 computes Times of a vector %s and a matrix %s with a batch axis wrongly (it '
            'adds up the minibatch); C.times(C.reshape(vector, (1, %d)), matrix) is right'
            % (left.shape, right.shape, left.shape[0]))


def _as_matrix(x, columns):
    """x as a matrix with this many columns. A matrix is not reshaped, since CNTK would copy it."""
    return x if len(x.shape) == 2 and x.shape[1] == columns else C.reshape(x, (-1, columns))


def _size(shape):
    return int(np.prod(shape))


def _times_transpose_left(op, dy, y, left, right):
    """left (…, K) · rightᵀ, right (O, K); or (K,), which stands for (1, K)."""
    return _times(dy, _as_matrix(right, right.shape[-1]))


def _times_transpose_right(op, dy, y, left, right):
    inner = right.shape[-1]
    dy, left = _as_matrix(dy, _size(right.shape[:-1])), _as_matrix(left, inner)
    return C.reshape(C.times(C.transpose(dy, (1, 0)), left), right.shape)


def _transpose_axes(op, dy, y, x):
    a = op.attributes
    if 'axis1' in a:                                    # C.swapaxes
        return C.swapaxes(dy, *(_python_axis(a[name], len(x.shape)) for name in ('axis1', 'axis2')))
    order = [_python_axis(axis, len(x.shape)) for axis in reversed(a['axisVec'])]
    return C.transpose(dy, np.argsort(order).tolist())


def _python_axis(attribute, rank):
    """Converts CNTK's (…, …, n): it counts from the last axis, negative n from the first."""
    n = attribute[2]
    return rank - 1 - n if n >= 0 else -1 - n


def _reduce(op, dy, y, x):
    """Reductions over any static axes, and sums over the minibatch.

    CNTK 2.7 aborts the process when asked for the attributes of a reduction over all axes. A sum
    over the batch axis alone is recognised by its name.
    """
    if len(y.dynamic_axes) < len(x.dynamic_axes):
        while op.is_block:
            op = op.block_root.root_function
        if op.name != '_batch_axes_subop' or op.attributes['reductionOpName'] != 'Sum':
            raise NotImplementedError('no gradient rule for ReduceElements over the batch axis, '
                                      'except for sums over it alone')
        return _for_each_sample(dy * C.constant(1, x.shape, x.dtype), x)
    if y.shape == ():
        name, reduced = _name_of_reduction(y, x), range(len(x.shape))
    else:
        name = op.attributes['reductionOpName']
        listed = op.attributes['axisVec' if 'axisVec' in op.attributes else 'axis']
        listed = [listed] if isinstance(listed[0], str) else listed
        reduced = [_python_axis(axis, len(x.shape)) for axis in listed]
    if name not in REDUCTIONS:
        raise NotImplementedError('no gradient rule for ReduceElements of the kind %s' % name)
    shape = tuple(1 if i in reduced else n for i, n in enumerate(x.shape))
    dy, y = C.reshape(dy, shape), C.reshape(y, shape)
    return REDUCTIONS[name](dy, y, x, _size(shape) / _size(x.shape))


def _name_of_reduction(y, x):
    """The name of a reduction over all static axes, from its result for a few numbers."""
    sample = np.linspace(0.5, 1.5, _size(x.shape)).astype(x.dtype)
    constant = C.constant(sample.reshape(x.shape), dtype=x.dtype)
    result = C.combine([y]).clone(C.CloneMethod.share, {x: constant}).eval()
    expected = {'Sum': sample.sum(), 'Mean': sample.mean(), 'Max': sample.max(),
                'Min': sample.min(), 'LogSum': np.log(np.exp(sample).sum()), 'Prod': sample.prod()}
    return next((name for name, value in expected.items() if np.allclose(result, value)), 'unknown')


def _reduce_sequence(op, dy, y, x):
    name = op.block_root.root_function.attributes['reductionOpName']
    if name != 'Sum':
        raise NotImplementedError('no gradient rule for Sequence::ReduceElements of the kind %s'
                                  % name)
    return _for_each_sample(dy, x)


# By CNTK's reductionOpName: the gradient of x, from dy and y with the reduced axes kept at size 1.
# share: the size of y divided by the size of x.
REDUCTIONS = {
    'Sum': lambda dy, y, x, share: dy * C.constant(1, x.shape, x.dtype),
    'Mean': lambda dy, y, x, share: dy * C.constant(share, x.shape, x.dtype),
    'Max': lambda dy, y, x, share: _shared_by_equals(dy, y, x),
    'Min': lambda dy, y, x, share: _shared_by_equals(dy, y, x),
    'LogSum': lambda dy, y, x, share: dy * C.exp(x - y),
    'Prod': lambda dy, y, x, share: dy * y / x,
}


def _shared_by_equals(dy, y, x):
    """Several equal maxima share the gradient. CNTK gives the whole gradient to each of them, which
    is too much if they are copies of one value.
    """
    equals = C.equal(x, y)
    axes = [i for i, (n, m) in enumerate(zip(x.shape, y.shape)) if n != m]
    return dy * equals / C.reduce_sum(equals, axis=axes) if axes else dy * equals


def _softmax(op, dy, y, x):
    """Softmax runs over all numbers of a sample; without a batch axis, over each row."""
    rows = y.shape and not y.dynamic_axes
    return y * (dy - C.reduce_sum(dy * y, axis=-1 if rows else None))


RULES = {
    'Plus': [lambda op, dy, y, a, b: dy,
             lambda op, dy, y, a, b: dy],
    'Minus': [lambda op, dy, y, a, b: dy,
              lambda op, dy, y, a, b: C.negate(dy)],
    'ElementTimes': [lambda op, dy, y, a, b: dy * b,
                     lambda op, dy, y, a, b: dy * a],
    'LogPlus': [lambda op, dy, y, a, b: dy * C.sigmoid(a - b),      # log(eᵃ + eᵇ)
                lambda op, dy, y, a, b: dy * C.sigmoid(b - a)],
    'Select': [no_gradient,
               lambda op, dy, y, condition, a, b: C.element_select(condition, dy, 0),
               lambda op, dy, y, condition, a, b: C.element_select(condition, 0, dy)],
    'Negate': [lambda op, dy, y, x: C.negate(dy)],
    'Exp': [lambda op, dy, y, x: dy * y],
    'Log': [lambda op, dy, y, x: dy / x],
    'Sqrt': [lambda op, dy, y, x: 0.5 * dy / y],
    'Reciprocal': [lambda op, dy, y, x: C.negate(dy * y * y)],
    'Abs': [lambda op, dy, y, x: dy * _sign(x)],
    'Tanh': [lambda op, dy, y, x: dy * (1 - y * y)],
    'Sigmoid': [lambda op, dy, y, x: dy * y * (1 - y)],
    'StableSigmoid': [lambda op, dy, y, x: dy * y * (1 - y)],
    'ReLU': [lambda op, dy, y, x: dy * C.greater(x, 0)],
    'Softmax': [_softmax],
    'Clip': [lambda op, dy, y, x, low, high:
             dy * C.element_select(C.less(x, low), 0, C.element_select(C.greater(x, high), 0, 1)),
             None, None],
    'ELU': [lambda op, dy, y, x: dy * C.element_select(C.less(x, 0), y + 1, 1)],

    'Convolution': [None, _convolution],
    'Times': [_times_left, _times_right],
    'TransposeTimes': [_times_transpose_left, _times_transpose_right],
    'ReduceElements': [_reduce],

    'Reshape': [lambda op, dy, y, x: C.reshape(dy, x.shape)],
    'TransposeAxes': [_transpose_axes],
    'NoOp': [lambda op, dy, y, x: dy],

    'StopGradient': [no_gradient],
    'ConstantOp': [no_gradient],                                    # ones_like, zeros_like
    'ReconcileDynamicAxis': [lambda op, dy, y, x, like: dy, no_gradient],
    'Less': [no_gradient] * 2,
    'LessEqual': [no_gradient] * 2,
    'Greater': [no_gradient] * 2,
    'GreaterEqual': [no_gradient] * 2,
    'Equal': [no_gradient] * 2,
    'NotEqual': [no_gradient] * 2,
}

# Blocks are opened, except where a rule for the whole block is shorter. They have their own table,
# since CNTK uses some names twice: the layer 'Convolution' is a block with a bias.
BLOCK_RULES = {
    'ReduceElements': [_reduce],
    'Sequence::ReduceElements': [_reduce_sequence],
    'LeakyReLU': [lambda op, dy, y, x:
                  dy * (1 - (1 - op.attributes['alpha']) * C.less(x, 0))],
    'ElementDivide': [lambda op, dy, y, a, b: dy / b,
                      lambda op, dy, y, a, b: C.negate(dy * y / b)],
}


def _sign(x):
    return C.element_select(C.greater(x, 0), 1, C.element_select(C.less(x, 0), -1, 0 * x))


# ---------------------------------------------------------------------------------------------
# A defect of CNTK 2.7: backpropagation through a transposed convolution overwrites the gradient of
# its operand instead of adding to it. The gradient is silently wrong if anything else uses the
# operand: a skip connection, or a gradient graph, which needs the value again.
# tests/test_symbolic_gradient.py shows it.


def safe_to_differentiate(output):
    """Return a copy of the graph of `output` that CNTK differentiates correctly, if it needs one.

    output: a CNTK Function or Variable. The copy has a reshape to the same shape in front of each
    transposed convolution that needs one, so that nothing else uses its operand. It computes the
    same values and shares all parameters. `gradient` calls this function. Call it yourself for a
    network whose `Function.grad`, or whose own output, goes into a loss as well.
    """
    output = _variable(output)
    _, everything = _steps_between(output, output)
    overwritten = _overwritten(everything, [output], reused=everything)
    return C.combine([_copy(everything, overwritten, ()).get(output.uid, output)])


def _alone(x):
    """x as a new variable that nothing else uses."""
    return C.reshape(x, x.shape)


def _overwritten(everything, ends, reused):
    """The uids of the transposed convolutions whose operand has, or may get, another use.

    ends: variables where backpropagation begins. reused: uids of results whose values a gradient
    graph may use again. It never uses the value of a Reshape.
    """
    reached, before = {variable.uid for variable in ends}, 0
    while len(reached) > before:                # repeated, since a loop leads back
        before, uses = len(reached), Counter()
        for uid, step in reversed(everything.items()):
            if uid in reached:
                backwards = [x.uid for x, rule in zip(step.inputs, step.rules)
                             if rule is not no_gradient]
                reached.update(backwards)
                uses.update(backwards)
    uids = set()
    for uid in reached:
        if uid in everything and _is_transposed_convolution(everything[uid].operation):
            operand = everything[uid].inputs[1].uid
            reshaped = (operand in everything
                        and everything[operand].operation.op_name == 'Reshape')
            if uses[operand] > 1 or (uid in reused and not reshaped):
                uids.add(uid)
    return uids


def _is_transposed_convolution(operation):
    return operation.op_name == 'Convolution' and (
        not operation.is_block and operation.attributes['transpose'])


def _copy(everything, overwritten, others):
    """Copies the `overwritten` steps with `_alone` operands, the `others`, and all steps that
    depend on them. Returns {uid of the original: copy}.
    """
    copies, passed = {}, set()
    for uid, step in everything.items():
        passed.add(uid)
        if not (uid in overwritten or uid in others or any(x.uid in copies for x in step.inputs)):
            continue
        if any(x.is_output and x.uid not in passed for x in step.inputs):
            raise NotImplementedError('no copy of a recurrent loop behind a transposed convolution '
                                      'whose operand something else uses; put a C.reshape to the '
                                      'same shape in front of that layer')
        inputs = [copies.get(x.uid, x) for x in step.inputs]
        if uid in overwritten:
            inputs[1] = _alone(inputs[1]).output
        if step.opened:
            copies[uid], = inputs
            continue
        if step.operation.is_block:                 # a cloned block can't take an input twice
            copy = _inside(step.operation, inputs)
        else:
            # clone would copy every input that is not replaced, with all that it depends on.
            copy = C.as_composite(step.operation).clone(
                C.CloneMethod.share, dict(zip(step.inputs, inputs)))
        copies[uid] = copy.outputs[_position(step.result)]
    return copies
