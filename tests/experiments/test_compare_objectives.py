"""Runs that compare_objectives.py takes over, or does not."""

import json
import os
import shutil
import signal
import sys
from unittest import mock
import threading

import pytest

from wgan.machine.command_line import UserError, run as run_script
from wgan.datasets.images import ImageSet
from wgan.machine.signals import Stop, Stopped

import compare_objectives

pytestmark = pytest.mark.slow          # a training for each test


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
    ('data', 'other', 'images are not those'), (None, None, 'is not known'),
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
        del config['data_sha256']
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
    monkeypatch.setattr(compare_objectives.subprocess, 'Popen',
                        lambda command, **_: trained.append(command) or mock.Mock(wait=lambda: 1))
    arguments = ['compare_objectives.py', '--data', 'pics', '--out', 'compare', '--width', '2']
    for more, code, count in ((['--iterations', '2'], 2, 1), (['--width', '3'], 2, 0)):
        del trained[:]
        monkeypatch.setattr(sys, 'argv', arguments + more)
        with pytest.raises(SystemExit) as ended:
            run_script(compare_objectives.main)
        assert ended.value.code == code and len(trained) == count
    assert 'compare/gan is another one' in capfd.readouterr().err


def test_a_signal_is_passed_on(tmp_path, monkeypatch):
    """The training ends by itself, and has time to save."""
    (tmp_path / 'wgan_training.py').write_text(
        'import os, signal, sys, time\n'
        'def save(*_): time.sleep(0.5); open(sys.argv[2] + "/saved", "w").close(); sys.exit(143)\n'
        'signal.signal(signal.SIGTERM, save)\n'
        'os.mkdir(sys.argv[2])\n'
        'time.sleep(60)\n')
    monkeypatch.setattr(compare_objectives, 'ROOT', str(tmp_path))

    def send():
        while not (tmp_path / 'run').exists():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=send).start()
    with pytest.raises(Stopped), Stop(at_once=True):
        compare_objectives.train(str(tmp_path / 'run'), [], 1)
    assert (tmp_path / 'run' / 'saved').exists()
