"""Lets oneDNN compute CNTK's convolutions on a CPU: faster kernels and less memory.

CNTK uses an MKL of 2018, which hardly uses AVX-512 and keeps a reordered copy of every operand of
every convolution as long as the network lives. It calls MKL through a table of addresses (the
procedure linkage table of an ELF library). `install` writes functions of this file into it, which
call oneDNN through its C interface. This needs no compiled code and does not change CNTK's files.
MKL still computes what oneDNN does not support: other shapes, double precision, groups.

The memory format that oneDNN prefers differs from CNTK's. Operands are reordered for each
operation, in scratch memory that all convolutions share.

CNTK's convolutions add to gradients, so it sets each to zero before the first. Here they overwrite,
as those of cuDNN do. To add a gradient to an existing one, CNTK copies the existing one, computes,
and adds. Here the result is added while it is reordered to CNTK's format.

Source: https://oneapi-src.github.io/oneDNN/v3.2/ (the C interface: dnnl.h, dnnl_types.h).
"""

import atexit
import contextlib
import ctypes
import functools
import os
import sys
from collections import namedtuple

from wgan.machine.slots import CORE, MATH, Unavailable, address_of, find_slots, find_virtual

import numpy as np

Pointer, Int, Size, Bool = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_bool

# What MKL calls the operands of its primitives (mkl_dnn.h, dnnResourceType_t).
SRC, DST, FILTER, DIFF_SRC, DIFF_FILTER, DIFF_DST = 0, 1, 2, 4, 5, 7
OUT_OF_MEMORY = -127                                                        # dnnError_t

# The three computations. symbol: MKL's function that prepares one. operands, the result last: MKL's
# number; oneDNN's query for the layout (dnnl_query_t) and number as an argument (DNNL_ARG_*).
Computation = namedtuple('Computation', 'symbol operands')
FORWARD = Computation('dnnConvolutionCreateForward_F32', (
    (SRC, 129, 1), (FILTER, 131, 33), (DST, 133, 17)))
BACKWARD_DATA = Computation('dnnConvolutionCreateBackwardData_F32', (
    (DIFF_DST, 134, 145), (FILTER, 131, 33), (DIFF_SRC, 130, 129)))
BACKWARD_FILTER = Computation('dnnConvolutionCreateBackwardFilter_F32', (
    (DIFF_DST, 134, 145), (SRC, 129, 1), (DIFF_FILTER, 132, 161)))

# CNTK's own functions: ConvolutionEngine<float>::BackwardData and ::BackwardKernel, which take
# (engine, dy, kernel or x, gradient, whether to add to it, …, scratch matrix),
# Matrix<float>::GetNumCols, ::SetValue, and ::Resize (rows, columns, 0, only grow, keep); and
# ConvolutionEngine<float>::ImplementsGradientOverwriteOptimization, in the table of the class
# GemmConvolutionEngine<float>, which is the engine on a CPU.
ADD_DATA_GRADIENT, ADD_FILTER_GRADIENT = (
    '_ZN9Microsoft3MSR4CNTK17ConvolutionEngineIfE%sERKNS1_6MatrixIfEES7_RS5_%sS8_' % parts
    for parts in (('12BackwardData', 'b'), ('14BackwardKernel', 'bb')))
NUMBER_OF_COLUMNS = '_ZNK9Microsoft3MSR4CNTK6MatrixIfE10GetNumColsEv'
SET_VALUE = '_ZN9Microsoft3MSR4CNTK6MatrixIfE8SetValueEf'
RESIZE = '_ZN9Microsoft3MSR4CNTK6MatrixIfE6ResizeEmmmbb'
ENGINE = '_ZTVN9Microsoft3MSR4CNTK21GemmConvolutionEngineIfEE'
OVERWRITES = ('_ZNK9Microsoft3MSR4CNTK17ConvolutionEngineIfE'
              '39ImplementsGradientOverwriteOptimizationEv')

AVX512 = 0x20                           # a bit of dnnl_cpu_isa_t
ALIGNMENT = 64                          # of what lies in the scratch memory, in bytes


def install(cntk_libraries):
    """Lets oneDNN compute CNTK's convolutions. Returns its version and instruction set, as text.

    cntk_libraries: the folder with CNTK's shared libraries, which must be loaded.
    Raises Unavailable, and changes nothing, on other systems than Linux, for another build of CNTK,
    or if oneDNN is not installed.
    """
    path = os.path.join(sys.prefix, 'lib', 'libdnnl.so.3')
    if not sys.platform.startswith('linux'):
        raise Unavailable('it is used on Linux only')
    if not os.path.exists(path):
        raise Unavailable('it is not installed (%s)' % path)
    try:
        # Loaded first, CNTK's OpenMP library also serves oneDNN, so that both share its threads.
        ctypes.CDLL(os.path.join(cntk_libraries, 'libiomp5.so'), mode=ctypes.RTLD_GLOBAL)
        mkl, math = (ctypes.PyDLL(os.path.join(cntk_libraries, name))
                     for name in ('libmklml_intel.so', MATH))
        convolutions = Convolutions(OneDnn(path), mkl, math)
        mine = {MATH: dict(convolutions.of_mkl(), **_tanh()), CORE: convolutions.of_cntk()}
    except (OSError, AttributeError, Refused) as error:
        raise Unavailable('it can not be loaded (%s)' % error)
    slots = {name: find_slots(os.path.join(cntk_libraries, name), set(functions))
             for name, functions in mine.items()}
    replaced = [(slots[name][symbol], function)
                for name, functions in mine.items() for symbol, function in functions.items()]
    replaced.append((find_virtual(math, ENGINE, OVERWRITES),
                     ctypes.CFUNCTYPE(Bool, Pointer)(lambda engine: True)))
    for slot, function in replaced:
        slot.value = address_of(function)
    KEPT.append((convolutions, replaced))       # CNTK calls them until the process ends
    atexit.register(_delete_no_more, slots[MATH]['dnnDelete_F32'])
    return convolutions.library.version()


KEPT = []


def _tanh():
    """{symbol: C function}: glibc's tanh of four numbers, of which CNTK gets the first.

    CNTK calls the tanh of one number, which takes twice as long and is less accurate. With a glibc
    before 2.35 there is no other.
    """
    try:
        return {'tanhf': ctypes.CDLL('libmvec.so.1')._ZGVbN4v_tanhf}
    except (OSError, AttributeError):
        return {}


def _delete_no_more(slot):
    """Replaces the delete function by a C function without effect. After Python has ended, CNTK
    still deletes networks, but no function of this file can be called.
    """
    slot.value = address_of(ctypes.CDLL(None).labs)


class Refused(Exception):
    """oneDNN has no implementation of what was asked for."""


class OneDnn:
    """The part of oneDNN's C interface that is needed here. Its objects are ctypes.c_void_p.

    A function that fails raises Refused. If `owner` is a contextlib.ExitStack, closing it destroys
    the objects created meanwhile.
    """

    FLOAT = 3                           # dnnl_f32

    def __init__(self, path):
        # PyDLL keeps Python's lock: CNTK is called with it, and no other thread may come between.
        self.library = ctypes.PyDLL(path)
        self.library.dnnl_primitive_desc_query_md.restype = Pointer
        self.library.dnnl_memory_desc_get_size.restype = Size
        self.library.dnnl_version.restype = ctypes.POINTER(Int * 3)
        self.library.dnnl_fmt_tag2str.restype = ctypes.c_char_p
        self.any, self.plain, self.blocked = map(self.order, (b'any', b'abcd', b'aBcd16b'))
        self.owner = contextlib.ExitStack()
        self.engine = self.new('engine', Int(1), Size(0))                           # the CPU
        self.stream = self.new('stream', self.engine, Int(1))
        self.with_scratch = self.new('primitive_attr')
        self.call('primitive_attr_set_scratchpad_mode', self.with_scratch, Int(1))  # given by us
        self.adding = self.new('primitive_attr')
        sum_up = self.new('post_ops')
        self.call('post_ops_append_sum', sum_up, ctypes.c_float(1), ctypes.c_int32(0), Int(0))
        self.call('primitive_attr_set_post_ops', self.adding, sum_up)
        self.owner = None

    def call(self, name, *arguments):
        status = getattr(self.library, 'dnnl_' + name)(*arguments)
        if status:
            raise Refused('dnnl_%s: %d' % (name, status))

    def new(self, object_type, *arguments, function='create'):
        """Returns a new object of oneDNN, created by the function dnnl_TYPE_FUNCTION."""
        handle = Pointer()
        self.call('%s_%s' % (object_type, function), ctypes.byref(handle), *arguments)
        object_type = 'primitive_desc' if object_type.endswith('primitive_desc') else object_type
        self.owner.callback(getattr(self.library, 'dnnl_%s_destroy' % object_type), handle)
        return handle

    def version(self):
        return 'oneDNN %s with %s' % (
            '.'.join(map(str, self.library.dnnl_version().contents)),
            'AVX-512' if self.has_avx512() else 'at most AVX2')

    def has_avx512(self):
        return bool(self.library.dnnl_get_effective_cpu_isa() & AVX512)

    def order(self, name):
        """The number of a memory format (dnnl_format_tag_t), by its name."""
        for number in range(1000):
            if self.library.dnnl_fmt_tag2str(Int(number)) == name:
                return number
        raise Refused('no order of memory %s' % name)

    def layout(self, sizes, order):
        return self.new('memory_desc', Int(4), _int64s(sizes), Int(self.FLOAT), Int(order),
                        function='create_with_tag')

    def is_reference(self, description):
        """Whether oneDNN would use its reference code, which is very slow."""
        name = ctypes.c_char_p()
        self.call('primitive_desc_query', description, Int(8), Int(0), ctypes.byref(name))
        return b'ref' in name.value

    def layout_in(self, description, query):
        return Pointer(self.library.dnnl_primitive_desc_query_md(description, Int(query), Int(0)))

    def size(self, layout):
        """The size of a layout in bytes, rounded up to ALIGNMENT."""
        return -(-self.library.dnnl_memory_desc_get_size(layout) // ALIGNMENT) * ALIGNMENT

    def equal(self, layout, other):
        return bool(self.library.dnnl_memory_desc_equal(layout, other))

    def memory(self, layout):
        return self.new('memory', layout, self.engine, Pointer(0))

    def place(self, memory, address):
        self.library.dnnl_memory_set_data_handle(memory, Pointer(address))

    def reorder(self, source, target, attributes=None):
        return self.new('primitive', self.new('reorder_primitive_desc', source, self.engine, target,
                                              self.engine, attributes or Pointer(0)))

    def step(self, primitive, arguments):
        """Returns a step for `execute`: the arguments of dnnl_primitive_execute."""
        return primitive, self.stream, Int(len(arguments)), arguments

    def execute(self, steps):
        """Executes all steps in order. Returns 0, or the status of an error."""
        status, execute = 0, self.library.dnnl_primitive_execute
        for step in steps:
            status = execute(*step) or status
        return status


def _int64s(numbers):
    return (ctypes.c_int64 * 12)(*numbers)          # dnnl_dims_t


class Argument(ctypes.Structure):
    """dnnl_exec_arg_t"""

    _fields_ = [('number', Int), ('memory', Pointer)]


def _arguments(*pairs):
    return (Argument * len(pairs))(*pairs)


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
            way, moved = (wanted, plain), _arguments((1, self.used), (17, self.plain))
            self.added = [library.step(library.reorder(*way, library.adding), moved)]
        else:
            way, moved = (plain, wanted), _arguments((1, self.plain), (17, self.used))
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
        geometry = [_int64s(n) for n in (strides, (0, 0), padding, [max(p, 0) for p in after])]
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
        computed = library.step(primitive, _arguments(
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


class Scratch:
    """Memory that all convolutions use in turn. It grows to the size of the largest."""

    def __init__(self):
        self.memory, self.address = np.empty(0, np.uint8), 0

    def make_room(self, size):
        if size + ALIGNMENT > self.memory.size:
            self.memory = np.empty(size + ALIGNMENT, np.uint8)
            self.address = -(-self.memory.ctypes.data // ALIGNMENT) * ALIGNMENT


class Convolutions:
    """The functions that CNTK calls instead of MKL's and its own, and all live Convolutions.

    CNTK identifies a Convolution by a number: the address of a byte that belongs to it.
    """

    def __init__(self, library, mkl, math):
        self.library, self.mkl, self.math, self.scratch = library, mkl, math, Scratch()
        self.columns = ctypes.PYFUNCTYPE(Size, Pointer)((NUMBER_OF_COLUMNS, math))
        self.fill = ctypes.PYFUNCTYPE(None, Pointer, ctypes.c_float)((SET_VALUE, math))
        self.resize = ctypes.PYFUNCTYPE(None, Pointer, *[Size] * 3, *[Bool] * 2)((RESIZE, math))
        self.alive = {}                     # by CNTK's number
        self.in_engine = {}                 # those of gradients, by CNTK's engine and their kind
        self.last, self.is_added = None, False

    def of_mkl(self):
        """{symbol: C function}, for the library that calls MKL."""
        create = (Int, ctypes.POINTER(Pointer), Pointer, Int, Size, *[ctypes.POINTER(Size)] * 4,
                  ctypes.POINTER(Int), Int)
        functions = {computation.symbol: self._instead_of(
            computation.symbol, self.mkl, create, functools.partial(self._create, computation))
            for computation in (FORWARD, BACKWARD_DATA, BACKWARD_FILTER)}
        functions.update({
            'dnnLayoutCreateFromPrimitive_F32': ctypes.CFUNCTYPE(
                Int, ctypes.POINTER(Pointer), Pointer, Int)(self._layout),
            'dnnExecute_F32': ctypes.CFUNCTYPE(
                Int, Pointer, ctypes.POINTER(Pointer))(self._execute),
            'dnnDelete_F32': ctypes.CFUNCTYPE(Int, Pointer)(self._delete)})
        return functions

    def _create(self, computation, mkl_create, result, attributes, algorithm, rank, *rest):
        x, y, kernel, strides, padding, border = rest
        try:
            if rank != 4:
                raise Refused('%d axes' % rank)
            x, y, kernel = ([int(sizes[i]) for i in (3, 2, 1, 0)] for sizes in (x, y, kernel))
            convolution = Convolution(self.library, computation, x, y, kernel,
                                      [strides[1], strides[0]], [-padding[1], -padding[0]])
        except Refused:
            return mkl_create(result, attributes, algorithm, rank, *rest)
        convolution.number = ctypes.create_string_buffer(1)
        result[0] = ctypes.addressof(convolution.number)
        self.alive[result[0]] = convolution
        return 0

    def _layout(self, result, primitive, number):
        """Returns CNTK's own memory format as the layout, so that CNTK makes no copies."""
        convolution = self.alive.get(primitive)
        if convolution is None:
            return self.mkl.dnnLayoutCreateFromPrimitive_F32(result, Pointer(primitive), number)
        sizes = convolution.sizes[number][::-1]
        strides = np.cumprod([1] + sizes[:3]).tolist()
        return self.mkl.dnnLayoutCreate_F32(result, Size(4), (Size * 4)(*sizes),
                                            (Size * 4)(*strides))

    def _execute(self, primitive, addresses):
        convolution = self.alive.get(primitive)
        if convolution is None:
            return self.mkl.dnnExecute_F32(Pointer(primitive), addresses)
        self.last = convolution
        is_added, self.is_added = self.is_added, False
        try:
            self.scratch.make_room(convolution.needs)
        except MemoryError:
            return OUT_OF_MEMORY
        return self.library.execute(
            convolution.steps(addresses, self.scratch.address, is_added))

    def _delete(self, primitive):
        convolution = self.alive.pop(primitive, None)
        if convolution is None:
            return self.mkl.dnnDelete_F32(Pointer(primitive))
        self.in_engine = {key: c for key, c in self.in_engine.items() if c is not convolution}
        convolution.owner.close()
        return 0

    def of_cntk(self):
        """{symbol: C function}, for the library that calls CNTK's own gradients."""
        return {symbol: self._instead_of(
            symbol, self.math, (None, *[Pointer] * 4, *[Bool] * flags, Pointer),
            functools.partial(self._gradient, computation))
            for symbol, computation, flags in ((ADD_DATA_GRADIENT, BACKWARD_DATA, 1),
                                               (ADD_FILTER_GRADIENT, BACKWARD_FILTER, 2))}

    def _instead_of(self, symbol, library, types, function):
        """A C function that calls `function` with the one that it replaces, then its arguments."""
        replaced = ctypes.PYFUNCTYPE(*types)((symbol, library))
        return ctypes.CFUNCTYPE(*types)(functools.partial(function, replaced))

    def _gradient(self, computation, cntk_gradient, engine, dy, other, gradient, is_added, *rest):
        """Computes a gradient. If it `is_added` to an existing one, this avoids CNTK's copies, but
        only for a Convolution that this engine has already used with the same batch size.

        If not, the gradient has not been set to zero. CNTK adds all the same where it does not call
        MKL.
        """
        previous = self.in_engine.get((engine, computation))
        if not is_added and previous is None:
            self.fill(gradient, 0)
        is_taken_over = is_added and previous is not None and (
            previous.sizes[DST][0] == self.columns(dy))
        self.last, self.is_added = None, is_taken_over
        cntk_gradient(engine, dy, other, gradient, is_added and not is_taken_over, *rest)
        if self.last is not None:
            self.in_engine[engine, computation] = self.last
            if is_added and not is_taken_over:      # CNTK does not need its copy again
                self.resize(rest[-1], 0, 0, 0, False, False)
