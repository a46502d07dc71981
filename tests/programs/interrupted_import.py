"""Ctrl-C while a program still imports, before it has come to `run`."""

import os
import signal
import time

from wgan.machine import command_line  # noqa: F401

os.kill(os.getpid(), signal.SIGINT)
time.sleep(10)
