"""How many threads the process has after matrix products, and after convolutions as well."""

import os

from wgan.machine.cntk import C
from wgan.machine.device import select_device

import numpy as np


def threads():
    return len(os.listdir('/proc/self/task'))


select_device('cpu')
a = C.input_variable((400, 400))
C.times(a, C.parameter((400, 400), init=1)).eval({a: np.ones((4, 400, 400), np.float32)})
products = threads()
x = C.input_variable((32, 64, 64))
y = C.convolution(C.parameter((32, 32, 3, 3), init=1), x, auto_padding=[False, True, True])
y.eval({x: np.ones((8, 32, 64, 64), np.float32)})
print(products, threads())
