"""Lets oneDNN compute CNTK's convolutions and batch normalisations on a CPU: faster kernels, less
memory, and the same bits on processors of every maker.

CNTK uses an MKL of 2018, which hardly uses AVX-512 and keeps a reordered copy of every operand of
every convolution as long as the network lives. It calls MKL through a table of addresses (the
procedure linkage table of an ELF library). `install` writes functions of this file into it, which
call oneDNN through its C interface. This needs no compiled code and does not change CNTK's files.
MKL still computes what oneDNN does not support: other shapes, double precision, groups.

MKL's batch normalisation divides by rcpps and rsqrtps, approximations that differ between Intel and
AMD. oneDNN's divides.

The memory format that oneDNN prefers differs from CNTK's. Operands are reordered for each
operation, in scratch memory that all convolutions share.

CNTK's convolutions add to gradients, so it sets each to zero before the first. Here they overwrite,
as those of cuDNN do. To add a gradient to an existing one, CNTK copies the existing one, computes,
and adds. Here the result is added while it is reordered to CNTK's format.

onednn_library.py has oneDNN's functions, onednn_layers.py what is computed with them.
"""

import atexit
import ctypes
import functools
import os
import sys
from collections import deque

from wgan.machine.onednn_layers import (
    BACKWARD_DATA, BACKWARD_FILTER, DST, FORWARD, NORMALIZE, NORMALIZE_BACKWARD, BatchNormalization,
    Convolution)
from wgan.machine.onednn_library import ALIGNMENT, Int, OneDnn, Pointer, Refused, Size
from wgan.machine.slots import CORE, MATH, Unavailable, address_of, find_slots, find_virtual

import numpy as np

Bool = ctypes.c_bool

OUT_OF_MEMORY = -127                                                        # dnnError_t

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


def install(cntk_libraries):
    """Lets oneDNN compute CNTK's convolutions and batch normalisations. Returns its version and
    instruction set, as text.

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
        replacements = Replacements(OneDnn(path), mkl, math)
        mine = {MATH: dict(replacements.of_mkl(), **_tanh()), CORE: replacements.of_cntk()}
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
    KEPT.append((replacements, replaced))       # CNTK calls them until the process ends
    atexit.register(_delete_no_more, slots[MATH]['dnnDelete_F32'])
    return replacements.library.version()


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


class Scratch:
    """Memory that all computations use in turn. It grows to the size of the largest."""

    def __init__(self):
        self.memory, self.address = np.empty(0, np.uint8), 0

    def make_room(self, size):
        if size + ALIGNMENT > self.memory.size:
            self.memory = np.empty(size + ALIGNMENT, np.uint8)
            self.address = -(-self.memory.ctypes.data // ALIGNMENT) * ALIGNMENT


class Replacements:
    """The functions that CNTK calls instead of MKL's and its own, and what they compute with: all
    live Convolutions and BatchNormalizations.

    CNTK identifies each of these by a number: the address of a byte that belongs to it.
    """

    def __init__(self, library, mkl, math):
        self.library, self.mkl, self.math, self.scratch = library, mkl, math, Scratch()
        self.columns = ctypes.PYFUNCTYPE(Size, Pointer)((NUMBER_OF_COLUMNS, math))
        self.fill = ctypes.PYFUNCTYPE(None, Pointer, ctypes.c_float)((SET_VALUE, math))
        self.resize = ctypes.PYFUNCTYPE(None, Pointer, *[Size] * 3, *[Bool] * 2)((RESIZE, math))
        self.alive = {}                     # by CNTK's number
        self.layouts = deque(maxlen=2)      # those made last: their address, and sizes
        self.in_engine = {}                 # those of gradients, by CNTK's engine and their kind
        self.last, self.is_added = None, False

    def of_mkl(self):
        """{symbol: C function}, for the library that calls MKL."""
        create = (Int, ctypes.POINTER(Pointer), Pointer, Int, Size, *[ctypes.POINTER(Size)] * 4,
                  ctypes.POINTER(Int), Int)
        functions = {computation.symbol: self._instead_of(
            computation.symbol, self.mkl, create, functools.partial(self._create, computation))
            for computation in (FORWARD, BACKWARD_DATA, BACKWARD_FILTER)}
        create = (Int, ctypes.POINTER(Pointer), Pointer, Pointer, ctypes.c_float, Int)
        functions.update({computation.symbol: self._instead_of(
            computation.symbol, self.mkl, create, functools.partial(self._normalize, computation))
            for computation in (NORMALIZE, NORMALIZE_BACKWARD)})
        functions['dnnLayoutCreate_F32'] = self._instead_of(
            'dnnLayoutCreate_F32', self.mkl,
            (Int, ctypes.POINTER(Pointer), Size, *[ctypes.POINTER(Size)] * 2), self._note_layout)
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
        return self._register(convolution, result)

    def _register(self, computed, result):
        computed.number = ctypes.create_string_buffer(1)
        result[0] = ctypes.addressof(computed.number)
        self.alive[result[0]] = computed
        return 0

    def _normalize(self, computation, mkl_create, result, attributes, layout, epsilon, flags):
        """The two layouts before it are those of its input and output, in CNTK's own format."""
        sizes = dict(self.layouts).get(layout, ())
        try:
            if len(sizes) != 4:
                raise Refused('%d axes' % len(sizes))
            return self._register(BatchNormalization(
                self.library, computation, sizes[::-1], epsilon, flags & 1), result)
        except Refused:
            return mkl_create(result, attributes, layout, epsilon, flags)

    def _note_layout(self, mkl_create, result, rank, sizes, strides):
        status = mkl_create(result, rank, sizes, strides)
        self.layouts.append((result[0], sizes[:rank]))
        return status

    def _layout(self, result, primitive, number):
        """Returns CNTK's own memory format as the layout, so that CNTK makes no copies."""
        computed = self.alive.get(primitive)
        if computed is None:
            return self.mkl.dnnLayoutCreateFromPrimitive_F32(result, Pointer(primitive), number)
        sizes = computed.sizes[number][::-1]
        strides = np.cumprod([1] + sizes[:3]).tolist()
        return self.mkl.dnnLayoutCreate_F32(result, Size(4), (Size * 4)(*sizes),
                                            (Size * 4)(*strides))

    def _execute(self, primitive, addresses):
        computed = self.alive.get(primitive)
        if computed is None:
            return self.mkl.dnnExecute_F32(Pointer(primitive), addresses)
        self.last = computed
        is_added, self.is_added = self.is_added, False
        try:
            self.scratch.make_room(computed.needs)
        except MemoryError:
            return OUT_OF_MEMORY
        return self.library.execute(
            computed.steps(addresses, self.scratch.address, is_added))

    def _delete(self, primitive):
        computed = self.alive.pop(primitive, None)
        if computed is None:
            return self.mkl.dnnDelete_F32(Pointer(primitive))
        self.in_engine = {key: c for key, c in self.in_engine.items() if c is not computed}
        computed.owner.close()
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
