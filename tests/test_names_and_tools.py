"""Runs in folders of any name, `make`, and runs that compare_objectives.py takes over."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT, TINY
from wgan.command_line import UserError, run as run_script
from wgan.images import ImageSet
from wgan.objectives import OBJECTIVES

import compare_objectives

ODD = os.fsdecode(b'sp ace\nl\xe9 \xc3\xa9')


def test_any_name_under_any_locale(a_run, train, tmp_path):
    """Begun under one locale and resumed under another; CNTK can't open such names itself."""
    shutil.copytree(str(a_run / 'pics'), str(tmp_path / ODD))
    begun = train('--data', ODD, '--out', 'run ' + ODD, '--iterations', 2, *TINY)
    assert begun.code == 0, begun.err
    environment = dict(os.environ, LC_ALL='C', PYTHONPATH=ROOT)
    for arguments in (['--iterations', '3'], []):
        process = subprocess.run(
            [sys.executable, os.path.join(ROOT, 'wgan_training.py'), '--resume', '--out',
             'run ' + ODD] + arguments, cwd=str(tmp_path), env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.returncode == 0, process.stderr
    assert b'complete' in process.stdout
    names = os.listdir('run ' + ODD)
    assert 'training.gif' in names and 'wgan_critic.model' in names
    assert not [name for name in names if name.endswith('.kept')]
    refused = train('--data', ODD, '--out', 'run ' + ODD, '--iterations', 2, *TINY)
    assert 'holds a run already' in refused.sentence


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


@pytest.fixture
def compared(a_run, train, tmp_path):
    """A finished run as the comparison would train it, and its options."""
    shutil.copytree(str(a_run / 'pics'), str(tmp_path / 'pics'))
    for i in range(8):                          # minibatches of 16
        shutil.copy('pics/%d.png' % i, 'pics/1%d.png' % i)
    folder = os.path.join('compare', 'gan')
    assert train('--objective', 'gan', '--data', 'pics', '--image-size', 32, '--width', 2,
                 '--ema', 0,
                 '--iterations', 1, '--out', folder).code == 0
    parser = compare_objectives.Parser()
    for name in ('image_size', 'width', 'iterations'):
        parser.add_argument('--' + name, type=int)
    parser.add_argument('--data')
    return folder, parser.parse_args('--image_size 32 --width 2 --iterations 1 --data pics'.split())


@pytest.mark.parametrize('name, value, said', [
    ('width', 4, '--width is 2, not 4'), ('image_size', 64, '--image-size is 32, not 64'),
    ('data', 'other', 'images are not those'), (None, None, 'earlier version'),
    ('settings', None, 'learning-rate is 0.5'), ('changes', None, 'changed on the way')])
def test_other_runs_are_not_taken_for_those_to_compare(compared, tmp_path, name, value, said):
    folder, options = compared
    arguments = compare_objectives.arguments_of('gan', options)
    digest = ImageSet('pics', 32).digest
    compare_objectives.check_run(folder, arguments, digest)             # this one is
    shutil.copytree('pics', 'other')
    os.remove(os.path.join('other', '3.png'))
    path = tmp_path / folder / 'config.json'
    config = json.loads(path.read_text())
    if name is None:
        del config['images_sha256']
    elif name == 'settings':
        config['settings']['learning_rate'] = 0.5
    elif name == 'changes':
        config['changes'] = [{'setting': 'n_critic', 'from': 2, 'to': 1, 'step': 3}]
    else:
        setattr(options, name, value)
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match='another one than was asked for.*' + said):
        compare_objectives.check_run(folder, compare_objectives.arguments_of('gan', options),
                                     ImageSet(options.data, options.image_size).digest)


def test_nothing_is_trained_if_one_run_is_another(compared, monkeypatch, capfd):
    trained = []
    monkeypatch.setattr(compare_objectives.subprocess, 'call', lambda c: trained.append(c) or 1)
    arguments = ['compare_objectives.py', '--data', 'pics', '--out', 'compare', '--width', '2']
    for more, code, count in ((['--iterations', '2'], 2, 1), (['--width', '3'], 2, 0)):
        del trained[:]
        monkeypatch.setattr(sys, 'argv', arguments + more)
        with pytest.raises(SystemExit) as ended:
            run_script(compare_objectives.main)
        assert ended.value.code == code and len(trained) == count
    assert 'compare/gan is another one' in capfd.readouterr().err
    assert len(OBJECTIVES) == 4
