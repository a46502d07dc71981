"""Fixtures that several tests use: small images, programs as a user calls them, a small run."""

import gc
import os
import shutil
import subprocess
import sys

from wgan import command_line
from helpers import ROOT, TINY, Result, write_images
import wgan_training

import cv2
import numpy as np
import pytest


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
def images(tmp_path):
    """A folder of ten small images, colours and shapes at random."""
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.RandomState(0)
    for i in range(10):
        image = np.full((40, 36, 3), rng.randint(0, 256, 3), np.uint8)
        cv2.circle(image, (18, 20), 12, rng.randint(0, 256, 3).tolist(), -1)
        cv2.imwrite(str(folder / ('%d.png' % i)), image)
    return folder


@pytest.fixture
def train(tmp_path, monkeypatch, capfd):
    """train('--data', …): a training in the folder of the test; its Result."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['wgan_training.py'] + [str(a) for a in arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            command_line.run(wgan_training.main)
        result = Result.__new__(Result)
        result.code = ended.value.code or 0
        result.out, result.err = capfd.readouterr()
        del ended
        gc.collect()                            # lets go of the lock
        return result
    return call


@pytest.fixture(scope='session')
def a_run(tmp_path_factory):
    """A folder with images and a run of three iterations on them, to be copied."""
    folder = tmp_path_factory.mktemp('a_run')
    write_images(folder / 'pics')
    argv, cwd = sys.argv, os.getcwd()
    sys.argv = ['wgan_training.py'] + [str(a) for a in [
        '--data', 'pics', '--out', 'run', '--iterations', 3] + TINY]
    os.chdir(str(folder))
    try:
        wgan_training.main()
    finally:
        sys.argv = argv
        os.chdir(cwd)
    gc.collect()
    return folder


@pytest.fixture
def run(a_run, tmp_path):
    """A copy of the run, beside its images."""
    for name in ('pics', 'run'):
        shutil.copytree(str(a_run / name), str(tmp_path / name))
    path = tmp_path / 'run' / 'config.json'
    path.write_text(path.read_text().replace(str(a_run), str(tmp_path)))
    return tmp_path / 'run'
