"""The parts that the programs are built of.

Loaded before any of them, so whatever is imported first: the environment variables that OpenCV,
MKL and CUDA read once, when they are loaded or first compute.
"""

import os
import platform

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
    except OSError:                                     # Windows
        import ctypes
        has_avx2 = ctypes.windll.kernel32.IsProcessorFeaturePresent(40)
        return platform.processor() + (' avx2 ' if has_avx2 else '')


def _use_what_the_processor_has():
    """Make the MKL in CNTK take its best code on processors that are not Intel's too.

    That MKL, of 2018, takes its slowest code there, unless this variable says otherwise: 5 for
    AVX2, 7 for AVX-512 as a server has it.
    """
    sets = processor().split()
    if 'GenuineIntel' not in sets and 'avx2' in sets:
        has_avx512 = {'avx512f', 'avx512bw', 'avx512dq', 'avx512vl'} <= set(sets)
        os.environ.setdefault('MKL_DEBUG_CPU_TYPE', '7' if has_avx512 else '5')


_use_what_the_processor_has()
