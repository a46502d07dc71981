"""What several tests use. Fixtures are in conftest.py."""

import contextlib
import ctypes
import importlib
import io
import os
import re
import resource
import signal
import subprocess
import sys
import time

from wgan.machine import memory, signals
from wgan.machine.command_line import run
from wgan.machine.cntk import C
from wgan.machine.slots import address_of
from wgan.datasets.images import to_images
from wgan.datasets.labels import Labels
from wgan.training.layers import SPECTRAL_NORM
from wgan.training.options import parse
from wgan.generators.evaluation import generate
from wgan.runs.folder import RunFolder
import wgan_training

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pandas as pd
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TESTS = os.path.join(ROOT, 'tests')
TRAINING = os.path.join(ROOT, 'wgan_training.py')
SMALL = ['--image-size', 32, '--width', 2, '--latent-size', 5, '--batch-size', 4, '--n-critic', 2]
TINY = ['--image-size', 32, '--width', 2, '--latent-size', 3, '--batch-size', 4, '--n-critic', 1,
        '--sample-every', 1, '--checkpoint-every', 1]


# Memory

@contextlib.contextmanager
def everything_kept():
    """CNTK's own answer: products need both operands for backpropagation."""
    (function, slots), = memory.KEPT
    always = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_size_t, ctypes.c_size_t)(lambda *_: True)
    for slot in slots:
        slot.value = address_of(always)
    try:
        yield
    finally:
        for slot in slots:
            slot.value = address_of(function)


def peak_memory():
    """The most memory that this process has had so far, in MB."""
    with open('/proc/self/status') as file:             # getrusage also counts the parent's
        return int(re.search(r'VmHWM:\s+([0-9]+) kB', file.read()).group(1)) / 1024


# Images of generators

def read_rgb(path):
    """An image file as RGB."""
    return cv2.imread(str(path))[:, :, ::-1]


def latents_of(seed, count):
    """Latents for the run `untrained`."""
    return np.random.RandomState(seed).standard_normal((count, 5)).astype(np.float32)


def expected_images(run, latents):
    """What the generator of a run makes of latents, as images."""
    generator = C.Function.load(str(run / 'wgan_generator.model'))
    return to_images(generate(generator, latents, len(latents)))


# Programs

class Result:
    """How a program ended: `code`, and what it wrote, `out` and `err`."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def sentence(self):
        """The error sentence; fails unless that is how the script ended."""
        assert self.code == 2, (self.code, self.err)
        assert 'Traceback' not in self.err and '[CALL STACK]' not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith('error: ')]
        assert len(lines) == 1 and self.err.endswith(lines[0] + '\n'), self.err
        return lines[0]


def call_program(name, *arguments):
    """The exit code of a program of the project, called in this process; it leaves no trace."""
    module = importlib.import_module(os.path.splitext(os.path.basename(name))[0])
    before = sys.argv, sys.stdin
    sys.argv = [name] + [str(a) for a in arguments]
    try:
        with open(os.devnull) as sys.stdin, run_folders_unlocked():
            return _exit_code(module.main)
    finally:
        sys.argv, sys.stdin = before


@contextlib.contextmanager
def run_folders_unlocked():
    """Let go of what is locked meanwhile, as the system does when a process ends."""
    lock, folders = RunFolder.lock, []

    def noted_lock(self, make=False):
        lock(self, make)
        folders.append(self)
    RunFolder.lock = noted_lock
    try:
        yield
    finally:
        RunFolder.lock = lock
        for folder in folders:
            if folder.lock_file:
                folder.lock_file.release()


def _exit_code(main):
    try:
        run(main)
    except SystemExit as end:
        return end.code or 0


def run_test_program(name, *arguments, without=(), **variables):
    """The Result of one of tests/programs in a process of its own.

    without: environment variables that it does not get. variables: some that it does.
    """
    environment = {k: v for k, v in os.environ.items() if k not in without}
    environment.update(variables)
    environment.update(PYTHONPATH=os.pathsep.join(filter(None, [
        environment.get('PYTHONPATH'), ROOT, TESTS, os.path.join(ROOT, 'bench')])))
    return finished(subprocess.run(
        [sys.executable, os.path.join(TESTS, 'programs', name)] + [str(a) for a in arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE))


def count_interrupted(compute, wanted, moments):
    """Calls compute(start) for each moment, with a signal that comes so many seconds after it has
    called start(). Each result is `wanted`. Returns how many of the signals were raised: in it, in
    an error that CNTK makes of one, or after it.
    """
    def start():
        signal.setitimer(signal.ITIMER_REAL, moment)

    raised, handler = 0, signal.signal(signal.SIGALRM, signals.raise_stopped)
    try:
        for moment in moments:
            try:
                assert (compute(start) == wanted).all()
                for _ in range(10 ** 7):                # until it is raised
                    pass
            except KeyboardInterrupt:
                raised += 1
            except Exception as error:          # what CNTK makes of it, in a call of its own
                assert signals.Stopped in map(type, _causes(error))
                raised += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    return raised


def _causes(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def finished(process):
    """The Result of a process that was started with pipes."""
    if isinstance(process, subprocess.Popen):
        out, err = process.communicate(timeout=120)
    else:
        out, err = process.stdout, process.stderr
    return Result(process.returncode, out.decode(), err.decode())


def start_training(folder, *arguments):
    """A training under way in a process of its own."""
    return subprocess.Popen([sys.executable, TRAINING] + [str(a) for a in arguments],
                            cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(condition, process):
    """Return when the condition holds; fails if the process ends before, or a minute passes."""
    begin = time.time()
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.time() - begin < 60
        time.sleep(0.02)


# Runs

def rows(run):
    """How many rows of losses a run has by now."""
    try:
        return max(0, (run / 'wgan.csv').read_text().count('\n') - 1)
    except FileNotFoundError:
        return 0


def losses(run):
    return pd.read_csv(str(run / 'wgan.csv'))


def weights(path):
    """All parameters and constants (running statistics too) of a model file, in its order."""
    model = C.Function.load(str(path))
    return [p.value for p in list(model.parameters) + list(model.constants)]


def assert_same_run(a, b):
    pd.testing.assert_frame_equal(losses(a).drop(columns='seconds'),
                                  losses(b).drop(columns='seconds'), check_exact=True)
    for name in ('wgan_generator.model', 'wgan_generator_average.model', 'wgan_critic.model'):
        for x, y in zip(weights(a / name), weights(b / name)):
            assert x.shape == y.shape and (x == y).all(), name


def assert_resume_is_exact(train, tmp_path, *start):
    """Five iterations at a stretch, and two and the rest: the same run, and finite."""
    for name, iterations in (('whole', 5), ('parts', 2)):
        assert train('--out', name, '--iterations', iterations, *start).code == 0
    assert train('--out', 'parts', '--iterations', 5, '--resume').code == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts')
    assert np.isfinite(losses(tmp_path / 'parts').values).all()


def make_updates(objective, *arguments, batch_size=4, labels=Labels([], [])):
    """Updates of small networks, as wgan_training.py makes them of its command line."""
    options = parse(['--objective', objective, '--image-size', '32', '--width', '2',
                     '--batch-size', str(batch_size)] + list(arguments))
    options.channels = options.channels or 3                # else the images decide
    domain = wgan_training.make_domain(options)
    domain.labels = labels
    return wgan_training.make_updates(options, np.random.RandomState(0), domain)


def family():
    """What tests/make_family_reference.py computed with PyTorch."""
    with np.load(os.path.join(TESTS, 'family.npz'), allow_pickle=False) as saved:
        return dict(saved)


def augmentation_feed(augmentation, reference, name):
    """The inputs of an Augmentation of 32 × 32, as the reference has drawn them; or {}."""
    if not augmentation.draws:
        return {}
    drawn = {key: reference['%s %s' % (name, key)] for key in (
        'brightness', 'saturation', 'contrast', 'moved', 'centre')}
    corner = 4 - drawn.pop('moved')[:, None, ::-1]              # of the window, (column, row)
    drawn['window'] = np.concatenate([corner, corner + 31], axis=2).astype(float)
    drawn['mask'] = np.ones((len(corner), 3, 32, 32))
    for mask, (row, column) in zip(drawn['mask'], drawn.pop('centre')):
        mask[:, max(row - 8, 0):row + 8, max(column - 8, 0):column + 8] = 0
    return {variable: drawn[variable.name] for variable in augmentation.draws}


def singular_vectors(critic):
    """[(weights, u, v)] of all weights that are spectrally normalised."""
    def same(variable):
        return next(x for x in list(critic.parameters) + list(critic.constants) if x == variable)
    found = []
    for norm in critic.find_all_with_name(SPECTRAL_NORM):
        u, matrix = norm.inputs[0].owner.inputs
        found.append((same(matrix.owner.inputs[0]), same(u), same(norm.inputs[1])))
    return found


def spectral_norms(critic):
    """[(σ, the largest singular value)] of the same weights."""
    matrices = [(w.value.reshape(u.shape[1], -1), u, v) for w, u, v in singular_vectors(critic)]
    return [((u.value @ matrix @ v.value).item(), np.linalg.svd(matrix, compute_uv=False)[0])
            for matrix, u, v in matrices]


# Files

@contextlib.contextmanager
def full_disk(size=8192):
    """No file may grow beyond so many bytes: the system then refuses, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_images(folder, count=8, seed=0):
    """Noise of 32 × 32."""
    folder.mkdir()
    rng = np.random.RandomState(seed)
    for i in range(count):
        cv2.imwrite(str(folder / ('%d.png' % i)), rng.randint(0, 256, (32, 32, 3)).astype('u1'))
    return folder


def write_shapes(folder):
    """Ten small images, colours and shapes at random."""
    folder.mkdir()
    rng = np.random.RandomState(0)
    for i in range(10):
        image = np.full((40, 36, 3), rng.randint(0, 256, 3), np.uint8)
        cv2.circle(image, (18, 20), 12, rng.randint(0, 256, 3).tolist(), -1)
        cv2.imwrite(str(folder / ('%d.png' % i)), image)
    return folder


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


def image_file(image, kind, mode='RGB', orientation=None, **options):
    """The content of a file that Pillow writes; half of it is transparent if mode has alpha."""
    drawing = Image.fromarray(image)
    if mode in ('RGBA', 'LA'):
        drawing.putalpha(Image.fromarray(np.uint8([[128]]).repeat(image.shape[0], 0).repeat(
            image.shape[1], 1)))
    drawing = drawing.quantize(16) if mode == 'P' else drawing.convert(mode)
    if orientation and kind == 'TIFF':
        options['tiffinfo'] = {0x112: orientation}
    elif orientation:
        options['exif'] = Image.Exif()
        options['exif'][0x112] = orientation
    file = io.BytesIO()
    drawing.save(file, kind, **options)
    return file.getvalue()


# Networks that score images

SHARP = 0.5 * np.eye(3, dtype=np.float32)               # logits of ±64 apart: one-hot


def onnx_network(path, batch='batch', opset=9, names=('pool', 'logits'), size=(8, 8), sharp=SHARP,
                 **metadata):
    """Mean colour as features; the same, sharpened, as logits of three classes.

    batch: 1 makes a network that takes one image, and can't take more. opset: from 11 on, with
    an operation that CNTK does not know.
    """
    def info(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch,) + shape)

    flatten = (helper.make_node('Reshape', ['mean', 'one'], [names[0]]) if batch == 1
               else helper.make_node('Flatten', ['mean'], [names[0]], axis=1))
    first = 'Identity' if opset < 11 else 'Round'
    graph = helper.make_graph(
        [helper.make_node(first, ['image'], ['same']),
         helper.make_node('GlobalAveragePool', ['same'], ['mean']), flatten,
         helper.make_node('MatMul', [names[0], 'W'], [names[1]])], 'network',
        [info('image', 3, *size)], [info(names[0], 3), info(names[1], 3)],
        [numpy_helper.from_array(sharp, 'W'), numpy_helper.from_array(np.array([1, 3]), 'one')])
    model = helper.make_model(graph, opset_imports=[helper.make_operatorsetid('', opset)])
    model.ir_version = 4
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return str(path)


def cntk_network(path):
    """The same as a CNTK model."""
    x = C.input_variable((3, 8, 8))
    pool = C.reduce_mean(x, axis=(1, 2), keepdims=False)
    C.combine([C.alias(pool, name='pool'), C.alias(C.times(pool, SHARP), name='logits')]).save(
        str(path))
    return str(path)
