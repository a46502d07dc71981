"""Install cuDNN 9: a plugin for pytest, pytest -p programs.install_cudnn.

What Ctrl-C does stays as it was without it: test_onednn.py asks for that.
"""

import signal

from wgan import cudnn
from wgan.cntk import LIBRARIES

interrupt = signal.getsignal(signal.SIGINT)
cudnn.install(LIBRARIES)
signal.signal(signal.SIGINT, interrupt)
