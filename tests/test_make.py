"""The Makefile: what each target calls, and what it leaves alone."""

import os
import re
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
                      'case "$*" in *runs/demo/faces.png*) echo >runs/demo/faces.png;;'
                      ' *runs/labels/faces.png*) echo >runs/labels/faces.png;;'
                      ' *draw_faces*) mkdir -p data/drawn; echo >data/drawn/face_001999.png;'
                      ' echo >data/drawn/hair.txt;; esac')
    for folder in ('demo', 'labels'):
        (tmp_path / 'runs' / folder).mkdir(parents=True)
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


def test_make_faces(make):
    called, log = make('faces')
    assert called == ['wgan_generate.py', 'wgan_walk.py', 'wgan_page.py']
    assert log.count('pretrained') == 3


def test_make_labels(make, tmp_path):
    """It draws what is missing, and measures each time."""
    called, log = make('labels')
    assert called == ['data/draw_faces.py', 'wgan_training.py', 'wgan_generate.py',
                      'experiments/label_accuracy.py']
    assert '--data data/drawn/hair.txt --labels map' in log
    assert make('labels')[0] == ['experiments/label_accuracy.py']
    (tmp_path / 'data' / 'drawn' / 'hair.txt').unlink()         # faces of an earlier version
    (tmp_path / 'runs' / 'labels' / 'faces.png').unlink()
    assert make('labels')[0][:2] == ['data/draw_faces.py', 'wgan_training.py']


def test_make_story(make, tmp_path):
    """All figures that are missing; ARGS are for the program that takes a network."""
    called, log = make('story', 'ARGS=--inception x.onnx')
    with open(os.path.join(ROOT, 'Makefile')) as file:
        programs = re.search('^story = (.*?)\n\n', file.read(), re.S | re.M).group(1)
    programs = programs.replace('\\', '').split()
    assert called == ['data/draw_faces.py'] + ['experiments/%s.py' % name for name in programs]
    assert all(os.path.exists(os.path.join(ROOT, path)) for path in called)
    assert log.count('--inception') == 1
    assert '--out runs/story/loss_and_quality.png --inception x.onnx' in log
    for name in programs[1:]:
        (tmp_path / 'runs' / 'story' / (name + '.png')).write_text('')
    assert make('story')[0] == ['experiments/parallel_lines.py']


def test_make_demo_makes_what_is_missing(make, tmp_path):
    called, log = make('demo')
    assert called == ['data/draw_faces.py', 'wgan_training.py', 'wgan_generate.py']
    assert '--overwrite' in log
    assert make('demo')[0] == []
    (tmp_path / 'runs' / 'demo' / 'checkpoints' / 'step_00001600').mkdir(parents=True)
    (tmp_path / 'runs' / 'demo' / 'faces.png').unlink()
    called, log = make('demo')                  # --resume of a complete run is success
    assert called == ['wgan_training.py', 'wgan_generate.py'] and '--resume' in log


def test_where_and_on_what(make):
    """OUT, DATA and ARGS reach the program; names may have spaces."""
    for target, program, out in (('train', 'wgan_training.py', 'runs/wgan'),
                                 ('compare', 'experiments/compare_objectives.py', 'runs/compare')):
        assert '%s --data data/drawn --out %s\n' % (program, out) in make(target)[1]
        assert make(target, 'DATA=my faces', 'OUT=a b', 'ARGS=--width 8')[1] == (
            '%s --data my faces --out a b --width 8\n' % program)


@pytest.mark.parametrize('arguments, unused', [
    (['demo', 'DATA=photographs'], 'DATA'), (['DATA=photographs'], 'DATA'),
    (['faces', 'OUT=x'], 'OUT'), (['labels', 'DATA=x'], 'DATA'), (['story', 'OUT=x'], 'OUT'),
    (['check', 'ARGS=-x'], 'ARGS'), (['train', 'DAAT=x'], 'DAAT')])
def test_variables_without_effect_are_refused(make, tmp_path, arguments, unused):
    result = subprocess.run(['make', '-s', '-o', 'setup', 'PY=./python'] + arguments,
                            cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = result.stderr.decode()
    assert result.returncode == 2 and 'does not use %s.' % unused in said
    assert 'make train DATA=photographs' in said
    assert make('setup', 'train', 'DATA=x', 'DEVICE=cpu')[0] == ['wgan_training.py']
