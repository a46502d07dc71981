"""The Makefile: what each target calls, and what it leaves alone."""

import os
import shutil
import subprocess

import pytest

from helpers import ROOT


@pytest.fixture
def make(tmp_path):
    """make(TARGET, …) with a Python that only writes down what it was asked for."""
    shutil.copy(os.path.join(ROOT, 'Makefile'), str(tmp_path))
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$@" >>log\n'
                      'case "$*" in *faces.png*) mkdir -p runs/demo; echo >runs/demo/faces.png;;'
                      ' *draw_faces*) mkdir -p data/drawn; echo >data/drawn/face_001999.png;; esac')
    python.chmod(0o755)

    def call(*arguments):
        (tmp_path / 'log').write_text('')
        subprocess.check_call(['make', '-s', '-o', 'setup', 'PY=./python'] + list(arguments),
                              cwd=str(tmp_path), stdout=subprocess.DEVNULL)
        return [line.split()[0] for line in (tmp_path / 'log').read_text().splitlines()], (
            tmp_path / 'log').read_text()
    return call


def test_make_draws_what_it_trains_on(make):
    assert make('train')[0] == ['data/draw_faces.py', 'wgan_training.py']
    assert make('train')[0] == ['wgan_training.py']
    assert make('train', 'DATA=photographs')[0] == ['wgan_training.py']


def test_make_demo_makes_what_is_missing(make, tmp_path):
    called, log = make('demo')
    assert called == ['data/draw_faces.py', 'wgan_training.py', 'wgan_generate.py']
    assert '--overwrite' in log
    assert make('demo')[0] == []
    (tmp_path / 'runs' / 'demo' / 'checkpoints' / 'step_00001600').mkdir(parents=True)
    (tmp_path / 'runs' / 'demo' / 'faces.png').unlink()
    called, log = make('demo')                  # --resume of a complete run is success
    assert called == ['wgan_training.py', 'wgan_generate.py'] and '--resume' in log
