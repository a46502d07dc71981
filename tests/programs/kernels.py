"""Print what computes convolutions on a CPU."""

from wgan.machine.cntk import cpu_kernels
from wgan.machine.command_line import run

run(lambda: print(cpu_kernels()))
