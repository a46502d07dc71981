"""Lets the tests import the scripts, wherever pytest is started, and run them as a user does."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import quiet_cntk  # noqa: E402, F401  before anything imports CNTK


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out, self.err = process.stdout.decode(), process.stderr.decode()

    @property
    def sentence(self):
        """The error sentence; fails unless that is how the script ended."""
        assert self.code == 2, (self.code, self.err)
        assert 'Traceback' not in self.err and '[CALL STACK]' not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith('error: ')]
        assert len(lines) == 1 and self.err.endswith(lines[0] + '\n'), self.err
        return lines[0]


@pytest.fixture
def script(tmp_path):
    """Run a script of the project in an empty folder: script('wgan_training.py', '--data', …)."""
    def call(name, *arguments):
        return Result(subprocess.run(
            [sys.executable, os.path.join(ROOT, name)] + [str(a) for a in arguments],
            cwd=str(tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE))
    return call


@pytest.fixture
def pictures(tmp_path):
    """A folder of ten small pictures, colours and shapes at random."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    rng = np.random.RandomState(0)
    for i in range(10):
        picture = np.full((40, 36, 3), rng.randint(0, 256, 3), np.uint8)
        cv2.circle(picture, (18, 20), 12, rng.randint(0, 256, 3).tolist(), -1)
        cv2.imwrite(str(folder / ('%d.png' % i)), picture)
    return folder
