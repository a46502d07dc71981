"""By how many MB a process grows that differentiates a chain of products: products.py KEPT

KEPT: needed or everything.
"""

import contextlib
import sys

from helpers import everything_kept, peak_memory
from wgan.machine.cntk import C, libraries

import numpy as np

libraries()
shape, count = (2 ** 20,), 4                                        # 16 MB for each value
x = C.input_variable(shape)
y = x * C.parameter(shape, init=1)
for _ in range(8):
    y = C.negate(y) * C.constant(0.9, shape)
loss = C.reduce_sum(y)
data = np.ones((count,) + shape, np.float32)
before = peak_memory()
with everything_kept() if sys.argv[1] == 'everything' else contextlib.suppress():
    gradient = loss.grad({x: data}, wrt=loss.parameters)
assert np.allclose(gradient, count * 0.9 ** 8)
print(peak_memory() - before)
