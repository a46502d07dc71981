"""Of what CNTK takes from MKL and oneDNN, nothing rounds differently by where operands lie."""

import ctypes
import itertools
import os
import re

from wgan.machine import onednn
from wgan.machine.cntk import libraries
from wgan.machine.onednn_layers import (
    BACKWARD_DATA, BACKWARD_FILTER, DIFF_DST, DIFF_SCALE_SHIFT, DIFF_SRC, DST, FORWARD, MEAN,
    NORMALIZE, NORMALIZE_BACKWARD, SCALE_SHIFT, SRC, VARIANCE, BatchNormalization, Convolution)
from wgan.machine.slots import called_functions

import numpy as np
import pytest

from test_onednn import needs_onednn, the_replacements

MKL = ctypes.CDLL(os.path.join(libraries(), 'libmklml_intel.so'))
Int, Float, Pointer = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
BY_COLUMN, PLAIN, TRANSPOSED = 102, 111, 112                            # mkl_cblas.h
# In numbers from a boundary of 64 bytes: malloc promises multiples of 4 only, and views of a matrix
# begin anywhere.
SHIFTS = [(0, 0, 0), (4, 0, 0), (0, 4, 0), (0, 0, 4), (0, 0, 8), (0, 0, 12), (4, 8, 12), (8, 8, 0),
          (1, 2, 3), (0, 0, 1), (15, 7, 5)]


def lying_at(shift, values):
    """A copy of the values that begins so many numbers after a boundary of 64 bytes."""
    memory = np.empty(values.size + 32, np.float32)
    start = (-memory.ctypes.data // 4) % 16 + shift
    copy = memory[start:start + values.size]
    copy[:] = values.ravel()
    assert copy.ctypes.data % 64 == 4 * shift
    return copy


def at(array):
    return Pointer(array.ctypes.data)


def product(sizes, transposed, beta):
    rows, columns, inner = sizes

    def call(a, b, c):
        MKL.cblas_sgemm(
            BY_COLUMN, *(TRANSPOSED if t else PLAIN for t in transposed), rows, columns, inner,
            Float(1), at(a), inner if transposed[0] else rows, at(b),
            columns if transposed[1] else inner, Float(beta), at(c), rows)
        return c
    return call, (rows * inner, inner * columns, rows * columns)


def products(sizes, transposed, beta):
    """Three at once, of one size."""
    rows, columns, inner = sizes

    def ints(*numbers):
        return (Int * len(numbers))(*numbers)

    def call(a, b, c):
        pointers = [(Pointer * 3)(*(x.ctypes.data + 4 * i * (x.size // 3) for i in range(3)))
                    for x in (a, b, c)]
        MKL.cblas_sgemm_batch(
            BY_COLUMN, *(ints(TRANSPOSED if t else PLAIN) for t in transposed), ints(rows),
            ints(columns), ints(inner), (Float * 1)(1), pointers[0],
            ints(inner if transposed[0] else rows), pointers[1],
            ints(columns if transposed[1] else inner), (Float * 1)(beta), pointers[2], ints(rows),
            1, ints(3))
        return c
    return call, (3 * rows * inner, 3 * inner * columns, 3 * rows * columns)


def vector(name, size):
    """A function of one or two vectors (and a factor), or of two that writes a third."""
    function = getattr(MKL, name)

    def call(x, y, z):
        one, factor = Int(1), Float(0.3)
        if name in ('cblas_sasum', 'cblas_snrm2', 'cblas_sdot'):
            function.restype = Float
            others = [at(y), one] if name == 'cblas_sdot' else []
            return np.float32([function(Int(size), at(x), one, *others)])
        if name.startswith('vs'):
            function(Int(size), at(x), *([] if name == 'vsAbs' else [at(y)]), at(z))
            return z
        if name == 'cblas_sscal':
            function(Int(size), factor, at(z), one)
        elif name == 'cblas_scopy':
            function(Int(size), at(x), one, at(z), one)
        elif name == 'cblas_saxpy':
            function(Int(size), factor, at(x), one, at(z), one)
        elif name == 'cblas_saxpby':
            function(Int(size), factor, at(x), one, Float(0.7), at(z), one)
        else:
            raise AssertionError('%s is not tried' % name)
        return z
    return call, (size, size, size)


def results(case, seed=0):
    """The result, as bytes, for each of the SHIFTS of three operands."""
    call, sizes = case
    rng = np.random.RandomState(seed)
    operands = [rng.standard_normal(size).astype(np.float32) for size in sizes]
    return [call(*map(lying_at, shifts, operands)).tobytes() for shifts in SHIFTS]


@pytest.mark.slow
def test_matrix_products():
    rng = np.random.RandomState(0)
    sizes = [tuple(rng.choice([1, 2, 3, 5, 8, 16, 31, 48, 100, 256, 1000, 4096], 3, p=[
        .25, .05, .05, .05, .05, .15, .05, .1, .05, .1, .05, .05]).tolist()) for _ in range(120)]
    sizes += [(4096, 1, 16), (1, 4096, 16), (1, 1024, 1024), (1024, 1, 1024)]
    for size in sizes:
        if np.prod(size) < 4e6:
            for first, second, beta in itertools.product((False, True), (False, True), (0, 1)):
                found = results(product(size, (first, second), beta))
                assert len(set(found)) == 1, (size, first, second, beta)


@pytest.mark.parametrize('size', [(4, 5, 6), (1, 300, 16), (300, 1, 16), (64, 64, 48)])
@pytest.mark.parametrize('transposed', itertools.product((False, True), (False, True)))
def test_batched_products(size, transposed):
    assert len(set(results(products(size, transposed, 1)))) == 1


@pytest.mark.parametrize('size', [1, 17, 100, 1000, 4099, 100003])
def test_vectors(size):
    """All other functions that CNTK's library takes from MKL in single precision."""
    names = {name for name in called_functions(os.path.join(libraries(), onednn.MATH))
             if re.match('cblas_s|vs[A-Z]', name)}
    others = names - {'cblas_sgemm', 'cblas_sgemm_batch'}
    assert len(names - others) == 2 and len(others) > 8
    for name in others:
        assert len(set(results(vector(name, size)))) == 1, name


def convolution(kind, rng, is_added):
    """One of the three computations of a convolution of random sizes, as in the networks."""
    library = the_replacements().library
    count, inputs, outputs = (int(rng.choice(n)) for n in (
        (1, 3, 16), (1, 3, 16, 32, 48, 64), (1, 3, 16, 32, 64, 128)))
    size, width = int(rng.choice([4, 8, 9, 16, 32])), int(rng.choice([1, 3, 5]))
    shape = (size + 1) // 2, (size + 1) // 2
    sizes = ((count, inputs, size, size), (count, outputs) + shape, (outputs, inputs, width, width))
    made = Convolution(library, kind, *map(list, sizes), [2, 2], [width // 2] * 2)
    scratch = np.empty(made.needs + 64, np.uint8)
    lengths = [int(np.prod(made.sizes[number])) for number in made.numbers]

    def call(*operands):
        addresses = {number: x.ctypes.data for number, x in zip(made.numbers, operands)}
        start = scratch.ctypes.data
        assert library.execute(made.steps(addresses, start - start % -64, is_added)) == 0
        return operands[2]
    return call, lengths


@pytest.mark.slow
@needs_onednn
@pytest.mark.parametrize('is_added', [False, True])
@pytest.mark.parametrize('kind', [FORWARD, BACKWARD_DATA, BACKWARD_FILTER])
def test_convolutions(kind, is_added):
    rng = np.random.RandomState(0)
    for seed in range(40):
        assert len(set(results(convolution(kind, rng, is_added), seed))) == 1


def batch_normalization(computation, rng):
    """Of random sizes; the operands are x, dy (forward: overwritten by y), and all numbers for each
    channel.
    """
    library = the_replacements().library
    x = [int(rng.choice(n)) for n in ((1, 3, 16), (1, 3, 32, 64), (1, 4, 9, 32), (1, 4, 7, 32))]
    made = BatchNormalization(library, computation, x, 1e-5, False)
    scratch, length = np.empty(made.needs + 64, np.uint8), int(np.prod(x))

    def call(data, other, numbers):
        dx, at, channels = np.empty_like(data), numbers.ctypes.data, 4 * x[1]
        numbers[3 * x[1]:4 * x[1]] **= 2                        # variances
        addresses = {
            SRC: data.ctypes.data, DST: other.ctypes.data, DIFF_DST: other.ctypes.data,
            DIFF_SRC: dx.ctypes.data, SCALE_SHIFT: at, MEAN: at + 2 * channels,
            VARIANCE: at + 3 * channels, DIFF_SCALE_SHIFT: at + 4 * channels}
        if computation is NORMALIZE:
            addresses.update({MEAN: at + 4 * channels, VARIANCE: at + 5 * channels})
            dx[:] = 0
        start = scratch.ctypes.data
        assert library.execute(made.steps(addresses, start - start % -64, False)) == 0
        return np.concatenate([other, dx, numbers])
    return call, [length, length, 6 * x[1]]


@pytest.mark.slow
@needs_onednn
@pytest.mark.parametrize('computation', [NORMALIZE, NORMALIZE_BACKWARD])
def test_batch_normalisations(computation):
    rng = np.random.RandomState(0)
    for seed in range(40):
        assert len(set(results(batch_normalization(computation, rng), seed))) == 1
