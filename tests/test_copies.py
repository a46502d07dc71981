"""wgan_copies.py: with and without a planted copy; which images were held out."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from helpers import SMALL, call_program, read_rgb
from wgan.datasets.images import to_network
from wgan.generators.evaluation import latent_input
from wgan.machine.cntk import C

pytestmark = pytest.mark.slow

FAST = ['--steps', 3, '--starts', 1]


def write_blobs(folder, count, seed):
    """Soft discs, of colours and at places at random."""
    folder.mkdir()
    rng = np.random.RandomState(seed)
    for i in range(count):
        image = np.full((32, 32, 3), rng.randint(0, 256, 3), np.uint8)
        cv2.circle(image, tuple(rng.randint(8, 24, 2).tolist()), rng.randint(4, 9),
                   rng.randint(0, 256, 3).tolist(), -1)
        cv2.imwrite(str(folder / ('%02d.png' % i)), cv2.GaussianBlur(image, (0, 0), 1.5))
    return folder


def plant(path, images):
    """The generator in a file then makes these images, (K, 3, S, S): image i where number i of the
    latent is above 1.5, as in a fifteenth of the latents.
    """
    network = C.Function.load(str(path))
    z = latent_input(network)
    parts = C.sigmoid(20 * (C.slice(z, 0, 0, len(images)) - 1.5))
    copied = C.reduce_max(parts, axis=0)
    copies = C.times(parts / copied, C.constant(images), output_rank=3)
    C.plus(network.output * C.reshape(1 - copied, (1, 1, 1)),
           copies * C.reshape(copied, (1, 1, 1)), name='image').save(str(path))


@pytest.fixture
def sets(untrained, tmp_path):
    write_blobs(tmp_path / 'training', 26, 0)
    write_blobs(tmp_path / 'unseen', 24, 1)
    return ['--training', 'training', '--held-out', 'unseen', '--out', 'x.png', '--force']


def test_a_planted_copy_is_found(script, sets, untrained, tmp_path):
    def call():
        result = script('wgan_copies.py', 'run', *sets, '--json', 'x.json', '--steps', 100)
        assert result.code == 0, result.err
        return result.out, json.loads((tmp_path / 'x.json').read_text())

    out, found = call()
    assert 'no sign of copies' in out and found['far_better'] == [] and found['p_value'] > 0.01
    assert len(found['training']) == len(found['held_out']) == 24
    plot = read_rgb(tmp_path / 'x.png')
    assert plot.shape == (400, 800, 3) and plot.std() > 10
    copied = ['training/03.png', 'training/11.png']
    plant(untrained / 'wgan_generator.model', to_network(np.stack([
        read_rgb(tmp_path / name) for name in copied])))
    write_blobs(tmp_path / 'unseen' / 'more', 2, 2)           # so that all training images count
    out, found = call()
    assert set(copied) <= set(found['far_better']) and len(found['far_better']) < 5
    assert 'training images are found far better than all held-out ones' in out
    assert ' dB  training/11.png\n' in out


def test_the_images_that_a_run_held_out(script, tmp_path):
    write_blobs(tmp_path / 'pics', 70, 0)
    assert call_program('wgan_training.py', '--data', 'pics', '--out', 'run', '--iterations', 2,
                        '--hold-out', 0.3, *SMALL) == 0
    os.remove(str(tmp_path / 'run' / 'wgan_generator_average.model'))
    result = script('wgan_copies.py', 'run', '--out', 'x.png', '--json', 'x.json', *FAST)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / 'x.json').read_text())
    names = [{os.path.basename(image['file']) for image in found[kind]}
             for kind in ('training', 'held_out')]
    assert len(names[0]) == len(names[1]) == 21 and not names[0] & names[1]
    shutil.move(str(tmp_path / 'pics'), str(tmp_path / 'moved'))
    assert 'pics does not exist; --training takes a folder' in script(
        'wgan_copies.py', 'run', '--out', 'y.png').sentence
    assert script('wgan_copies.py', 'run', '--training', 'moved', '--out', 'y.png', '--json',
                  'y.json', *FAST).code == 0
    same = json.loads((tmp_path / 'y.json').read_text())
    assert {os.path.basename(image['file']) for image in same['held_out']} == names[1]
    write_blobs(tmp_path / 'moved' / 'more', 1, 5)
    sentence = script('wgan_copies.py', 'run', '--training', 'moved', '--out', 'z.png').sentence
    assert 'moved has other images than those that run was trained on' in sentence


def test_copies_of_training_images_are_no_unseen_ones(script, sets, tmp_path):
    shutil.copy(str(tmp_path / 'training' / '00.png'), str(tmp_path / 'unseen' / 'x.png'))
    result = script('wgan_copies.py', 'run', *sets, *FAST)
    assert result.code == 0
    assert '1 of 25 images in unseen are training images, and are left out' in result.err
    sets[3] = 'training'
    assert 'all images in training are training images' in script(
        'wgan_copies.py', 'run', *sets).sentence


@pytest.mark.parametrize('arguments, said', [
    ([], 'the images that run was trained on are not known; name them with --training'),
    (['--training', 'training'], 'run held out no images, so there is nothing to compare with'),
    (['--training', 'nowhere', '--held-out', 'unseen'], 'nowhere does not exist; --training takes'),
    (['--training', 'training', '--held-out', 'nowhere'], 'nowhere does not exist; --held-out'),
    (['--training', 'training', '--held-out', 'few'], '26 training and 3 held-out images; the '
     'comparison needs 20 of each'),
    (['--count', 9], '--count: 9 is out of range: it must be at least 20'),
    (['--out', 'x.gif'], 'plots are written as'), (['--json', 'x.png'], 'written twice'),
])
def test_before_the_work(script, sets, tmp_path, arguments, said):
    write_blobs(tmp_path / 'few', 3, 7)
    assert said in script('wgan_copies.py', 'run', '--out', 'x.png', *arguments).sentence
    assert not (tmp_path / 'x.png').exists()


@pytest.mark.parametrize('settings', ['[]', '{"hold_out": "x", "seed": 1}', '{"data": 3}', 'null',
                                      '{"hold_out": 0.5, "seed": "x"}', '{"labels": 7}'])
def test_a_strange_configuration(script, sets, untrained, settings):
    (untrained / 'config.json').write_text('{"settings": %s, "paths": 3}' % settings)
    script('wgan_copies.py', 'run', '--training', 'training', '--out', 'x.png').sentence
    assert script('wgan_copies.py', 'run', *sets, *FAST).code == 0
