"""Fixtures: small images, programs as a user calls them, and small runs, made once and copied."""

import os
import shutil
import signal
import subprocess
import sys

from helpers import (
    ROOT, SMALL, TESTS, TINY, Result, call_program, finished, onnx_network, write_images,
    write_shapes)
from wgan.machine import cudnn, signals
from wgan.machine.cntk import cpu_kernels
from wgan.generators.evaluation import evaluate_in_training
from wgan.datasets.images import write_image
import models

import cv2
import numpy as np
import pytest

# Under nohup, and in the background of a shell, programs would ignore these.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
cpu_kernels()           # loads CNTK with them, before tests that import it themselves


@pytest.fixture(autouse=True)
def nothing_leaks():
    """Fail a test that changes the process for those that come after it."""
    def state():
        environment = {k: v for k, v in os.environ.items() if k != 'PYTEST_CURRENT_TEST'}
        return os.getcwd(), environment, [
            signal.getsignal(number) for number in signals.ENDING]

    before = state()
    yield
    assert state() == before


@pytest.fixture
def script(tmp_path, monkeypatch, capfd):
    """Call a program in this process, in the folder of the test; returns its Result.

    script('wgan_training.py', '--data', …)
    """
    monkeypatch.chdir(str(tmp_path))

    def call(name, *arguments):
        capfd.readouterr()
        code = call_program(name, *arguments)
        return Result(code, *capfd.readouterr())
    return call


@pytest.fixture
def train(script):
    """train('--data', …): the same for wgan_training.py."""
    def call(*arguments):
        return script('wgan_training.py', *arguments)
    return call


@pytest.fixture
def command(tmp_path):
    """Run a program as a user does, in a process of its own: command('plot_losses.py', …)."""
    def call(name, *arguments, **variables):
        return finished(subprocess.run(
            [sys.executable, os.path.join(ROOT, name)] + [str(a) for a in arguments],
            cwd=str(tmp_path), env=dict(os.environ, **variables), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    return call


@pytest.fixture
def images(tmp_path):
    """A folder of ten small images, colours and shapes at random."""
    return write_shapes(tmp_path / 'images')


def made_once(tmp_path_factory, name, make):
    """The folder that make(folder) was called for; it is the current one meanwhile."""
    folder, before = tmp_path_factory.mktemp(name), os.getcwd()
    os.chdir(str(folder))
    try:
        make(folder)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope='session')
def a_run(tmp_path_factory):
    """A folder with images and a run of three iterations on them, to be copied."""
    def make(folder):
        write_images(folder / 'pics')
        assert call_program('wgan_training.py', '--data', 'pics', '--out', 'run', '--iterations',
                            3, *TINY) == 0
    return made_once(tmp_path_factory, 'a_run', make)


@pytest.fixture
def run(a_run, tmp_path):
    """A copy of the run, beside its images."""
    for name in ('pics', 'run'):
        shutil.copytree(str(a_run / name), str(tmp_path / name))
    path = tmp_path / 'run' / 'config.json'
    path.write_text(path.read_text().replace(str(a_run), str(tmp_path)))
    return tmp_path / 'run'


@pytest.fixture(scope='session')
def eight_iterations(tmp_path_factory):
    """A folder with the images, with `whole`, an undisturbed run of eight iterations that has a
    checkpoint every second one, and with `half`, the same run stopped after four.
    """
    def make(folder):
        write_shapes(folder / 'images')
        for name, count in (('whole', 8), ('half', 4)):
            assert call_program('wgan_training.py', '--data', folder / 'images', '--out', name,
                                '--iterations', count, '--checkpoint-every', 2, *SMALL) == 0
    return made_once(tmp_path_factory, 'eight', make)


@pytest.fixture
def whole(eight_iterations):
    """To be compared with, not changed."""
    return eight_iterations / 'whole'


@pytest.fixture
def half(eight_iterations, tmp_path):
    return copied(eight_iterations / 'half', tmp_path)


@pytest.fixture(scope='session')
def generator_run(tmp_path_factory):
    """A folder with `run`: an untrained generator and critic, a CSV, and four sample grids."""
    def make(folder):
        run = folder / 'run'
        (run / 'samples').mkdir(parents=True)
        generator = models.generator(32, latent_size=5, width=2, seed=1)
        evaluate_in_training(generator, {
            generator.arguments[0]: np.random.RandomState(0).randn(64, 5).astype('f')})
        generator.save(str(run / 'wgan_generator.model'))
        models.critic(32, width=2).save(str(run / 'wgan_critic.model'))
        (run / 'wgan.csv').write_text('step,G_loss,C_loss,GP,wasserstein,grad_norm,seconds\n'
                                      '1,0.5,-1,0.01,1.1,1.05,0.2\n2,0.6,-2,0.02,2.2,1.1,0.2\n')
        (run / 'config.json').write_text('{"settings": {"seed": 3}}')
        for step in (5, 10, 15, 20):
            sheet = np.full((1000, 1000, 3), 10 * step, np.uint8)
            sheet[:, :, 0] = 255                                # a red hue, as RGB
            write_image(str(run / 'samples' / ('step_%06d.png' % step)), sheet)
    return made_once(tmp_path_factory, 'generator_run', make)


@pytest.fixture
def untrained(generator_run, tmp_path):
    """A copy of that run."""
    return copied(generator_run / 'run', tmp_path)


@pytest.fixture(scope='session')
def colour_sets(tmp_path_factory):
    """Folders: 30 images of one colour; ten each of red, green and blue, in turn; and n.onnx,
    a network that tells them apart.
    """
    def make(folder):
        for name, count in (('alike', 1), ('three', 3)):
            (folder / name).mkdir()
            for i in range(30):
                image = np.zeros((12, 12, 3), np.uint8)
                image[:, :, 2 - i % count] = 200
                cv2.imwrite(str(folder / name / ('%02d.png' % i)), image)
        onnx_network(folder / 'n.onnx')
    return made_once(tmp_path_factory, 'colours', make)


@pytest.fixture
def colours(colour_sets, tmp_path):
    """The folders, copied; the path of the network."""
    for name in ('alike', 'three', 'n.onnx'):
        copied(colour_sets / name, tmp_path)
    return str(tmp_path / 'n.onnx')


def copied(path, folder):
    copy = shutil.copytree if path.is_dir() else shutil.copy
    copy(str(path), str(folder / path.name))
    return folder / path.name


@pytest.fixture(scope='session')
def stand_ins(tmp_path_factory):
    """A folder with stand-ins for what there is only with a card: the driver's libraries, card.so
    for CUDA's runtime with a card, and in nvidia/ cuDNN 9 and cuBLAS 12.
    """
    if not shutil.which('cc'):
        pytest.skip('needs a C compiler, cc')
    folder = tmp_path_factory.mktemp('stand_ins')

    def build(name, *arguments):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.check_call(['cc', '-shared', '-fPIC', '-Wall', '-o', str(folder / name),
                               *map(str, arguments)], cwd=os.path.join(TESTS, 'programs'))

    for name in ('libcuda.so.1', 'libnvidia-ml.so.1'):
        build(name, '-Wl,-soname,' + name, 'no_driver.c')
    build('card.so', 'stand_in_card.c')
    for library, name in (('cudnn', 'libcudnn.so.9'), ('cublas', 'libcublas.so.12')):
        others = folder / (library + '.c')
        others.write_text('\n'.join(
            '__attribute__((weak)) int %s(void) { return 0; }' % function
            for function, what in cudnn.FUNCTIONS.items()
            if function.startswith(library) and what == cudnn.UNCHANGED))
        build('nvidia/%s/lib/%s' % (library, name), '-D' + library.upper(), 'stand_in_cudnn.c',
              others)
    (folder / 'empty.c').write_text('')
    build('nvidia/cublas/lib/libcublasLt.so.12', folder / 'empty.c')
    return folder
