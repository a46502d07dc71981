"""Trainings inside the tests' process: what a user sees of them, without a new Python for each."""

import gc
import os
import shutil
import sys

import cv2
import numpy as np
import pytest

import command_line
import wgan_training
from conftest import Result

TINY = ['--image-size', 32, '--width', 2, '--latent-size', 3, '--batch-size', 4, '--n-critic', 1,
        '--sample-every', 1, '--checkpoint-every', 1]


def write_pictures(folder, count=8, seed=0):
    folder.mkdir()
    rng = np.random.RandomState(seed)
    for i in range(count):
        cv2.imwrite(str(folder / ('%d.png' % i)), rng.randint(0, 256, (32, 32, 3)).astype('u1'))
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


def tree(folder):
    """Everything in a folder: path → content, target of a link, or None for a folder."""
    found = {}
    for place, folders, files in os.walk(str(folder)):
        for path in [os.path.join(place, name) for name in folders + files]:
            name = os.path.relpath(path, str(folder))
            if os.path.islink(path):
                found[name] = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, 'rb') as file:
                    found[name] = file.read()
            else:
                found[name] = None
    return found


@pytest.fixture(scope='session')
def a_run(tmp_path_factory):
    """A folder with pictures and a run of three iterations on them, to be copied."""
    folder = tmp_path_factory.mktemp('a_run')
    write_pictures(folder / 'pics')
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
    """A copy of the run, beside its pictures."""
    for name in ('pics', 'run'):
        shutil.copytree(str(a_run / name), str(tmp_path / name))
    path = tmp_path / 'run' / 'config.json'
    path.write_text(path.read_text().replace(str(a_run), str(tmp_path)))
    return tmp_path / 'run'
