"""wgan_walk.py: strips, loops and lines on the way from one latent to the next."""

import json
import os

import cv2
import numpy as np
from PIL import Image
import pytest

from helpers import expected_images, latents_of, read_rgb
import models
from wgan.datasets.images import to_images
from wgan.datasets.labels import one_hot
from wgan.generators.directions import directions
from wgan.generators.evaluation import (
    evaluate_in_training, generate, label_input, latent_input)
from wgan.generators.files import Generator
from wgan.generators.latents import walk
from wgan.machine.cntk import C


def test_walk():
    """Spherical: the angle grows evenly, the length does not dip. Closed: no stop, no repeat."""
    a, b = np.float32([[3, 0, 0], [0, 3, 0]])
    leg, = walk(np.stack([a, b]), 5, linear=False, closed=False)
    np.testing.assert_allclose(np.linalg.norm(leg, axis=1), 3, rtol=1e-6)
    angles = np.degrees(np.arctan2(leg[:, 1], leg[:, 0]))
    np.testing.assert_allclose(angles, [0, 22.5, 45, 67.5, 90], atol=1e-4)
    leg, = walk(np.stack([a, b]), 3, linear=True, closed=False)
    np.testing.assert_allclose(leg[1], [1.5, 1.5, 0])
    leg, = walk(np.stack([a, -a]), 3, linear=False, closed=False)    # opposite: no sphere to take
    assert np.isfinite(leg).all()

    loop = walk(np.random.RandomState(0).randn(4, 100).astype('f'), 6, linear=False, closed=True)
    assert loop.shape == (4, 6, 100)
    path = loop.reshape(24, 100)
    jumps = np.linalg.norm(np.roll(path, -1, axis=0) - path, axis=1).reshape(4, 6)
    assert (jumps > 0).all() and jumps.max() < 1.5 * jumps.min()


def test_interpolation_strip_and_loop(script, untrained, tmp_path):
    common = ['--count', 3, '--steps', 4, '--seed', 2]
    assert script('wgan_walk.py', untrained, '--out', 'strip.png', *common).code == 0
    strip, ends = read_rgb(tmp_path / 'strip.png'), expected_images(untrained, latents_of(2, 3))
    assert strip.shape == (2 * 32, 4 * 32, 3)
    assert np.abs(strip[:32, :32].astype(int) - ends[0]).max() <= 1
    assert np.abs(strip[:32, -32:].astype(int) - ends[1]).max() <= 1
    assert np.abs(strip[32:, -32:].astype(int) - ends[2]).max() <= 1

    assert script('wgan_walk.py', untrained, '--out', 'loop.gif', '--scale', 2, *common).code == 0
    loop = Image.open(str(tmp_path / 'loop.gif'))
    assert loop.size == (64, 64) and loop.info['loop'] == 0 and loop.n_frames == 12
    first = np.asarray(loop.convert('RGB'))[::2, ::2].astype(int)
    assert np.abs(first - ends[0]).mean() < 8                   # 256 colours, not all

    assert script('wgan_walk.py', untrained, '--out', 'loop.mp4', '--scale', 2, *common).code == 0
    video = cv2.VideoCapture(str(tmp_path / 'loop.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 12 and video.read()[1].shape == (64, 64, 3)


@pytest.mark.parametrize('arguments, said', [
    (['--out', 'x.jpg', '--count', 2, '--steps', 3000], '.jpg allows'),
    (['--out', 'x.gif', '--count', 2, '--scale', 2048], '.gif allows 65535'),
    (['--out', 'x.mp4', '--count', 2, '--scale', 256], '.mp4 allows 8191'),
    (['--out', 'x.gif', '--count', 2, '--steps', 2147483647], 'more than 2 GiB'),
    (['--out', 'x.gif', '--latents', 'seven', '--count', 2], '--count is 2, but seven holds 7'),
    (['--out', 'x.png', '--latents', 'one'], 'one holds one latent; a walk needs two or more'),
    (['--out', 'x.png', '--count', 1], '--count: 1 is out of range: it must be at least 2'),
    (['--out', '/proc/x.gif'], '/proc/x.gif'), (['--out', '/proc/x.mp4'], '/proc/x.mp4'),
    (['--out', 'x.pgm'], 'x.pgm: images are written as'), (['--out', 'x'], 'not as ""'),
    (['--out', 'x.txt'], 'run/wgan_generator.model is a generator of images'),
    (['--out', 'x.txt', '--scale', 2], '--scale is for images'),
    (['--out', 'x.png', '--label', 'a'], 'run was trained without labels'),
    (['--out', 'seven'], 'not as ""'), ([], '--out'),
])
def test_before_the_work(script, untrained, tmp_path, arguments, said):
    for name, count in (('seven', 7), ('one', 1)):
        with open(str(tmp_path / name), 'wb') as file:
            np.save(file, np.ones((count, 5)))
    assert said in script('wgan_walk.py', 'run', *arguments).sentence
    assert sorted(os.listdir(str(tmp_path))) == ['one', 'run', 'seven']


def test_given_latents_decide_how_many_there_are(script, untrained, tmp_path):
    np.save(str(tmp_path / 'z.npy'), latents_of(2, 3))
    for more in (['--count', 3, '--seed', 2], ['--latents', 'z.npy']):
        assert script('wgan_walk.py', 'run', '--out', 'x.png', '--steps', 2, '--save-latents',
                      's.npy', '--force', *more).code == 0
        assert read_rgb(tmp_path / 'x.png').shape == (2 * 32, 2 * 32, 3)
        assert (np.load(str(tmp_path / 's.npy')) == latents_of(2, 3)).all()
    assert script('wgan_walk.py', 'run', '--out', 'n.png', '--steps', 2).code == 0
    assert read_rgb(tmp_path / 'n.png').shape == (5 * 32, 2 * 32, 3)


# Directions

def tiles(sheet, columns, side):
    """The images of a strip with names beside its rows: (rows, columns, side, side, 3)."""
    sheet = sheet[:, -columns * side:]
    return sheet.reshape(-1, side, columns, side, 3).swapaxes(1, 2)


def test_directions(script, untrained, tmp_path):
    assert script('wgan_walk.py', 'run', '--out', 'x.png', '--directions', 2, '--count', 3,
                  '--steps', 5).code == 0
    rows = tiles(read_rgb(tmp_path / 'x.png'), 5, 32)
    assert len(rows) == 2 * 3
    latents = np.random.RandomState(0).standard_normal((3, 5)).astype('f')
    vectors = directions(Generator(str(untrained)).network, 2)
    for i, row in enumerate(rows):                      # a direction has its rows together
        way = latents[i % 3] + np.linspace(-3, 3, 5)[:, None] * vectors[i // 3]
        assert np.abs(row.astype(int) - expected_images(untrained, way.astype('f'))).max() <= 1


@pytest.fixture
def labelled(tmp_path):
    """A run with the labels a, b and c: its generator."""
    network = models.generator(32, latent_size=5, width=2, seed=1, labels=3)
    evaluate_in_training(network, {latent_input(network): latents_of(0, 60),
                                   label_input(network): one_hot([0, 1, 2] * 20, 3)})
    (tmp_path / 'kinds').mkdir()
    network.save(str(tmp_path / 'kinds' / 'wgan_generator.model'))
    (tmp_path / 'kinds' / 'config.json').write_text(json.dumps({
        'settings': {}, 'labels': {'names': ['a', 'b', 'c'], 'counts': [1, 1, 1]}}))
    return network


@pytest.mark.parametrize('more, pairs', [([], [(0, 1), (1, 2)]), (['--label', 'c,a'], [(2, 0)])])
def test_directions_of_labels(script, labelled, tmp_path, more, pairs):
    """From each label to the next, with the same latent; and from 0 directions none of latents."""
    assert script('wgan_walk.py', 'kinds', '--out', 'x.png', '--directions', 0, '--count', 2,
                  '--steps', 3, *more).code == 0
    rows = tiles(read_rgb(tmp_path / 'x.png'), 3, 32)
    assert len(rows) == 2 * len(pairs)
    latents = np.random.RandomState(0).standard_normal((2, 5)).astype('f')
    for i, row in enumerate(rows):
        start, end = one_hot(pairs[i // 2], 3)
        labels = np.float32([start, (start + end) / 2, end])
        expected = to_images(generate(labelled, latents[[i % 2] * 3], 3, labels))
        assert np.abs(row.astype(int) - expected).max() <= 1


def test_directions_keep_the_label(script, labelled, tmp_path):
    assert script('wgan_walk.py', 'kinds', '--out', 'x.png', '--directions', 1, '--count', 2,
                  '--steps', 3, '--label', 'b').code == 0
    rows = tiles(read_rgb(tmp_path / 'x.png'), 3, 32)
    latents = np.random.RandomState(0).standard_normal((2, 5)).astype('f')
    expected = to_images(generate(labelled, latents, 2, one_hot([1, 1], 3)))
    assert len(rows) == 2 and np.abs(rows[:, 1].astype(int) - expected).max() <= 1


@pytest.mark.parametrize('arguments, said', [
    (['--out', 'x.gif'], '--directions makes a strip; name an image file'),
    (['--out', 'x.txt'], '--directions makes a strip; name an image file'),
    (['--out', 'x.png', '--linear'], '--linear has no meaning with --directions'),
    (['--out', 'x.png', '--directions', 0], 'with 0 it takes a generator with labels'),
    (['--out', 'x.png', '--directions', -1], 'it must be at least 0'),
    (['--out', 'x.png', '--directions', 'a'], 'is not a whole number'),
    (['--out', 'x.png', '--label', 'a'], 'run was trained without labels'),
    (['--out', 'x.jpg', '--steps', 3000], '.jpg allows')])
def test_directions_that_are_refused(script, untrained, tmp_path, arguments, said):
    more = [] if '--directions' in arguments else ['--directions', 2]
    assert said in script('wgan_walk.py', 'run', *arguments, *more).sentence
    assert os.listdir(str(tmp_path)) == ['run']


def test_directions_of_one_label_or_of_no_dense_layer(script, labelled, tmp_path):
    assert 'and two of them' in script('wgan_walk.py', 'kinds', '--out', 'x.png', '--directions',
                                       0, '--label', 'a').sentence
    C.reshape(C.tanh(C.input_variable(16, name='latent')), (1, 4, 4)).save(str(tmp_path / 'x'))
    assert 'x has no dense layer' in script('wgan_walk.py', 'x', '--out', 'x.png', '--directions',
                                            3).sentence
