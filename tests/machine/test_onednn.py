"""CNTK's convolutions and batch normalisations by oneDNN: the numbers that CNTK computes in double
precision, which goes another way (MKL's), and nothing else changes.
"""

import ctypes
import gc
import os
import shutil
import signal
import sys

from helpers import count_interrupted, run_test_program
from wgan.machine import onednn, signals
from wgan.machine.cntk import C, cpu_kernels, libraries
from wgan.machine.onednn_layers import BatchNormalization
from wgan.machine.slots import address_of, find_virtual

import numpy as np
import pytest

needs_onednn = pytest.mark.skipif(not onednn.KEPT, reason='needs oneDNN: ' + cpu_kernels())
PAD = [False, True, True]


def the_replacements():
    return onednn.KEPT[0][0]


def random_case(seed):
    """A convolution of random sizes: shapes of x and the kernel, settings, number of samples."""
    rng = np.random.RandomState(seed)
    inputs, outputs = rng.choice([1, 2, 3, 5, 8, 15, 16, 17, 32, 48], 2).tolist()
    height, width = rng.randint(1, 20, 2).tolist()
    if rng.rand() < 0.5:
        width = height
    pads = bool(rng.randint(2))
    rows = int(rng.randint(1, min(6, height) + 1))
    columns = rows if rng.rand() < 0.7 and rows <= width else int(rng.randint(
        1, min(6, width) + 1))
    strides = tuple(rng.randint(1, 4, 2).tolist())
    settings = dict(strides=strides, auto_padding=[False, pads, pads])
    return ((inputs, height, width), (outputs, inputs, rows, columns), settings,
            rng.randint(1, 6))


def results(dtype, x_shape, kernel_shape, settings, count, seed):
    """What training needs of a convolution y and its transpose: values, and gradients through
    operands that are used twice, so that they add up. Then again for other numbers of samples.
    """
    rng = np.random.RandomState(seed)
    weights = rng.standard_normal(kernel_shape) / np.sqrt(np.prod(kernel_shape[1:]))
    data = rng.standard_normal((count + 1,) + x_shape)
    found = []
    with C.default_options(dtype=dtype):
        x = C.input_variable(x_shape, needs_gradient=True)
        kernel = C.parameter(kernel_shape, init=weights.astype(dtype))
        y = C.convolution(kernel, x, **settings)
        back = C.convolution_transpose(kernel, C.reshape(C.tanh(y), y.shape), output_shape=x_shape,
                                       **settings)
        loss = C.reduce_sum(C.square(y)) + C.reduce_sum(C.sin(y) + y) + C.reduce_sum(
            C.sin(back) * back)
        for n in (count, count, count + 1, 1):
            feed = {x: data[:n].astype(dtype)}
            found += [y.eval(feed), back.eval(feed)]
            found += [loss.grad(feed, wrt=[v]) for v in (x, kernel)]
    return found


@needs_onednn
@pytest.mark.parametrize('seed', [
    pytest.param(seed, marks=pytest.mark.slow if seed >= 15 else ()) for seed in range(60)])
def test_values_and_gradients_are_those_of_double_precision(seed):
    case = random_case(seed)
    for single, double in zip(results(np.float32, *case, seed), results(np.float64, *case, seed)):
        scale = max(np.abs(double).max(), 1e-3)
        np.testing.assert_allclose(single / scale, double / scale, atol=2e-5)


def normalized(dtype, seed):
    """Two batch normalisations of random sizes: values in training, gradients, running statistics,
    and values with these; then for another number of samples.
    """
    rng = np.random.RandomState(seed)
    shape = tuple(rng.choice([1, 2, 3, 5, 8, 16, 17], 3).tolist())
    map_rank = 1 if seed % 3 else None                  # None: of each number by itself
    data, found = rng.standard_normal((7,) + shape) * 2 + 1, []
    with C.default_options(dtype=dtype):
        x = C.input_variable(shape, needs_gradient=True)
        layers = [C.layers.BatchNormalization(map_rank=map_rank, normalization_time_constant=10)
                  for _ in range(2)]
        y = layers[1](C.sin(layers[0](x)) + x)
    parameters = y.parameters
    for p in parameters:
        p.value = rng.uniform(0.5, 1.5, p.shape).astype(dtype)
    loss = C.reduce_sum(C.square(y) * x + C.sin(y))
    for count in (6, 6, 7):
        feed = {x: data[:count].astype(dtype)}
        gradients = loss.grad(feed, wrt=[x, *parameters])
        found += [gradients[v] for v in (x, *parameters)]
        found += [y.forward(feed, [y.output], {y.output})[1][y.output], y.eval(feed)]
        found += [p.value for p in y.constants]
    return found


@needs_onednn
@pytest.mark.parametrize('seed', [
    pytest.param(seed, marks=pytest.mark.slow if seed >= 6 else ()) for seed in range(30)])
def test_batch_normalisation_is_that_of_double_precision(seed):
    for single, double in zip(normalized(np.float32, seed), normalized(np.float64, seed)):
        scale = max(np.abs(double).max(), 1)
        np.testing.assert_allclose(single / scale, double / scale, atol=2e-5)


@needs_onednn
def test_onednn_computes_batch_normalisations():
    """MKL's code divides approximately, and differently on processors of Intel and AMD."""
    x = C.input_variable((3, 4, 4), needs_gradient=True)
    y = C.layers.BatchNormalization(map_rank=1)(x)
    before = set(the_replacements().alive)
    y.grad({x: np.ones((2, 3, 4, 4), np.float32)}, wrt=[x])
    y.eval({x: np.ones((2, 3, 4, 4), np.float32)})
    new = [made for number, made in the_replacements().alive.items() if number not in before]
    assert [type(made) for made in new] == [BatchNormalization] * 3


@pytest.mark.parametrize('size', [1, 3, 4, 7, 1001])
def test_tanh(size):
    """Within 3 units of the last digit, also far out and next to nothing, whatever lies beside."""
    special = [0, -0.0, 1e-45, -1e-38, 1e-4, 0.5, -9, 88, -1e10, np.inf, -np.inf, np.nan]
    data = (3 * np.random.RandomState(size).standard_normal((40, size))).astype(np.float32)
    data.ravel()[:len(special)] = special
    x = C.input_variable(size)
    found = C.tanh(x).eval({x: data})
    exact = np.tanh(data.astype(np.float64))
    np.testing.assert_array_max_ulp(found, exact.astype(np.float32), 3)
    for i, row in enumerate(data):
        np.testing.assert_array_equal(C.tanh(x).eval({x: row[None]})[0], found[i])


@needs_onednn
def test_it_is_oneDNN_that_computes():
    case = (16, 8, 8), (16, 16, 3, 3), dict(strides=2, auto_padding=PAD), 2
    x = C.input_variable(case[0])
    y = C.convolution(C.parameter(case[1], init=1), x, **case[2])
    before = len(the_replacements().alive)
    y.eval({x: np.ones((2,) + case[0], np.float32)})
    assert len(the_replacements().alive) == before + 1


@needs_onednn
@pytest.mark.parametrize('build', [
    lambda x: C.convolution(C.parameter((8, 4, 3, 3), dtype=x.dtype), x, auto_padding=PAD,
                            groups=2),
    lambda x: C.layers.Convolution((3, 3, 3), 8, pad=True, reduction_rank=0)(x),
    lambda x: C.layers.Convolution1D(3, 8, pad=True)(C.reshape(x, (8, 81))),
    lambda x: C.layers.Convolution((2, 2), 8, pad=True, strides=2)(x),
    lambda x: C.layers.MaxPooling((3, 3), strides=2)(C.layers.Convolution((3, 3), 8)(x)),
    lambda x: C.layers.Convolution((1, 1), 8, strides=3)(x)], ids=[
    'groups', 'three axes', 'one axis', 'even kernel', 'pooling', 'one by one'])
def test_what_oneDNN_does_not_take_is_computed_as_before(build):
    """Also in memory that holds other gradients, which nothing sets to zero."""
    data = np.random.RandomState(0).standard_normal((3, 8, 9, 9))
    found = []
    for dtype in (np.float32, np.float64):
        with C.default_options(dtype=dtype):
            x = C.input_variable((8, 9, 9), needs_gradient=True)
            y = build(x)
            for i, p in enumerate(y.parameters):
                p.value = np.random.RandomState(i).standard_normal(p.shape).astype(dtype) / 9
            loss = C.reduce_sum(C.square(y) + y)
            wrt = [x, *y.parameters]
            loss.grad({x: 1e4 * data.astype(dtype)}, wrt=wrt)
            gradients = loss.grad({x: data.astype(dtype)}, wrt=wrt)
            found.append([y.eval({x: data.astype(dtype)})] + [gradients[v] for v in wrt])
    for single, double in zip(*found):
        np.testing.assert_allclose(single, double, atol=2e-5 * max(1, np.abs(double).max()))


@pytest.mark.slow
@needs_onednn
@pytest.mark.parametrize('seed', range(8))
def test_what_was_in_the_scratch_memory_changes_nothing(monkeypatch, seed):
    def computed():
        return results(np.float32, *random_case(seed), seed) + normalized(np.float32, seed)

    clean, make_room = computed(), onednn.Scratch.make_room

    def poisoned(scratch, size):
        make_room(scratch, size)
        scratch.memory.view(np.float32)[:] = np.nan

    monkeypatch.setattr(onednn.Scratch, 'make_room', poisoned)
    for a, b in zip(clean, computed()):
        assert np.isfinite(b).all() and (a == b).all()


@needs_onednn
@pytest.mark.slow
def test_a_network_that_is_gone_leaves_nothing_behind():
    def memory():
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    gc.collect()
    before, first = len(the_replacements().alive), None
    for i in range(60):
        case = (16, 12, 12), (16, 16, 3, 3), dict(strides=2, auto_padding=PAD), 2 + i % 5
        results(np.float32, *case, 0)
        gc.collect()
        first = memory() if i == 20 else first
    assert len(the_replacements().alive) == before
    assert len(the_replacements().in_engine) <= before
    assert memory() - first < 10e6


@pytest.mark.slow
@needs_onednn
def test_ctrl_c_is_not_lost_and_spoils_nothing():
    """In the middle of convolutions, many times: each result is whole, and it is raised."""
    x = C.input_variable((32, 32, 32), needs_gradient=True)
    y = C.reduce_sum(C.square(C.convolution(
        C.parameter((32, 32, 3, 3), init=0.01), x, strides=1, auto_padding=PAD)))
    feed = {x: np.ones((2, 32, 32, 32), np.float32)}
    assert signal.getsignal(signal.SIGINT) is signals.raise_stopped

    def gradient(start):
        start()
        return y.grad(feed, wrt=[x])

    moments = [0.0005 + 0.0001 * i for i in range(60)]
    assert count_interrupted(gradient, y.grad(feed, wrt=[x]), moments) == 60


@pytest.mark.slow
@needs_onednn
def test_there_is_one_pool_of_threads():
    result = run_test_program('threads.py')
    assert result.code == 0, result.err
    products, convolutions = map(int, result.out.split())
    assert convolutions == products


@pytest.mark.slow
@needs_onednn
def test_networks_that_are_there_when_python_ends():
    result = run_test_program('networks_at_the_end.py')
    assert (result.code, result.out, result.err) == (0, 'done\n', '')


@pytest.mark.slow
@pytest.mark.parametrize('kernels, said', [('mkl', 'MKL'), ('onednn', cpu_kernels())])
def test_the_switch(kernels, said):
    result = run_test_program('kernels.py', WGAN_KERNELS=kernels)
    assert (result.code, result.out) == (0, said + '\n'), result.err


@pytest.mark.slow
def test_a_wrong_switch():
    assert "WGAN_KERNELS is 'fast': choose onednn or mkl" in run_test_program(
        'kernels.py', WGAN_KERNELS='fast').sentence


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    with pytest.raises(onednn.Unavailable, match='is not installed'):
        onednn.install(libraries())


def test_on_another_system(monkeypatch):
    monkeypatch.setattr(sys, 'platform', 'win32')
    with pytest.raises(onednn.Unavailable, match='on Linux only'):
        onednn.install(libraries())


@needs_onednn
def test_a_damaged_package(monkeypatch, tmp_path):
    (tmp_path / 'lib').mkdir()
    (tmp_path / 'lib' / 'libdnnl.so.3').write_bytes(b'\x7fELF nothing')
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    with pytest.raises(onednn.Unavailable, match='can not be loaded'):
        onednn.install(libraries())


@needs_onednn
def test_another_build_of_cntk(tmp_path):
    known = {'dnnExecute_F32', 'dnnDelete_F32'}
    path = os.path.join(libraries(), onednn.MATH)
    assert set(onednn.find_slots(path, known)) == known
    with pytest.raises(onednn.Unavailable, match='not one that it is known to work with'):
        onednn.find_slots(path, known | {'dnnOther_F32'})
    copy = str(tmp_path / onednn.MATH)
    shutil.copy(path, copy)                                     # it is not loaded
    with pytest.raises(onednn.Unavailable, match='not one that it is known to work with'):
        onednn.find_slots(copy, known)
    math = ctypes.PyDLL(path)
    for table, function in ((onednn.ENGINE, onednn.NUMBER_OF_COLUMNS), (onednn.ENGINE, 'other'),
                            ('other', onednn.OVERWRITES)):
        with pytest.raises(onednn.Unavailable, match='not one that it is known to work with'):
            find_virtual(math, table, function)
    for data in (b'', b'MZ' + bytes(5000), b'\x7fELF' + bytes(60)):
        (tmp_path / 'other.so').write_bytes(data)
        with pytest.raises(onednn.Unavailable, match='not one that it is known to work with'):
            onednn.find_slots(str(tmp_path / 'other.so'), known)


@needs_onednn
def test_slots_hold_what_was_put_there():
    for slot, function in onednn.KEPT[0][1]:
        assert slot.value == address_of(function)
