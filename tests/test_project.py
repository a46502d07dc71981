"""wgan_project.py: pictures of all kinds, and what it writes."""

import json
import os

import cv2
import numpy as np
import pytest

from helpers import ROOT, image_file, latents_of, read_rgb, write_shapes
import models
import text_models
from wgan.datasets.images import to_images
from wgan.generators.evaluation import evaluate_in_training, generate
from wgan.machine.cntk import C

pytestmark = pytest.mark.slow

FAST = ['--steps', 3, '--starts', 1]


def results(folder):
    return json.loads((folder / 'projection.json').read_text())


def test_its_own_images_are_found_again(script, untrained, tmp_path):
    """And the latents make the images that pairs.png has to the right."""
    assert script('wgan_generate.py', 'run', '--out', 'faces', '--count', 10).code == 0
    result = script('wgan_project.py', 'run', 'faces', '--out', 'found')
    assert result.code == 0, result.err
    assert sorted(os.listdir(str(tmp_path / 'found'))) == [
        'latents.npy', 'pairs.png', 'projection.json']
    found = results(tmp_path / 'found')
    values = [picture['psnr'] for picture in found['pictures']]
    assert sum(value > 30 for value in values) >= 9 and found['critic']
    assert [os.path.basename(picture['file']) for picture in found['pictures']] == [
        '%06d.png' % i for i in range(10)]
    assert '%5.1f dB  faces/000003.png\n' % values[3] in result.out
    assert 'PSNR of 10 pictures: median %.1f dB' % np.median(values) in result.out

    assert script('wgan_generate.py', 'run', '--out', 'again', '--latents', 'found/latents.npy',
                  '--count', 10).code == 0
    sheet = read_rgb(tmp_path / 'found' / 'pairs.png').astype(int)
    assert sheet.shape == (4 * 34 - 2, 6 * 34 - 2, 3)       # three pairs a row
    for i in range(10):
        top, left = i // 3 * 34, i % 3 * 68
        target, image = (read_rgb(tmp_path / name / ('%06d.png' % i)).astype(int)
                         for name in ('faces', 'again'))
        assert (sheet[top:top + 32, left:left + 32] == target).all()
        assert abs(sheet[top:top + 32, left + 34:left + 66] - image).max() <= 1
        error = np.square(target - image).mean()
        assert values[i] > 50 or abs(values[i] - 10 * np.log10(255 ** 2 / error)) < 0.5


def test_pictures_of_all_kinds(script, untrained, tmp_path):
    """Centre squares, grey, transparent, tiny; a folder with a damaged one, which is skipped."""
    rng = np.random.RandomState(0)
    picture = rng.randint(0, 256, (40, 100, 3)).astype('u1')
    folder = tmp_path / 'photos'
    (folder / 'more').mkdir(parents=True)
    for name, content in {
            'wide.png': image_file(picture, 'PNG'), 'grey.png': image_file(picture, 'PNG', 'L'),
            'clear.png': image_file(picture, 'PNG', 'RGBA'), 'more/palette.gif': image_file(
                picture, 'GIF', 'P'), 'damaged.png': image_file(picture, 'PNG')[:200],
            'notes.txt': b'notes'}.items():
        (folder / name).write_bytes(content)
    (tmp_path / 'one.bmp').write_bytes(image_file(picture[:1, :1], 'BMP'))
    result = script('wgan_project.py', 'run', 'photos', 'one.bmp', '--out', 'found', '--scale', 2,
                    *FAST)
    assert result.code == 0, result.err
    assert 'skipped, a PNG file that is damaged' in result.err
    assert 'of 100 × 40 pixels, the centre square is taken; 4 images are like this' in result.err
    names = [picture['file'] for picture in results(tmp_path / 'found')['pictures']]
    assert names == ['photos/' + name for name in (
        'clear.png', 'grey.png', 'more/palette.gif', 'wide.png')] + ['one.bmp']
    assert np.load(str(tmp_path / 'found' / 'latents.npy')).shape == (5, 5)
    sheet = read_rgb(tmp_path / 'found' / 'pairs.png')
    assert sheet.shape == (3 * 66 - 2, 4 * 66 - 2, 3)
    grey = sheet[:64, 2 * 66:2 * 66 + 64]
    assert (grey == grey[:, :, :1]).all()


def test_a_wrong_name_does_not_cost_the_pictures_before(script, untrained, tmp_path):
    write_shapes(tmp_path / 'photos')
    sentence = script('wgan_project.py', 'run', 'photos', 'nowhere.png', '--out', 'found').sentence
    assert 'nowhere.png does not exist; name an image file' in sentence
    assert not (tmp_path / 'found').exists()


@pytest.mark.parametrize('arguments, said', [
    (['nowhere.png'], 'nowhere.png does not exist'), ([''], "'' does not exist"),
    (['cut.png'], 'cut.png can not be read: a PNG file that is damaged'),
    (['empty.png'], 'empty.png can not be read: not an image: the file is empty'),
    (['notes.txt'], 'notes.txt can not be read: not an image of a kind'),
    (['pipe'], 'pipe is not a regular file'), (['bare'], 'no image in the folder bare'),
    (['broken'], 'none of the images in broken can be read'), ([], 'PICTURE'),
    (['x.png', '--label', 'a'], 'run was trained without labels'),
    (['x.png', '--starts', 0], '--starts: 0 is out of range'),
    (['x.png', '--scale', 40000], 'allows 1000000'),
    (['x.png', '--out', 'notes.txt'], 'notes.txt is not a folder'),
    (['x.png', '--out', 'bare/x/../../broken'], 'is not empty; --force'),
    (['x.png', '--out', '/proc/found'], '/proc/found'),
])
def test_before_the_work(script, untrained, tmp_path, arguments, said):
    picture = np.zeros((9, 9, 3), np.uint8)
    for name in ('bare', 'broken'):
        (tmp_path / name).mkdir()
    (tmp_path / 'bare' / 'x').mkdir()
    for name, content in {'x.png': image_file(picture, 'PNG'), 'empty.png': b'',
                          'cut.png': image_file(picture, 'PNG')[:50], 'notes.txt': b'notes',
                          'broken/x.png': b'\x89PNG'}.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(str(tmp_path / 'pipe'))
    assert said in script('wgan_project.py', 'run', '--out', 'found', *arguments).sentence
    assert not (tmp_path / 'found').exists()


def test_generators_that_are_refused(script, untrained, tmp_path):
    (tmp_path / 'x.png').write_bytes(image_file(np.zeros((9, 9, 3), np.uint8), 'PNG'))
    text_models.generator(4, 6, 5, 4, 0).save(str(tmp_path / 'text.model'))
    z = C.input_variable(5, name='latent')
    C.reshape(C.times(z, np.ones((5, 24), 'f')), (3, 2, 4)).save(str(tmp_path / 'wide.model'))
    for model, said in (('text.model', 'is a generator of text'), ('nowhere', 'nowhere'),
                        ('wide.model', 'makes images of 4 × 2 pixels'),
                        ('run/wgan_critic.model', 'is a model, but no generator')):
        assert said in script('wgan_project.py', model, 'x.png', '--out', 'found').sentence


@pytest.mark.parametrize('critic, said', [
    (b'no critic', 'cannot read run/wgan_critic.model as a critic'),
    (b'', 'cannot read run/wgan_critic.model as a critic'),
    (models.critic, 'run/wgan_critic.model is no critic of run/wgan_generator.model')])
def test_a_critic_that_does_not_fit(script, untrained, tmp_path, critic, said):
    (tmp_path / 'x.png').write_bytes(image_file(np.zeros((9, 9, 3), np.uint8), 'PNG'))
    path = untrained / 'wgan_critic.model'
    if callable(critic):
        critic(64, 2).save(str(path))
    else:
        path.write_bytes(critic)
    assert said in script('wgan_project.py', 'run', 'x.png', '--out', 'found', *FAST).sentence
    path.unlink()
    assert script('wgan_project.py', 'run', 'x.png', '--out', 'found', *FAST).code == 0
    assert results(tmp_path / 'found')['critic'] is False


def test_a_critic_without_convolutions(script, untrained, tmp_path):
    """It has no features to compare."""
    (tmp_path / 'x.png').write_bytes(image_file(np.zeros((9, 9, 3), np.uint8), 'PNG'))
    C.layers.Dense(1)(C.input_variable((3, 32, 32), name='image')).save(
        str(untrained / 'wgan_critic.model'))
    assert script('wgan_project.py', 'run', 'x.png', '--out', 'found', *FAST).code == 0
    assert results(tmp_path / 'found')['critic'] is False


@pytest.mark.parametrize('labels, colours', [(3, 3), (0, 1)])
def test_labels_and_grey(script, untrained, tmp_path, labels, colours):
    rng = np.random.RandomState(0)
    network = models.generator(32, 5, 4, 1, labels, colours)
    evaluate_in_training(network, dict(zip(network.arguments, (
        rng.randn(60, 5).astype('f'), np.eye(3, dtype='f').repeat(20, axis=0)))))
    network.save(str(untrained / 'wgan_generator.model'))
    models.critic(32, 2, 1, 'layer', labels, colours).save(str(untrained / 'wgan_critic.model'))
    if labels:
        (untrained / 'config.json').write_text(
            '{"settings": {}, "labels": {"names": ["a", "b", "c"], "counts": [1, 2, 3]}}')
    image = to_images(generate(network, latents_of(0, 1), 1, np.eye(3, dtype='f')[1:2]))[0]
    cv2.imwrite(str(tmp_path / 'x.png'), image[:, :, ::-1])
    assert script('wgan_project.py', 'run', 'x.png', '--out', 'all', '--steps', 60).code == 0
    found = results(tmp_path / 'all')['pictures'][0]
    assert found['psnr'] > 20 and found['label'] == ('b' if labels else None)
    if labels:
        result = script('wgan_project.py', 'run', 'x.png', '--out', 'c', '--label', 'c', *FAST)
        assert result.code == 0 and 'x.png, c' in result.out
        assert results(tmp_path / 'c')['pictures'][0]['label'] == 'c'
    else:
        sheet = read_rgb(tmp_path / 'all' / 'pairs.png')
        assert (sheet == sheet[:, :, :1]).all()


def test_pretrained(script, tmp_path):
    """Faces of pretrained/ are found again."""
    pretrained = os.path.join(ROOT, 'pretrained')
    assert script('wgan_generate.py', pretrained, '--out', 'faces', '--count', 3).code == 0
    result = script('wgan_project.py', pretrained, 'faces', '--out', 'found', '--steps', 100)
    assert result.code == 0, result.err
    values = [picture['psnr'] for picture in results(tmp_path / 'found')['pictures']]
    assert np.median(values) > 28
