"""What oneDNN computes for CNTK: a convolution and a batch normalisation, prepared for one set of
sizes.

CNTK asks MKL for them, so they speak of their operands in MKL's numbers.
"""

import contextlib
import ctypes
from collections import namedtuple

from wgan.machine.onednn_library import Int, Pointer, Refused, arguments, int64s

# What MKL calls the operands of its primitives (mkl_dnn_types.h, dnnResourceType_t).
SRC, DST, FILTER, DIFF_SRC, DIFF_FILTER, DIFF_DST = 0, 1, 2, 4, 5, 7
SCALE_SHIFT, MEAN, DIFF_SCALE_SHIFT, VARIANCE = 2, 3, 5, 6

# The three computations of a convolution. symbol: MKL's function that prepares one. operands, the
# result last: MKL's number; oneDNN's query for the layout (dnnl_query_t) and number as an argument
# (DNNL_ARG_*).
Computation = namedtuple('Computation', 'symbol operands')
FORWARD = Computation('dnnConvolutionCreateForward_F32', (
    (SRC, 129, 1), (FILTER, 131, 33), (DST, 133, 17)))
BACKWARD_DATA = Computation('dnnConvolutionCreateBackwardData_F32', (
    (DIFF_DST, 134, 145), (FILTER, 131, 33), (DIFF_SRC, 130, 129)))
BACKWARD_FILTER = Computation('dnnConvolutionCreateBackwardFilter_F32', (
    (DIFF_DST, 134, 145), (SRC, 129, 1), (DIFF_FILTER, 132, 161)))


class Operand:
    """An operand of a Convolution: in CNTK's memory format, and in oneDNN's.

    size: of the copy in oneDNN's order, in bytes. is_plain: the two orders are the same.
    reordered: none or one step, which brings an input to oneDNN's order, or a result to CNTK's.
    added: of a result, the step that adds it to what is there.
    """

    def __init__(self, library, plain, wanted, is_result):
        self.plain, self.used = library.memory(plain), library.memory(wanted)
        self.is_plain = library.equal(plain, wanted)
        # A result that is to be added is always computed in scratch memory.
        self.size = library.size(wanted) if is_result or not self.is_plain else 0
        if is_result:
            way, moved = (wanted, plain), arguments((1, self.used), (17, self.plain))
            self.added = [library.step(library.reorder(*way, library.adding), moved)]
        else:
            way, moved = (plain, wanted), arguments((1, self.plain), (17, self.used))
        self.reordered = ([] if self.is_plain
                          else [library.step(library.reorder(*way), moved)])


class Convolution:
    """One of the three computations of a convolution, for one set of sizes.

    x: (N, I, H, W); y: (N, O, H', W'); kernel: (O, I, K, L); strides, padding: of rows and columns,
    the padding of those before the first. Raises Refused if oneDNN can't compute it.
    """

    def __init__(self, library, computation, x, y, kernel, strides, padding):
        self.library = library
        with contextlib.ExitStack() as library.owner:
            self._make(computation, x, y, kernel, strides, padding)
            self.owner = library.owner.pop_all()

    def _make(self, computation, x, y, kernel, strides, padding):
        library = self.library
        self.sizes = {SRC: x, DIFF_SRC: x, FILTER: kernel, DIFF_FILTER: kernel, DST: y, DIFF_DST: y}
        after = [(o - 1) * stride + k - i - before for o, stride, k, i, before in zip(
            y[2:], strides, kernel[2:], x[2:], padding)]
        if not all(0 <= p < k for p, k in zip(padding, kernel[2:])):
            raise Refused('padding %s' % padding)
        geometry = [int64s(n) for n in (strides, (0, 0), padding, [max(p, 0) for p in after])]
        description = self._describe(computation, geometry, self._preferred_order(computation))
        if library.is_reference(description):
            description = self._describe(computation, geometry, library.any)
            if library.is_reference(description):
                raise Refused('only slowly')
        self.numbers = [number for number, _, _ in computation.operands]
        self.operands = [
            Operand(library, library.layout(self.sizes[number], library.plain),
                    library.layout_in(description, query), is_result=number == self.numbers[2])
            for number, query, _ in computation.operands]
        scratchpad = library.layout_in(description, 136)
        self.scratchpad, self.scratchpad_size = library.memory(scratchpad), library.size(scratchpad)
        primitive = library.new('primitive', description)
        computed = library.step(primitive, arguments(
            *[(argument, operand.used) for operand, (_, _, argument) in zip(
                self.operands, computation.operands)],
            (80, self.scratchpad)))
        *inputs, result = self.operands
        before = [*inputs[0].reordered, *inputs[1].reordered, computed]
        self.ways = before + result.reordered, before + result.added
        self.needs = sum(o.size for o in self.operands) + self.scratchpad_size
        self.place = None

    def _preferred_order(self, computation):
        """Returns the fastest memory format of x and y (measured in bench/results): oneDNN's own
        choice, except for the gradient of x.
        """
        if computation is not BACKWARD_DATA:
            return self.library.any
        if self.sizes[SRC][1] < 16:                             # channels: a matrix product
            return self.library.plain
        return self.library.blocked if self.library.has_avx512() else self.library.any

    def _describe(self, computation, geometry, order):
        """oneDNN's choice of an implementation, with x and y in an order of memory."""
        library = self.library
        x, kernel, y = (library.layout(self.sizes[number], order) for number, order in (
            (SRC, order), (FILTER, library.any), (DST, order)))
        forward = library.new('convolution_forward_primitive_desc', library.engine, Int(64), Int(1),
                              x, kernel, Pointer(0), y, *geometry, library.with_scratch)
        if computation is BACKWARD_DATA:
            return library.new('convolution_backward_data_primitive_desc', library.engine, Int(1),
                               x, kernel, y, *geometry, forward, library.with_scratch)
        if computation is BACKWARD_FILTER:
            return library.new('convolution_backward_weights_primitive_desc', library.engine,
                               Int(1), x, kernel, Pointer(0), y, *geometry, forward,
                               library.with_scratch)
        return forward

    def steps(self, addresses, scratch, is_added):
        """Returns the steps for `OneDnn.execute`.

        addresses: of the operands in CNTK's memory, by MKL's numbers. scratch: address of `needs`
        bytes. is_added: whether the result is added to the existing gradient.
        """
        place = [*[addresses[number] for number in self.numbers], scratch, is_added]
        if place != self.place:                 # rarely: CNTK's operands stay where they are
            self._put(*place)
            self.place = place
        return self.ways[is_added]

    def _put(self, *place):
        *addresses, scratch, is_added = place
        for operand, address in zip(self.operands, addresses):
            self.library.place(operand.plain, address)
            is_used_plain = operand.is_plain and not (is_added and operand is self.operands[2])
            self.library.place(operand.used, address if is_used_plain else scratch)
            scratch += operand.size
        self.library.place(self.scratchpad, scratch)


# The computations of a batch normalisation. symbol: as above. operands: oneDNN's number as an
# argument; MKL's; and whether it is the second part of what MKL has there: the scales of all
# channels are followed by their shifts.
Normalization = namedtuple('Normalization', 'symbol operands')
NORMALIZE = Normalization('dnnBatchNormalizationCreateForward_v2_F32', (
    (1, SRC, 0), (17, DST, 0), (49, MEAN, 0), (50, VARIANCE, 0), (51, SCALE_SHIFT, 0),
    (52, SCALE_SHIFT, 1)))
NORMALIZE_BACKWARD = Normalization('dnnBatchNormalizationCreateBackward_v2_F32', (
    (1, SRC, 0), (145, DIFF_DST, 0), (49, MEAN, 0), (50, VARIANCE, 0), (51, SCALE_SHIFT, 0),
    (129, DIFF_SRC, 0), (255, DIFF_SCALE_SHIFT, 0), (256, DIFF_SCALE_SHIFT, 1)))


class BatchNormalization:
    """A computation of a batch normalisation, in CNTK's memory format, for one size.

    x: (N, C, H, W). uses_statistics: whether mean and variance are given; if not, those of the
    minibatch are computed. Raises Refused if oneDNN can't compute it.
    """

    def __init__(self, library, computation, x, epsilon, uses_statistics):
        self.library = library
        with contextlib.ExitStack() as library.owner:
            self._make(computation, x, epsilon, uses_statistics)
            self.owner = library.owner.pop_all()

    def _make(self, computation, x, epsilon, uses_statistics):
        library = self.library
        self.sizes = dict.fromkeys((SRC, DST, DIFF_SRC, DIFF_DST), x)
        full, each = library.layout(x, library.plain), library.layout(x[1:2], library.vector)
        rest = ctypes.c_float(epsilon), Int(6 | uses_statistics)    # dnnl_use_scale, …_shift
        description = library.new('batch_normalization_forward_primitive_desc', library.engine,
                                  Int(64), full, full, *rest, library.with_scratch)
        if computation is NORMALIZE_BACKWARD:
            description = library.new(
                'batch_normalization_backward_primitive_desc', library.engine, Int(128), full, full,
                full, *rest, description, library.with_scratch)
        if library.is_reference(description):
            raise Refused('only slowly')
        self.operands = [
            (number, part * x[1] * ctypes.sizeof(ctypes.c_float),
             argument, library.memory(full if number in self.sizes else each))
            for argument, number, part in computation.operands]
        scratchpad = library.layout_in(description, 136)
        self.scratchpad, self.needs = library.memory(scratchpad), library.size(scratchpad)
        self.computed = library.step(
            library.new('primitive', description),
            arguments(*[operand[2:] for operand in self.operands], (80, self.scratchpad)))

    def steps(self, addresses, scratch, _):
        """As those of a Convolution; nothing is added to it."""
        for number, offset, _, memory in self.operands:
            self.library.place(memory, addresses[number] + offset)
        self.library.place(self.scratchpad, scratch)
        return [self.computed]
