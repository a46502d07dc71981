"""Lets CNTK call cuDNN 9 and a current cuBLAS instead of the versions of 2018 in cntk-gpu 2.7.

CNTK's library has its own kernels as PTX, which the driver compiles for any newer card. Its cuDNN 7
and cuBLAS 10.0 fail there: they are machine code for compute capability 3.0 to 7.5. CNTK calls both
through a table of addresses (the procedure linkage table of an ELF library). `install` writes the
addresses of the current functions into it. This needs no compiled code and does not change CNTK's
files. The table `FUNCTIONS` lists the replacement of each function.

Sources: CNTK 2.7, Source/Math/CuDnnConvolutionEngine.cu, fpgeneric.h; the API references of cuDNN 9
and cuBLAS 12 (https://docs.nvidia.com).
"""

import atexit
import ctypes
import glob
import os
import sys
from collections import namedtuple

from wgan.machine.slots import MATH, Unavailable, address_of, called_functions, find_slots

Pointer, Int, Size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t

# cudnnStatus_t. Number 8 is cuDNN 7's, which CNTK's code uses. The last two are defined here; cuDNN
# 9 uses 0 and 1001 to 5004.
SUCCESS, EXECUTION_FAILED_7, NO_ALGORITHM, NO_RECURRENCE = 0, 8, 9901, 9902
TEXTS = {
    EXECUTION_FAILED_7: b'CUDNN_STATUS_EXECUTION_FAILED',
    NO_ALGORITHM: b'no algorithm of cuDNN 9 computes this convolution in the memory that CNTK has '
                  b'for it',
    NO_RECURRENCE: b'optimized_rnnstack needs cuDNN 7, which cuDNN 9 has replaced for this card: '
                   b'build the network from C.layers.Recurrence instead'}
# cudnnMathType_t. With the first, cuDNN 8 and later may round to TF32.
DEFAULT_MATH, FMA_MATH = 0, 3
# cublasMath_t. The first is full precision. CNTK asks for 1 (for half precision only), which lets
# cuBLAS 11 and later round single precision to half.
CUBLAS_DEFAULT, CUBLAS_TF32 = 0, 3
# The type that cublasGemmEx computes in: cudaDataType_t until cuBLAS 10, then cublasComputeType_t.
COMPUTE_TYPES = {0: 68, 1: 70, 2: 64}           # single, double, half
NO_WORKSPACE, WORKSPACE_LIMIT = 0, 2            # cudnnConvolution*Preference_t of cuDNN 7

UNCHANGED = "today's function of that name"
GONE = 'a status that says what to use instead'
MATH_TYPE = "today's, with FMA_MATH for DEFAULT_MATH unless TF32 is wanted"

# The replacement of each of the 82 functions of cuDNN and cuBLAS that CNTK calls.
FUNCTIONS = dict.fromkeys((
    'cublasAxpyEx cublasDasum_v2 cublasDaxpy_v2 cublasDdot_v2 cublasDgeam cublasDgemmBatched '
    'cublasDgemm_v2 cublasDotEx cublasDscal_v2 cublasGetMatrix cublasHgemmBatched cublasIdamax_v2 '
    'cublasIsamax_v2 cublasSasum_v2 cublasSaxpy_v2 cublasScalEx cublasSdot_v2 '
    'cublasSetPointerMode_v2 cublasSetStream_v2 cublasSgeam cublasSgemmBatched cublasSgemm_v2 '
    'cublasSscal_v2 '
    'cudnnBatchNormalizationBackward cudnnBatchNormalizationForwardInference '
    'cudnnBatchNormalizationForwardTraining cudnnConvolutionBackwardData '
    'cudnnConvolutionBackwardFilter cudnnConvolutionForward cudnnCreate '
    'cudnnCreateConvolutionDescriptor cudnnCreateDropoutDescriptor cudnnCreateFilterDescriptor '
    'cudnnCreatePoolingDescriptor cudnnCreateRNNDescriptor cudnnCreateReduceTensorDescriptor '
    'cudnnCreateTensorDescriptor cudnnDestroy cudnnDestroyConvolutionDescriptor '
    'cudnnDestroyDropoutDescriptor cudnnDestroyFilterDescriptor cudnnDestroyPoolingDescriptor '
    'cudnnDestroyRNNDescriptor cudnnDestroyReduceTensorDescriptor cudnnDestroyTensorDescriptor '
    'cudnnDropoutGetStatesSize cudnnGetConvolutionBackwardDataWorkspaceSize '
    'cudnnGetConvolutionBackwardFilterWorkspaceSize cudnnGetConvolutionForwardWorkspaceSize '
    'cudnnGetReductionWorkspaceSize cudnnGetTensorNdDescriptor cudnnGetVersion '
    'cudnnPoolingBackward cudnnPoolingForward cudnnReduceTensor cudnnSetConvolutionGroupCount '
    'cudnnSetDropoutDescriptor cudnnSetFilterNdDescriptor cudnnSetPoolingNdDescriptor '
    'cudnnSetReduceTensorDescriptor cudnnSetStream cudnnSetTensor4dDescriptorEx '
    'cudnnSetTensorNdDescriptor').split(), UNCHANGED)
FUNCTIONS.update(dict.fromkeys((
    'cudnnGetRNNParamsSize cudnnGetRNNTrainingReserveSize cudnnGetRNNWorkspaceSize '
    'cudnnRNNBackwardData cudnnRNNBackwardWeights cudnnRNNForwardTraining '
    'cudnnSetRNNDescriptor_v5').split(), GONE))
FUNCTIONS.update({
    'cublasCreate_v2': "today's, then the math mode is set",
    'cublasGemmEx': "today's, with the number that the type to compute in has now",
    'cublasSetMathMode': "today's, with the mode that is wanted",
    'cudnnGetErrorString': "today's, and texts for the numbers that are not cuDNN 9's",
    'cudnnSetConvolutionMathType': MATH_TYPE,
    'cudnnSetConvolutionNdDescriptor': "today's, then the math type is set"})
COMPUTATIONS = 'Forward', 'BackwardData', 'BackwardFilter'
for _name in COMPUTATIONS:
    FUNCTIONS.update({
        'cudnnFindConvolution%sAlgorithmEx' % _name: "today's, without what can't be used",
        'cudnnGetConvolution%sAlgorithm' % _name: 'the first of its successor …_v7 that fits'})

# cudnn, cublas: ctypes libraries. cuda: the major version of CUDA that they need.
Libraries = namedtuple('Libraries', 'cudnn cublas cuda')


def install(cntk_libraries, tf32=False):
    """Lets CNTK call the current cuDNN and cuBLAS. Returns their versions, as text.

    Call it before CNTK first computes on a card.
    cntk_libraries: the folder with CNTK's shared libraries, which must be loaded.
    tf32: whether convolutions and products may round their operands to TF32, 10 bits for 23.
    Raises Unavailable, and changes nothing, on other systems than Linux, for another build of CNTK,
    if the libraries are not installed, or if CNTK has already used a card.
    """
    libraries = load()
    replaced = replacements(libraries, tf32)
    path = os.path.join(cntk_libraries, MATH)
    if not os.path.exists(os.path.join(cntk_libraries, 'libcudnn.so.7')):
        raise Unavailable('this is CNTK for the CPU, and cuDNN needs the package cntk-gpu')
    slots = find_slots(path, FUNCTIONS)
    if {name for name in called_functions(path) if name.startswith(('cudnn', 'cublas'))} != set(
            FUNCTIONS):
        raise Unavailable('this CNTK calls other functions than the one that this is made for')
    _check_unused(path)
    for name, slot in slots.items():
        slot.value = address_of(replaced[name])
    KEPT.append((libraries, replaced))          # CNTK calls them until the process ends
    # No function of this file can be called after Python has ended.
    atexit.register(setattr, slots['cudnnGetErrorString'], 'value',
                    address_of(libraries.cudnn.cudnnGetErrorString))
    return versions(libraries) + (', with TF32' if tf32 else ', in full single precision')


KEPT = []


def load():
    """The Libraries that are installed. Raises Unavailable if they can't be loaded."""
    if not sys.platform.startswith('linux'):
        raise Unavailable('cuDNN 9 is used on Linux only')
    try:
        # PyDLL keeps Python's lock: CNTK is called with it, and no other thread may come between.
        cudnn = ctypes.PyDLL(_installed('libcudnn.so.9'))
        cudnn.cudnnGetVersion.restype = cudnn.cudnnGetCudartVersion.restype = Size
        cuda = cudnn.cudnnGetCudartVersion() // 1000
        # The other two libraries look for this one by its name.
        ctypes.PyDLL(_installed('libcublasLt.so.%d' % cuda))
        return Libraries(cudnn, ctypes.PyDLL(_installed('libcublas.so.%d' % cuda)), cuda)
    except (OSError, AttributeError) as error:
        raise Unavailable('cuDNN 9 and cuBLAS can not be loaded (%s)' % error)


def _installed(name):
    """The path of a shared library in NVIDIA's packages for Python."""
    for folder in sys.path:
        paths = sorted(glob.glob(os.path.join(glob.escape(folder), 'nvidia', '*', 'lib', name)))
        if paths:
            return paths[0]
    raise Unavailable('%s is not installed (packages nvidia-cudnn-cu12, nvidia-cublas-cu12)' % name)


def versions(libraries):
    number = libraries.cudnn.cudnnGetVersion()                      # 91002 is 9.10.2
    cublas = [Int() for _ in range(3)]
    for which, part in enumerate(cublas):
        libraries.cublas.cublasGetProperty(which, ctypes.byref(part))
    return 'cuDNN %d.%d.%d and cuBLAS %s' % (
        number // 10000, number // 100 % 100, number % 100,
        '.'.join(str(part.value) for part in cublas))


def _check_unused(path):
    """Raises Unavailable if CNTK has a handle of its own cuBLAS, which it creates at first use.

    path: CNTK's library with the handles, 16 (one a card) for each type of numbers.
    """
    math = ctypes.PyDLL(path)
    for number_type in ('f', 'd', '4half'):
        handles = (Pointer * 16).in_dll(
            math, '_ZN9Microsoft3MSR4CNTK9GPUMatrixI%sE10s_cuHandleE' % number_type)
        if any(handles):
            raise Unavailable('CNTK has computed on a card already, with its own libraries')


def replacements(libraries, tf32=False):
    """{name: C function} for all FUNCTIONS."""
    cudnn, cublas, _ = libraries
    recurrent = ctypes.CFUNCTYPE(Int)(lambda: NO_RECURRENCE)
    try:
        functions = {name: recurrent if treatment == GONE else
                     getattr(cudnn if name.startswith('cudnn') else cublas, name)
                     for name, treatment in FUNCTIONS.items() if treatment in (GONE, UNCHANGED)}
        functions.update(_of_cublas(cublas, CUBLAS_TF32 if tf32 else CUBLAS_DEFAULT))
        functions.update(_of_math_type(cudnn, DEFAULT_MATH if tf32 else FMA_MATH))
        functions.update(_of_errors(cudnn))
        for name in COMPUTATIONS:
            functions.update(Algorithms(cudnn, name).functions())
    except AttributeError as error:
        raise Unavailable('cuDNN 9 or cuBLAS lacks a function (%s)' % error)
    return functions


def _of_cublas(cublas, mode):
    """The changed functions of cuBLAS. mode: the cublasMath_t to use."""
    create, create_types = _function(cublas, 'cublasCreate_v2', ctypes.POINTER(Pointer))
    set_mode, mode_types = _function(cublas, 'cublasSetMathMode', Pointer, Int)
    gemm, gemm_types = _function(
        cublas, 'cublasGemmEx', Pointer, Int, Int, Int, Int, Int, Pointer, Pointer, Int, Int,
        Pointer, Int, Int, Pointer, Pointer, Int, Int, Int, Int)

    def multiply(*arguments):
        *operands, compute_type, algorithm = arguments
        return gemm(*operands, COMPUTE_TYPES.get(compute_type, compute_type), algorithm)

    return {
        'cublasCreate_v2': create_types(lambda handle: create(handle) or set_mode(handle[0], mode)),
        'cublasSetMathMode': mode_types(lambda handle, _: set_mode(handle, mode)),
        'cublasGemmEx': gemm_types(multiply)}


def _of_math_type(cudnn, wanted):
    """Functions that set the wanted math type for single precision.

    CNTK sets the default before each convolution, but not before it times algorithms. So the type
    is also set with a convolution's descriptor.
    """
    set_type, type_types = _function(cudnn, 'cudnnSetConvolutionMathType', Pointer, Int)
    describe, describe_types = _function(cudnn, 'cudnnSetConvolutionNdDescriptor', Pointer, Int,
                                         Pointer, Pointer, Pointer, Int, Int)
    return {
        'cudnnSetConvolutionMathType': type_types(
            lambda convolution, math: set_type(
                convolution, wanted if math == DEFAULT_MATH else math)),
        'cudnnSetConvolutionNdDescriptor': describe_types(
            lambda convolution, *rest: (
                describe(convolution, *rest) or set_type(convolution, wanted)))}


def _of_errors(cudnn):
    """The function for error texts: cuDNN's own texts, and TEXTS."""
    texts = {status: ctypes.create_string_buffer(text) for status, text in TEXTS.items()}
    types = ctypes.CFUNCTYPE(Pointer, Int), ctypes.PYFUNCTYPE(Pointer, Int)
    theirs = types[1](('cudnnGetErrorString', cudnn))
    return {'cudnnGetErrorString': types[0](
        lambda status: address_of(texts[status]) if status in texts else theirs(status))}


def _function(library, name, *types):
    """Returns a function of a library, whose result is a status, and the type of a replacement."""
    return (ctypes.PYFUNCTYPE(Int, *types)((name, library)), ctypes.CFUNCTYPE(Int, *types))


class Performance(ctypes.Structure):
    """cudnnConvolution{Fwd,BwdData,BwdFilter}AlgoPerf_t, which are the same in cuDNN 7 and 9."""

    _fields_ = [('algorithm', Int), ('status', Int), ('milliseconds', ctypes.c_float),
                ('memory', Size), ('determinism', Int), ('math', Int), ('reserved', Int * 3)]


class Algorithms:
    """The algorithms of cuDNN for a convolution, or for one of its two gradients.

    cuDNN 9 returns pairs of an algorithm and a math type. CNTK reads the algorithm and its memory,
    but computes with the math type of the convolution's descriptor. So the memory is queried again
    for that type. Algorithms that failed or need too much memory are removed, because CNTK takes
    the first of the list without checking its status, even if the list is empty.
    """

    AT_MOST = 10                        # a computation has at most 8 algorithms; CNTK asks for 10

    def __init__(self, cudnn, name):
        self.name = name
        four, performances = (Pointer,) * 4, ctypes.POINTER(Performance)
        self.timed, self.find_types = _function(
            cudnn, 'cudnnFindConvolution%sAlgorithmEx' % name, Pointer, *four, *four[:3], Int,
            ctypes.POINTER(Int), performances, Pointer, Size)
        self.ranked, _ = _function(cudnn, 'cudnnGetConvolution%sAlgorithm_v7' % name, Pointer,
                                   *four, Int, ctypes.POINTER(Int), performances)
        self.size, _ = _function(cudnn, 'cudnnGetConvolution%sWorkspaceSize' % name, Pointer,
                                 *four, Int, ctypes.POINTER(Size))
        self.math_type, _ = _function(cudnn, 'cudnnGetConvolutionMathType', Pointer,
                                      ctypes.POINTER(Int))
        self.choose_types = ctypes.CFUNCTYPE(Int, Pointer, *four, Int, Size, ctypes.POINTER(Int))

    def functions(self):
        """{name: C function} of the two that CNTK calls."""
        return {'cudnnFindConvolution%sAlgorithmEx' % self.name: self.find_types(self.find),
                'cudnnGetConvolution%sAlgorithm' % self.name: self.choose_types(self.choose)}

    def find(self, handle, a, a_data, b, b_data, convolution, result, result_data, wanted, count,
             performances, workspace, size):
        """Times all algorithms that can be used; the fastest is first."""
        status = self.timed(handle, a, a_data, b, b_data, convolution, result, result_data, wanted,
                            count, performances, workspace, size)
        if status != SUCCESS:
            return status
        usable = self._usable(performances[:count[0]], (handle, a, b, convolution, result), size)
        for i, performance in enumerate(usable):
            performances[i] = performance
        count[0] = len(usable)
        return SUCCESS if usable else NO_ALGORITHM

    def choose(self, handle, a, b, convolution, result, preference, limit, algorithm):
        """Chooses the algorithm that cuDNN expects to be fastest within CNTK's memory limit."""
        described = handle, a, b, convolution, result
        count, performances = Int(), (Performance * self.AT_MOST)()
        status = self.ranked(*described, self.AT_MOST, ctypes.byref(count), performances)
        if status != SUCCESS:
            return status
        limit = {NO_WORKSPACE: 0, WORKSPACE_LIMIT: limit}.get(preference, sys.maxsize)
        usable = self._usable(performances[:count.value], described, limit)
        if not usable:
            return NO_ALGORITHM
        algorithm[0] = usable[0].algorithm
        return SUCCESS

    def _usable(self, performances, described, limit):
        """Copies of the algorithms that need at most `limit` bytes with the descriptor's math type.

        Algorithms that were timed with this type come first.
        """
        math, usable = Int(), []
        self.math_type(described[3], ctypes.byref(math))
        for performance in sorted(performances, key=lambda p: p.math != math.value):
            memory = Size()
            if performance.status == SUCCESS and self.size(
                    *described, performance.algorithm,
                    ctypes.byref(memory)) == SUCCESS and memory.value <= limit:
                copy = Performance.from_buffer_copy(performance)
                copy.memory, copy.math = memory.value, math.value
                usable.append(copy)
        return usable
