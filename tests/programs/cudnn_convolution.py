"""Have CNTK compute a convolution and its gradients on a card, and print what it asks of cuDNN 9
and cuBLAS, which are stand-ins: cudnn_convolution.py [--tf32] [--deterministic] [--none]

--none: cuDNN 9 has no algorithm. Three times for two samples, then for one; then a product.
"""

import ctypes
import sys

from wgan.machine import cudnn
from wgan.machine.cntk import C, libraries
from wgan.machine.command_line import run

import numpy as np


def main():
    cudnn.install(libraries(), tf32='--tf32' in sys.argv)
    loaded, _ = cudnn.KEPT[0]
    if '--none' in sys.argv:
        ctypes.c_int.in_dll(loaded.cudnn, 'stand_in_count').value = 0
    if '--deterministic' in sys.argv:
        C.cntk_py.force_deterministic_algorithms()
    C.device.try_set_default_device(C.device.gpu(0))
    x = C.input_variable((3, 8, 8), needs_gradient=True)
    kernel = C.parameter((4, 3, 3, 3), init=0.1)
    y = C.reduce_sum(C.convolution(kernel, x, strides=2, auto_padding=[False, True, True]))
    for count in (2, 2, 2, 1):
        y.grad({x: np.ones((count, 3, 8, 8), np.float32)}, wrt=[x, kernel])
    C.times(C.parameter((3, 4)), C.parameter((4, 5))).eval()
    for library in (loaded.cudnn, loaded.cublas):
        library.stand_in_said.restype = ctypes.c_char_p
        print(library.stand_in_said().decode())


run(main)
