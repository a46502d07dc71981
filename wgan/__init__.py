"""The modules of the programs.

Importing it sets the excepthook for errors during imports, and the environment variables that
OpenCV, MKL and CUDA read only once. No other module has an effect at import: `run` starts the rest.
"""

import os
import sys

__version__ = '1.1.0'                   # CITATION.cff and CHANGELOG.md have it too


def _end_while_importing(error_type, error, trace):
    from wgan.machine import terminal       # not before: Ctrl-C may come while it is imported
    terminal.end_while_importing(error_type, error, trace)


sys.excepthook = _end_while_importing

# OpenCV refuses images with more pixels (200 MB at three bytes a pixel). Its own messages are
# switched off, since the programs print their own.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(1 << 26))
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
# The driver compiles CNTK's kernels for newer cards. It caches them if they fit into this size.
os.environ.setdefault('CUDA_CACHE_MAXSIZE', str(1 << 32))


def processor():
    """The system's description of the processor, with instruction sets if it lists them."""
    try:
        with open('/proc/cpuinfo') as file:
            return file.read().split('\n\n')[0]
    except OSError:         # Windows: it stays, since CNTK has packages for it; it was not tried
        import ctypes
        import platform         # not above: slow, and Ctrl-C may come before the excepthook
        has_avx2 = ctypes.windll.kernel32.IsProcessorFeaturePresent(40)
        return platform.processor() + (' avx2 ' if has_avx2 else '')


def _choose_the_code_of_mkl():
    """Makes the MKL in CNTK use its AVX2 code on processors of every maker.

    With MKL's AVX-512 code, the rounding of a product of one row or column depends on its address
    in memory, so that no two runs are the same. The AVX2 code does not have this problem, and
    computes the same bits on processors of Intel and others. MKL_DEBUG_CPU_TYPE selects it; by
    itself MKL would not on other makers' processors. MKL_CBWR asks for results that do not depend
    on addresses. Without AVX2, only the code for all processors ('COMPATIBLE') gives such results.
    """
    has_avx2 = 'avx2' in processor().split()
    if has_avx2:
        os.environ.setdefault('MKL_DEBUG_CPU_TYPE', '5')
    os.environ.setdefault('MKL_CBWR', 'AVX2' if has_avx2 else 'COMPATIBLE')


def _choose_the_code_of_opencv():
    """Makes OpenCV use its AVX2 code also where it has AVX-512, which rounds `cv2.transform`, the
    variation of colours, differently. OpenCV complains if the processor has no AVX-512.
    """
    if {'avx512' + part for part in ('f', 'cd', 'bw', 'dq', 'vl')} <= set(processor().split()):
        os.environ.setdefault('OPENCV_CPU_DISABLE', 'AVX512-SKX')


_choose_the_code_of_mkl()
_choose_the_code_of_opencv()
