"""The parts that the programs are built of.

Loaded before any of them, so whatever is imported first: the environment variables that OpenCV and
MKL read once, when they are loaded or first compute.
"""

import os
import platform

# OpenCV refuses larger images: at three bytes a pixel this is 200 MB. Its own messages are held
# back: the programs say what a user has to know.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(1 << 26))
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')


def _processor():
    """What the system says of the processor, with its instruction sets if it names them."""
    try:
        with open('/proc/cpuinfo') as file:
            return file.read().split('\n\n')[0]
    except OSError:                                     # Windows
        import ctypes
        has_avx2 = ctypes.windll.kernel32.IsProcessorFeaturePresent(40)
        return platform.processor() + (' avx2 ' if has_avx2 else '')


def _use_avx2_on_amd():
    """Make the MKL in CNTK take its code for AVX2 on AMD's processors too.

    That MKL, of 2018, takes its slowest code on processors that are not Intel's, unless this
    variable says otherwise: an iteration takes half again as long.
    """
    processor = _processor()
    if 'AuthenticAMD' in processor and ' avx2 ' in processor:
        os.environ.setdefault('MKL_DEBUG_CPU_TYPE', '5')


_use_avx2_on_amd()
