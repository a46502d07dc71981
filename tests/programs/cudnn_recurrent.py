"""Have CNTK compute a recurrent network of cuDNN where cuDNN 9 is installed."""

from wgan.machine import cudnn
from wgan.machine.cntk import C, libraries
from wgan.machine.command_line import run

import numpy as np


def main():
    cudnn.install(libraries())
    C.device.try_set_default_device(C.device.gpu(0))
    x = C.sequence.input_variable(4)
    network = C.optimized_rnnstack(x, C.parameter((C.InferredDimension, 4)), 5, 1)
    network.eval({x: np.ones((1, 3, 4), np.float32)})


run(main)
