"""Install cuDNN 9: a plugin for pytest, pytest -p programs.install_cudnn."""

from wgan import cudnn
from wgan.cntk import LIBRARIES

cudnn.install(LIBRARIES)
