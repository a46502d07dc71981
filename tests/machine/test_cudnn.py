"""What CNTK calls instead of cuDNN 7 and cuBLAS 10.0, called with stand-ins of today's, which write
down what they are asked for (tests/programs/stand_in_cudnn.c).

That CNTK calls it, test_gpu_package.py shows.
"""

import ctypes
import os
import shutil
import signal
import sys
import threading
import time

from wgan.machine import cudnn, signals
from wgan.machine.cntk import libraries
from wgan.machine.device import has_gpu_part
from wgan.machine.slots import Unavailable

import pytest

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='cuDNN 9 is used on Linux only')

NOT_SUPPORTED, BAD_PARAM = 3000, 2000           # cudnnStatus_t of cuDNN 9
COMPUTATIONS = pytest.mark.parametrize('name', cudnn.COMPUTATIONS)


class StandIns:
    """The stand-ins, loaded from a folder. functions: what CNTK would call."""

    def __init__(self, folder, tf32=False):
        self.libraries = cudnn.load()
        assert str(folder) in self.libraries.cudnn._name
        self.functions = cudnn.replacements(self.libraries, tf32)
        self.cudnn, self.cublas = self.libraries.cudnn, self.libraries.cublas
        for library in (self.cudnn, self.cublas):
            library.stand_in_said.restype = ctypes.c_char_p
            library.stand_in_said()
        self.finds((5, 0), (-4, 3), (3, 0), (1, 3), (0, 3))
        self.convolution = ctypes.c_void_p()
        self.cudnn.cudnnCreateConvolutionDescriptor(ctypes.byref(self.convolution))

    def asked(self, library):
        return library.stand_in_said().decode().splitlines()

    def finds(self, *pairs, status=0):
        """What a search for algorithms finds: pairs of an algorithm and a math type; a negative
        one has failed.
        """
        found = (ctypes.c_int * 2 * 10).in_dll(self.cudnn, 'stand_in_found')
        for i, pair in enumerate(pairs):
            found[i][:] = pair
        ctypes.c_int.in_dll(self.cudnn, 'stand_in_count').value = len(pairs)
        ctypes.c_int.in_dll(self.cudnn, 'stand_in_status').value = status

    def choose(self, name, preference, limit):
        """(status, algorithm) of what cuDNN 7 had."""
        algorithm = ctypes.c_int(-1)
        status = self.functions['cudnnGetConvolution%sAlgorithm' % name](
            11, 12, 13, self.convolution, 14, preference, limit, ctypes.byref(algorithm))
        return status, algorithm.value

    def find(self, name, size):
        """(status, [(algorithm, memory, math type)]) of what is timed."""
        count, found = ctypes.c_int(), (cudnn.Performance * 10)()
        status = self.functions['cudnnFindConvolution%sAlgorithmEx' % name](
            11, 12, 13, 14, 15, self.convolution, 16, 17, 10, ctypes.byref(count), found, 18, size)
        return status, [(p.algorithm, p.memory, p.math) for p in found[:count.value]
                        if p.status == 0]


@pytest.fixture
def make(stand_ins, monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(stand_ins)])
    return lambda **options: StandIns(stand_ins, **options)


@pytest.fixture
def both(make):
    return make()


def test_each_function_has_its_place(both):
    assert len(cudnn.FUNCTIONS) == 82 and set(both.functions) == set(cudnn.FUNCTIONS)
    gone = {name for name, what in cudnn.FUNCTIONS.items() if what == cudnn.GONE}
    assert len(gone) == 7 and all('RNN' in name for name in gone)
    for name, what in cudnn.FUNCTIONS.items():
        library = both.cudnn if name.startswith('cudnn') else both.cublas
        if what == cudnn.UNCHANGED:
            assert cudnn.address_of(both.functions[name]) == cudnn.address_of(
                getattr(library, name))
        else:
            assert cudnn.address_of(both.functions[name]) not in (
                None, cudnn.address_of(getattr(library, name, None)))


def test_versions(both):
    assert cudnn.versions(both.libraries) == 'cuDNN 9.10.2 and cuBLAS 12.9.1'
    assert both.libraries.cuda == 12


def full_and_tf32(full, tf32):
    return pytest.mark.parametrize('options, expected', [({}, full), ({'tf32': True}, tf32)],
                                   ids=['full precision', 'TF32'])


@full_and_tf32(3, 0)
def test_the_math_type_of_convolutions(make, options, expected):
    both = make(**options)
    set_type = both.functions['cudnnSetConvolutionMathType']
    for asked, got in ((0, expected), (1, 1), (3, 3)):
        assert set_type(both.convolution, asked) == 0
        assert both.asked(both.cudnn) == ['cudnnSetConvolutionMathType %d' % got]


@full_and_tf32(3, 0)
def test_a_convolution_that_is_described(make, options, expected):
    """All arguments arrive, and the math type is set with them; a failure is handed back."""
    both = make(**options)
    describe = both.functions['cudnnSetConvolutionNdDescriptor']
    arrays = [(ctypes.c_int * 2)(*pair) for pair in ((1, 2), (3, 4), (5, 6))]
    arrays = [ctypes.cast(array, ctypes.c_void_p) for array in arrays]
    assert describe(both.convolution, 2, *arrays, 7, 8) == 0
    assert both.asked(both.cudnn) == ['cudnnSetConvolutionNdDescriptor 2, 1 2, 3 4, 5 6, 7 8',
                                      'cudnnSetConvolutionMathType %d' % expected]
    assert describe(both.convolution, 2, *arrays, 9, 8) == BAD_PARAM
    assert len(both.asked(both.cudnn)) == 1


@full_and_tf32(0, 3)
def test_the_math_mode_of_products(make, options, expected):
    """CNTK asks for 1 before products in half precision, and for nothing before others."""
    both = make(**options)
    handle = ctypes.c_void_p()
    assert both.functions['cublasCreate_v2'](ctypes.byref(handle)) == 0 and handle.value == 77
    assert both.asked(both.cublas) == ['cublasCreate_v2', 'cublasSetMathMode 77 %d' % expected]
    assert both.functions['cublasSetMathMode'](handle, 1) == 0
    assert both.asked(both.cublas) == ['cublasSetMathMode 77 %d' % expected]


@pytest.mark.parametrize('asked, got', [(0, 68), (1, 70), (2, 64), (99, 99)])
def test_the_type_that_a_product_is_computed_in(both, asked, got):
    one, two = ctypes.c_float(1.5), ctypes.c_float(2.5)
    status = both.functions['cublasGemmEx'](
        1, 2, 3, 4, 5, 6, ctypes.addressof(one), 7, 8, 9, 10, 11, 12, ctypes.addressof(two), 13, 14,
        15, asked, 16)
    assert status == 14                                     # what the stand-in answers
    assert both.asked(both.cublas) == [
        'cublasGemmEx 1 2 3 4 5 6 1.5 7 8 9 10 11 12 2.5 13 14 15 %d 16' % got]


@COMPUTATIONS
@pytest.mark.parametrize('preference, limit, expected', [
    (0, 0, 0), (0, 10 ** 6, 0), (2, 0, 0), (2, 107, 0), (2, 108, 1), (2, 307, 1), (1, 0, 1)])
def test_the_algorithm_that_is_chosen(both, name, preference, limit, expected):
    """Preferences of cuDNN 7: 0 no workspace, 1 the fastest, 2 at most so many bytes."""
    both.cudnn.cudnnSetConvolutionMathType(both.convolution, 3)
    both.asked(both.cudnn)
    assert both.choose(name, preference, limit) == (0, expected)
    assert both.asked(both.cudnn) == ['Convolution%sAlgorithm_v7 1 1 3 10' % name]


@COMPUTATIONS
def test_memory_is_that_of_the_math_type_that_is_computed_with(both, name):
    """Algorithm 3 was ranked for another one, for which 300 bytes would be enough."""
    both.cudnn.cudnnSetConvolutionMathType(both.convolution, 3)
    both.finds((3, 0))
    assert both.choose(name, 2, 307)[0] == cudnn.NO_ALGORITHM
    assert both.choose(name, 2, 308) == (0, 3)
    assert both.find(name, 307)[0] == cudnn.NO_ALGORITHM
    assert both.find(name, 308) == (0, [(3, 308, 3)])


@COMPUTATIONS
def test_nothing_to_choose_from(both, name):
    for pairs in ((), ((-1, 0), (-2, 0)), ((7, 0),), ((4, 0),)):
        both.finds(*pairs)
        assert both.choose(name, 0, 0) == (cudnn.NO_ALGORITHM, -1)
        assert both.find(name, 50) == (cudnn.NO_ALGORITHM, [])


@COMPUTATIONS
def test_a_search_that_fails(both, name):
    both.finds((0, 0), status=NOT_SUPPORTED)
    assert both.choose(name, 0, 0) == (NOT_SUPPORTED, -1)
    assert both.find(name, 0)[0] == NOT_SUPPORTED


@COMPUTATIONS
@pytest.mark.parametrize('math, size, expected', [
    (3, 10 ** 6, [(1, 108, 3), (0, 0, 3), (5, 508, 3), (3, 308, 3)]),
    (3, 400, [(1, 108, 3), (0, 0, 3), (3, 308, 3)]),
    (0, 10 ** 6, [(5, 500, 0), (3, 300, 0), (1, 100, 0), (0, 0, 0)]), (0, 50, [(0, 0, 0)])])
def test_algorithms_that_are_timed(both, name, math, size, expected):
    """What failed is left out; what was timed with the descriptor's math type comes first."""
    both.cudnn.cudnnSetConvolutionMathType(both.convolution, math)
    both.asked(both.cudnn)
    assert both.find(name, size) == (0, expected)
    assert both.asked(both.cudnn) == ['FindConvolution%s 1 1 1 %d 10 1 %d' % (name, math, size)]


def text(both, status):
    return ctypes.string_at(both.functions['cudnnGetErrorString'](status)).decode()


def test_texts_of_errors(both):
    assert text(both, 2000) == 'text of cuDNN 9 for 2000'
    assert text(both, 8) == 'CUDNN_STATUS_EXECUTION_FAILED'     # CNTK's own, of cuDNN 7


def test_recurrent_networks_are_refused_in_words(both):
    for name, what in cudnn.FUNCTIONS.items():
        if what == cudnn.GONE:
            status = both.functions[name](*range(15))
            assert 'optimized_rnnstack needs cuDNN 7' in text(both, status)


def test_ctrl_c_waits_for_what_cntk_calls(both):
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signals.replace_pythons_handler()
        caught, begin = [], time.time()

        def slow(*_):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            for _ in range(10 ** 5):                            # it would be raised here
                pass
            caught.append('done')
            return 0
        algorithms = cudnn.Algorithms(both.cudnn, 'Forward')
        algorithms.ranked = slow
        with pytest.raises(KeyboardInterrupt):
            algorithms.functions()['cudnnGetConvolutionForwardAlgorithm'](
                0, 0, 0, both.convolution, 0, 0, 0, ctypes.pointer(ctypes.c_int()))
            while time.time() < begin + 10:
                pass
        assert caught == ['done']
    finally:
        signal.signal(signal.SIGINT, before)


def test_packages_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    with pytest.raises(Unavailable, match='libcudnn.so.9 is not installed .*nvidia-cudnn-cu12'):
        cudnn.load()


@pytest.mark.parametrize('missing', ['libcublas.so.12', 'libcublasLt.so.12'])
def test_a_package_without_the_other(monkeypatch, stand_ins, tmp_path, missing):
    shutil.copytree(str(stand_ins / 'nvidia'), str(tmp_path / 'nvidia'))
    (tmp_path / 'nvidia' / 'cublas' / 'lib' / missing).unlink()
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    with pytest.raises(Unavailable, match=missing + ' is not installed'):
        cudnn.load()


def test_on_another_system(monkeypatch):
    monkeypatch.setattr(sys, 'platform', 'win32')
    with pytest.raises(Unavailable, match='on Linux only'):
        cudnn.load()


@pytest.mark.skipif(has_gpu_part(), reason='this is cntk-gpu')
def test_cntk_for_the_cpu_is_refused(make):
    make()
    with pytest.raises(Unavailable, match='CNTK for the CPU.* cntk-gpu'):
        cudnn.install(libraries())
    assert not cudnn.KEPT and os.path.exists(os.path.join(libraries(), cudnn.MATH))
