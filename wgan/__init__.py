"""The parts that the programs are built of.

Loaded before any of them, so whatever is imported first: the environment variables that OpenCV,
MKL and CUDA read once, when they are loaded or first compute; and what ends a program that can't be
imported. Nothing else happens at an import: `run` starts the rest.
"""

import os
import platform
import sys

from wgan.machine.terminal import end_while_importing

__version__ = '1.0.0'                   # CITATION.cff and CHANGELOG.md have it too

# OpenCV refuses larger images: at three bytes a pixel this is 200 MB. Its own messages are held
# back: the programs say what a user has to know.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(1 << 26))
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
# What the driver compiles for a card that CNTK has no code for, it keeps if this has room for it.
os.environ.setdefault('CUDA_CACHE_MAXSIZE', str(1 << 32))


def processor():
    """What the system says of the processor, with its instruction sets if it names them."""
    try:
        with open('/proc/cpuinfo') as file:
            return file.read().split('\n\n')[0]
    except OSError:         # Windows: it stays, since CNTK has packages for it; it was not tried
        import ctypes
        has_avx2 = ctypes.windll.kernel32.IsProcessorFeaturePresent(40)
        return platform.processor() + (' avx2 ' if has_avx2 else '')


def _choose_the_code_of_mkl():
    """Make the MKL in CNTK run its code for AVX2 on every make of processor.

    That MKL, of 2018, has several codes for a matrix product. The one for AVX-512 rounds a product
    of one row or column differently by where in memory it lies, so that no two runs are the same.
    The one for AVX2 does not, and computes the same bits on an Intel processor and on others. The
    first variable chooses it, which MKL would not on processors that are not Intel's. The second
    asks for results that do not depend on addresses, which MKL promises on Intel processors only.
    Without AVX2, only its code for all processors ('COMPATIBLE') gives such results.
    """
    has_avx2 = 'avx2' in processor().split()
    if has_avx2:
        os.environ.setdefault('MKL_DEBUG_CPU_TYPE', '5')
    os.environ.setdefault('MKL_CBWR', 'AVX2' if has_avx2 else 'COMPATIBLE')


_choose_the_code_of_mkl()
sys.excepthook = end_while_importing
