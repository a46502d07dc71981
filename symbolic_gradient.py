"""The gradient of a CNTK graph, as another CNTK graph.

CNTK differentiates for its trainers, but hands Python only numbers (`Function.grad`). A penalty
computed from such numbers and fed back in is a constant to the trainer: it trains nothing. Here
reverse-mode differentiation is written out in ordinary CNTK operations, which CNTK evaluates and
differentiates again like any others:

    y = C.tanh(C.times(x, w))
    g = gradient(y, x)                    # has the shape of x, and uses the same parameter w
    loss = C.reduce_sum(g * g)            # trains w through the gradient

Read `gradient` first (the walk through the graph), then `RULES` (a line for each operation).
"""

from collections import OrderedDict, namedtuple

import cntk as C
import numpy as np


def gradient(output, wrt):
    """Return the CNTK graph of ∂(sum of `output`)/∂`wrt`.

    output: a CNTK Function or Variable, of any shape.
    wrt: what to differentiate by: a Variable, Parameter or Function that `output` was computed
        from. If it has a batch axis, each sample gets the gradient of its own output; if it has
        none (a parameter), the sum runs over the minibatch too.
    Returns a Function of the shape of `wrt`. It shares all parameters with `output` and, except
    inside blocks, all intermediate results. It may go into `gradient` again.
    Raises NotImplementedError, naming the operation, where `RULES` has no rule for one between
    `wrt` and `output`; ValueError if `output` was not computed from `wrt`.

    Source: reverse accumulation; Griewank and Walther, 'Evaluating Derivatives', 2nd ed. 2008,
    section 3.2.
    """
    output, wrt = _variable(output), _variable(wrt)
    steps = _steps_between(wrt, output)
    if output.uid != wrt.uid and output.uid not in steps:
        raise ValueError('%s was not computed from %s: there is no gradient'
                         % (output.uid, wrt.uid))

    gradients = {output.uid: _ones_for(output)}
    for step in reversed(list(steps.values())):
        dy = gradients.get(step.result.uid)
        if dy is None:                          # reached through operands without gradient only
            continue
        for i, (x, rule) in enumerate(zip(step.inputs, step.rules)):
            if rule is no_gradient or (x.uid not in steps and x.uid != wrt.uid):
                continue
            if rule is None:
                raise NotImplementedError(
                    'no gradient rule for the operation %s by its operand %d (%s); RULES in '
                    'symbolic_gradient.py is the place for one'
                    % (step.operation.op_name, i, x.uid))
            dx = _sum_to_shape_of(x, rule(step.operation, dy, step.result, *step.inputs))
            gradients[x.uid] = gradients[x.uid] + dx if x.uid in gradients else dx
    return gradients[wrt.uid] if wrt.uid in gradients else C.zeros_like(wrt)


# What one operation did: `result` was computed by `operation` from `inputs`; one rule an input.
Step = namedtuple('Step', 'result operation inputs rules')


def _variable(x):
    return x.output if isinstance(x, C.Function) else x


def _ones_for(output):
    """Ones of the shape of `output`, for each sample.

    The batch axis comes from an input of the graph, not from `output` (as `C.ones_like` would
    take it): CNTK would backpropagate zeros through the whole graph for that.
    """
    ones = C.constant(1, output.shape, output.dtype)
    batched = [x for x in C.combine([output]).arguments if x.dynamic_axes]
    return C.reconcile_dynamic_axes(ones, batched[0]) if batched else ones


def _steps_between(wrt, output):
    """The Steps that lead from `wrt` to `output`, by the uid of their result, inputs first."""
    steps, seen, stack = OrderedDict(), {wrt.uid}, [(output, None)]
    while stack:
        variable, step = stack.pop()
        if step is not None:                    # second visit: all inputs are done
            if any(x.uid in steps or x.uid == wrt.uid for x in step.inputs):
                steps[variable.uid] = step
        elif variable.uid not in seen and variable.is_output:
            seen.add(variable.uid)
            step = _step_to(variable)
            stack.append((variable, step))
            stack.extend((x, None) for x in step.inputs)
    return steps


def _step_to(variable):
    operation = variable.owner
    if not operation.is_block:
        inputs = list(operation.inputs)
        return Step(variable, operation, inputs, RULES.get(operation.op_name, [None] * len(inputs)))

    mapping = operation.block_arguments_mapping
    if operation.op_name in BLOCK_RULES:
        inputs = [actual for _, actual in mapping]
        return Step(variable, operation, inputs, BLOCK_RULES[operation.op_name])

    # What is inside a block hangs on placeholders. A copy that shares its parameters and hangs on
    # the real arguments can be walked on into.
    inside = operation.block_root.clone(C.CloneMethod.share, dict(mapping))
    position = [o.uid for o in operation.outputs].index(variable.uid)
    return Step(variable, operation, [inside.outputs[position]], RULES['NoOp'])


def _sum_to_shape_of(x, dx):
    """Undo broadcasting: sum `dx` over the axes along which CNTK repeated `x`."""
    if len(x.dynamic_axes) < len(dx.dynamic_axes):
        dx = C.reduce_sum(dx, axis=C.Axis.default_batch_axis())
    if dx.shape == x.shape:
        return dx
    aligned = (1,) * (len(dx.shape) - len(x.shape)) + x.shape
    repeated = [i for i, (n, m) in enumerate(zip(dx.shape, aligned)) if n != m]
    if repeated:
        dx = C.reduce_sum(dx, axis=repeated)
    return C.reshape(dx, x.shape)


# ---------------------------------------------------------------------------------------------
# The rules. Each is called with the operation, the gradient dy of its result y, then y and the
# operands themselves; it returns the gradient of one operand. Repeating an operand along an axis
# (broadcasting) is undone by the caller, so a rule may return the larger shape.


def no_gradient(*_):
    """Stands for an operand that the result depends on piecewise constantly, or by decree."""
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
    # Backpropagation in CNTK 2.7 (CPU) overwrites the gradient of a transposed convolution's
    # operand instead of adding to it: right only for an operand that nothing else uses. The
    # reshape to the same shape is such an operand. tests/test_symbolic_gradient.py shows the bug.
    dy = C.reshape(dy, dy.shape)
    return C.convolution_transpose(kernel, dy, output_shape=x.shape, **settings)


def _times_left(op, dy, y, left, right):
    """left (R…, K…) · right (K…, O…) sums over K…, of which and of O… there may be several."""
    inner_rank = len(right.shape) - op.attributes['outputRank']
    axes = list(range(len(right.shape)))
    turned = C.transpose(right, axes[inner_rank:] + axes[:inner_rank])          # (O…, K…)
    return C.times(dy, turned, output_rank=inner_rank)


def _times_right(op, dy, y, left, right):
    inner_rank = len(right.shape) - op.attributes['outputRank']
    inner, out = _size(right.shape[:inner_rank]), _size(right.shape[inner_rank:])
    left, dy = _as_matrix(left, inner), _as_matrix(dy, out)
    return C.reshape(C.times(C.transpose(left, (1, 0)), dy), right.shape)


def _as_matrix(x, columns):
    """x as rows of so many numbers. A matrix stays what it is: reshaped, it would be copied."""
    return x if len(x.shape) == 2 and x.shape[1] == columns else C.reshape(x, (-1, columns))


def _size(shape):
    return int(np.prod(shape))


def _times_transpose_left(op, dy, y, left, right):
    return C.times(dy, right)


def _times_transpose_right(op, dy, y, left, right):
    out, inner = right.shape
    dy, left = _as_matrix(dy, out), _as_matrix(left, inner)
    return C.times(C.transpose(dy, (1, 0)), left)


def _transpose_axes(op, dy, y, x):
    order = [_python_axis(axis, len(x.shape)) for axis in reversed(op.attributes['axisVec'])]
    return C.transpose(dy, np.argsort(order).tolist())


def _python_axis(attribute, rank):
    """CNTK lists an axis as (…, …, n) and counts it from the last; negative ones from the first."""
    n = attribute[2]
    return rank - 1 - n if n >= 0 else -1 - n


def _reduce(op, dy, y, x):
    """Sum and mean over any static axes."""
    if len(y.dynamic_axes) < len(x.dynamic_axes):
        raise NotImplementedError('no gradient rule for ReduceElements over the batch axis; '
                                  'gradient() takes the sum over the minibatch by itself')
    if y.shape == ():
        name, reduced = _name_of_full_reduction(y, x), range(len(x.shape))
    else:
        name = op.attributes['reductionOpName']
        reduced = [_python_axis(axis, len(x.shape)) for axis in op.attributes['axisVec']]
    if name not in ('Sum', 'Mean'):
        raise NotImplementedError('no gradient rule for ReduceElements of the kind %s' % name)

    kept = tuple(1 if i in reduced else n for i, n in enumerate(x.shape))
    share = 1.0 if name == 'Sum' else _size(kept) / _size(x.shape)
    return C.reshape(dy, kept) * C.constant(share, x.shape, x.dtype)


def _name_of_full_reduction(y, x):
    """CNTK 2.7 aborts the process when asked for the attributes of a reduction over all axes.

    What the operation makes of a few numbers tells as well.
    """
    sample = np.ones(x.shape, x.dtype)
    sample.flat[0] = 3
    result = C.combine([y]).clone(C.CloneMethod.share, {x: C.constant(sample)}).eval()
    for name, expected in (('Sum', sample.sum()), ('Mean', sample.mean())):
        if np.isclose(result, expected):
            return name
    return 'neither Sum nor Mean'


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

# Blocks are opened and walked through, except where a rule for the whole is shorter. Theirs is a
# table apart, since CNTK uses some names twice: the layer 'Convolution' is a block with a bias.
BLOCK_RULES = {
    'ReduceElements': [_reduce],
    'LeakyReLU': [lambda op, dy, y, x:
                  dy * (1 - (1 - op.attributes['alpha']) * C.less(x, 0))],
    'ElementDivide': [lambda op, dy, y, a, b: dy / b,
                      lambda op, dy, y, a, b: C.negate(dy * y / b)],
}


def _sign(x):
    return C.element_select(C.greater(x, 0), 1, C.element_select(C.less(x, 0), -1, 0 * x))
