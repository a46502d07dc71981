"""Outputs that can't be written: full disks, formats that are too small, files in the way."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import ROOT, full_disk
from wgan.pictures.animation import check_animation, write_animation
from wgan.machine.command_line import UserError
from wgan.machine.disk import remove_left_behind, replacing
from wgan.datasets.images import check_image, write_image
from wgan.generators.latents import save_latents
from wgan.generators.evaluation import evaluate_in_training
import models
from wgan.generators import onnx_file as onnx_generator
import plot_losses

rng = np.random.RandomState(0)
NOISE = rng.randint(0, 256, (200, 200, 3)).astype(np.uint8)
LATENTS = rng.randn(64, 5).astype(np.float32)
FRAMES = [rng.randint(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(20)]


def write_plot(path):
    with open(os.path.join(os.path.dirname(path), '.losses.csv'), 'w') as file:
        file.write('step,G_loss,C_loss\n1,2,3\n2,3,4\n')
    plot_losses.plot([file.name], path)


def write_onnx(path):
    generator = models.generator(32, latent_size=5, width=2, seed=1)
    evaluate_in_training(generator, {generator.arguments[0]: LATENTS})
    onnx_generator.export(generator, path, {})


WRITERS = {'x.png': lambda path: write_image(path, NOISE),
           'x.bmp': lambda path: write_image(path, NOISE),
           'x.gif': lambda path: write_animation(path, FRAMES, 0.1),
           'x.mp4': lambda path: write_animation(path, FRAMES, 0.1),
           'z': lambda path: save_latents(path, np.zeros((64, 100), np.float32)),
           'l.png': write_plot, 'l.pdf': write_plot, 'l.svg': write_plot, 'l.jpg': write_plot,
           'x.onnx': write_onnx}


@pytest.mark.slow
@pytest.mark.parametrize('there', [False, True])
@pytest.mark.parametrize('name', sorted(WRITERS))
def test_full_disk(tmp_path, name, there):
    """The sentence names the file, the old one is kept, and nothing else stays."""
    path = tmp_path / name
    if there:
        path.write_text('mine')
    with full_disk(), pytest.raises((OSError, UserError)) as raised:
        WRITERS[name](str(path))
    error = raised.value
    named = str(error) if isinstance(error, UserError) else error.filename
    # CNTK writes to the folder for temporary files first.
    assert str(path) in named or (name == 'x.onnx' and named.endswith('generator.onnx'))
    assert [f for f in os.listdir(str(tmp_path)) if f != '.losses.csv'] == [name] * there
    assert not there or path.read_text() == 'mine'
    WRITERS[name](str(path))                                # with room, it is written
    assert path.stat().st_size > 8192


def test_formats_that_can_be_written(tmp_path):
    for suffix in ('.png', '.BMP', '.tif', '.ppm', '.sr', '.jpg', '.webp', '.dib', '.jpe'):
        path = str(tmp_path / ('x' + suffix))
        write_image(path, FRAMES[0])
        shown = cv2.imread(path)[:, :, ::-1]
        assert np.abs(shown.astype(int) - FRAMES[0]).mean() < (60 if suffix[1] in 'jw' else 1e-9)


@pytest.mark.parametrize('name, height, width, said', [
    ('x.pgm', 1, 1, 'x.pgm: images are written as .png'),
    ('x.pbm', 1, 1, 'x.pbm'), ('x.jp2', 1, 1, 'x.jp2'), ('x.exr', 1, 1, 'x.exr'),
    ('x.gif', 1, 1, 'x.gif'), ('x', 1, 1, 'not as ""'),
    ('x.jpg', 65501, 1, '1 × 65501 pixels; .jpg allows 65500'),
    ('x.webp', 1, 16384, '16384 × 1 pixels; .webp allows 16383'),
    ('x.png', 1, 1000001, '.png allows 1000000'),
    ('x.tif', (1 << 20) + 1, 1, '.tif allows 1048576'),
    ('x.png', 30000, 30000, 'more than 2 GiB'),
])
def test_images_that_a_format_can_not_hold(name, height, width, said):
    with pytest.raises(UserError) as raised:
        check_image(name, height, width)
    assert said in str(raised.value)


@pytest.mark.parametrize('name, sides', [
    ('x.jpg', (1, 65500)), ('x.webp', (16383, 1)), ('x.png', (2, 1000000)), ('x.tif', (1, 1 << 20)),
    ('x.bmp', (1 << 20, 1)), ('x.ppm', (1, 1 << 20)), ('x.sr', (1, 1 << 20))])
def test_the_limits_are_those_of_the_formats(tmp_path, name, sides):
    path = str(tmp_path / name)
    write_image(path, np.zeros(sides + (3,), np.uint8))
    assert cv2.imread(path).shape == sides + (3,)


@pytest.mark.parametrize('name, largest', [('x.gif', 65535), ('x.mp4', 8191)])
def test_the_limits_of_animations(tmp_path, name, largest):
    path = str(tmp_path / name)
    frames = [np.full((16, largest, 3), level, np.uint8) for level in (0, 99, 200)]
    write_animation(path, frames, 0.1)
    assert os.path.getsize(path)
    for sides in ((1, largest + 1), (largest + 1, 1)):
        with pytest.raises(UserError, match='%s allows %d' % (name[1:], largest)):
            check_animation(path, *sides)
    with pytest.raises(UserError, match='more than 2 GiB'):
        check_animation(path, 1000, 1000, frames=1000)
    with pytest.raises(UserError, match='written as .gif or .mp4'):
        check_animation('x.avi')


def test_a_gif_keeps_its_frames(tmp_path):
    write_animation(str(tmp_path / 'x.gif'), FRAMES, 0.1)
    assert Image.open(str(tmp_path / 'x.gif')).n_frames == len(FRAMES)


def test_latents_are_written_to_the_file_that_was_named(tmp_path):
    (tmp_path / 'z.npy').write_text('mine')
    save_latents(str(tmp_path / 'z'), np.ones((2, 3), np.float32))
    assert (np.load(str(tmp_path / 'z')) == 1).all() and (tmp_path / 'z.npy').read_text() == 'mine'


def test_a_librarys_own_sentence_gets_a_name(tmp_path):
    with pytest.raises(OSError) as raised:
        with replacing(str(tmp_path / 'a')):
            raise OSError('encoder error -2')
    assert raised.value.filename == str(tmp_path / 'a')
    assert raised.value.strerror == 'encoder error -2'


def test_only_what_a_killed_process_left_is_removed(tmp_path):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)                                    # a number that no process has now
    mine = ['.partial', 'x.partial', '.partial-x-1.png', '.partial-%d-1.png' % os.getpid()]
    for name in mine + ['.partial-%d-1.png' % child, '.partial-%d-12' % child]:
        (tmp_path / name).write_text('')
    remove_left_behind(str(tmp_path))
    assert sorted(os.listdir(str(tmp_path))) == sorted(mine)


@pytest.mark.slow
def test_statistics_on_a_full_disk(colours, command, tmp_path):
    """A library's own tracebacks are not heard either."""
    with full_disk(300):
        result = command('inception_score.py', 'three', '--inception', 'n.onnx', '--scale', 'raw',
                         '--splits', 2, '--save-statistics', 's.npz')
    assert 's.npz: File too large' in result.sentence and not (tmp_path / 's.npz').exists()


@pytest.mark.slow
@pytest.mark.parametrize('call, stdout, code, made', [
    ('plot_losses.py x.csv --out x.png', '> /dev/full', 0, 'x.png'),
    ('plot_losses.py x.csv --out x.png', '2>&1 | true', 0, 'x.png'),
    ('data/draw_faces.py --out faces --count 2', '> /dev/full 2> /dev/full', 0, 'faces/hair.txt'),
    ('data/make_names.py --out x.txt', '| true', 0, 'x.txt'),
    ('data/convert_inception.py --out x.onnx', '2> /dev/full', 2, 'x.csv'),     # without torch
    ('inception_score.py three --inception n.onnx --scale raw --splits 2 --json x.json',
     '> /dev/full', 2, 'x.json'),               # its table is the result
    ('inception_score.py three --inception n.onnx --scale raw --splits 2 --json x.json',
     '2> /dev/full | true', 141, 'x.json'),
])
def test_nobody_reads_what_is_said(colours, tmp_path, call, stdout, code, made):
    """A program makes its files; it fails only if its result is what nobody gets."""
    (tmp_path / 'x.csv').write_text('step,G_loss,C_loss\n1,2,3\n2,3,4\n')
    process = subprocess.run(
        ['bash', '-c', 'set -o pipefail; %s %s/%s %s' % (sys.executable, ROOT, call, stdout)],
        cwd=str(tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    assert process.returncode == code and (tmp_path / made).stat().st_size > 0
    assert b'Traceback' not in process.stderr and b'Exception' not in process.stderr
    assert (b'error: standard output: No space left' in process.stderr) == (
        code == 2 and stdout == '> /dev/full')
