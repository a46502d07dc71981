"""Install cuDNN 9: a plugin for pytest, pytest -p programs.install_cudnn."""

from wgan.machine import cudnn
from wgan.machine.cntk import libraries

cudnn.install(libraries())
