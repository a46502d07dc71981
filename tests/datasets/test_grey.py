"""Grey images train as grey: networks of one channel, grids that anything can show."""

import json

import cv2
import numpy as np
import onnxruntime
import pytest

from helpers import SMALL, assert_resume_is_exact, make_updates, onnx_network
from wgan.datasets.images import GREY, ImageBatches, ImageSet, to_images
from wgan.training.objectives import OBJECTIVES


def write(folder, count, size=28, grey=True, suffix='.png'):
    """Handwriting of a kind: white strokes on black, of the size of MNIST's."""
    folder.mkdir()
    rng = np.random.RandomState(0)
    for i in range(count):
        image = np.zeros((size, size) if grey else (size, size, 3), np.uint8)
        start, end = rng.randint(4, size - 4, (2, 2))
        cv2.line(image, tuple(start.tolist()), tuple(end.tolist()),
                 255 if grey else (255, 200, 100), 2)
        cv2.imwrite(str(folder / ('%d%s' % (i, suffix))), image)
    return folder


@pytest.fixture
def digits(tmp_path):
    return write(tmp_path / 'digits', 10)


def settings(run):
    return json.loads((run / 'config.json').read_text())['settings']


def output_of(run, script, tmp_path):
    assert script('wgan_export.py', run, '--out', 'g.onnx', '--force').code == 0
    session = onnxruntime.InferenceSession(str(tmp_path / 'g.onnx'))
    return session.get_outputs()[0].shape, session.get_modelmeta().custom_metadata_map['output']


@pytest.mark.slow
def test_grey_images_of_28_pixels(script, digits, tmp_path):
    """They are enlarged to 32; grids, animation and ONNX know what they are."""
    assert script('wgan_training.py', '--data', digits, '--out', 'run', '--iterations', 2,
                  '--sample-every', 1, *SMALL).code == 0
    run = tmp_path / 'run'
    assert settings(run)['channels'] == 1
    for name in ('real', 'step_000002'):
        sheet = cv2.imread(str(run / 'samples' / (name + '.png')))
        assert sheet.shape[2] == 3 and (sheet == sheet[:, :, :1]).all()
    assert (run / 'training.gif').exists()
    assert output_of(run, script, tmp_path) == (['batch', 1, 32, 32], 'grey, -1 to 1')
    assert script('wgan_generate.py', 'g.onnx', '--out', 'a.png').code == 0
    assert script('wgan_generate.py', run, '--out', 'b.png').code == 0
    a, b = (cv2.imread(str(tmp_path / name)).astype(int) for name in ('a.png', 'b.png'))
    assert abs(a - b).max() <= 1 and (a == a[:, :, :1]).all()
    assert script('inception_score.py', run, '--inception', onnx_network(tmp_path / 'n.onnx'),
                  '--count', 20, '--reference', digits).code == 0


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.pgm'])
def test_what_is_grey_is_seen(tmp_path, suffix):
    for limit in (1 << 30, 0):
        name = '%s%d' % (suffix[1:], limit)
        assert ImageSet(str(write(tmp_path / name, 5, suffix=suffix)), 32,
                        memory_limit=limit).is_grey()
    folder = write(tmp_path / 'colours', 5)
    cv2.imwrite(str(folder / '3.png'), np.uint8([[[1, 0, 0]]]).repeat(9, 0).repeat(9, 1))
    assert not ImageSet(str(folder), 32).is_grey()


@pytest.mark.slow
def test_one_colour_image_makes_it_rgb(script, digits, tmp_path):
    cv2.imwrite(str(digits / 'x.png'), np.full((40, 40, 3), (0, 0, 255), np.uint8))
    assert script('wgan_training.py', '--data', digits, '--out', 'run', '--iterations', 1,
                  *SMALL).code == 0
    assert settings(tmp_path / 'run')['channels'] == 3
    assert output_of(tmp_path / 'run', script, tmp_path) == (['batch', 3, 32, 32],
                                                             'RGB, -1 to 1')


@pytest.mark.slow
@pytest.mark.parametrize('channels, grey', [(1, False), (3, True)])
def test_what_is_asked_for_wins(script, tmp_path, channels, grey):
    write(tmp_path / 'pics', 8, grey=grey)
    assert script('wgan_training.py', '--data', 'pics', '--out', 'run', '--iterations', 1,
                  '--channels', channels, *SMALL).code == 0
    assert settings(tmp_path / 'run')['channels'] == channels


def test_colours_become_what_they_weigh(tmp_path):
    write(tmp_path / 'pics', 6, grey=False)
    images = ImageSet(str(tmp_path / 'pics'), 28)
    plain = dict(brightness=0, contrast=0, mirror=False, batch_size=6)
    grey, _ = ImageBatches(images, rng=np.random.RandomState(1), colours=1, **plain).next()
    order = np.random.RandomState(1).permutation(6)
    assert grey.shape == (6, 1, 28, 28) and grey.dtype == np.float32
    expected = images.images[order].astype(float).dot(GREY[0]) / 127.5 - 1
    np.testing.assert_allclose(grey[:, 0], expected, atol=1e-5)
    assert (to_images(grey)[..., 0] == np.rint((expected + 1) * 127.5)).all()


@pytest.mark.slow
@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_updates(objective):
    updates = make_updates(objective, '--channels', '1', '--augment')
    updates.update_critic(np.zeros((4, 1, 32, 32), np.float32))
    updates.update_generator(1)
    assert np.isfinite(updates.row()).all()


@pytest.mark.slow
def test_resume_is_exact(train, digits, tmp_path):
    start = ['--data', digits, '--augment', '--hold-out', 0.2, *SMALL]
    assert_resume_is_exact(train, tmp_path, *start)
    assert 'channels was 1 and is now 3' in train('--out', 'parts', '--resume', '--channels',
                                                  3).sentence


@pytest.mark.slow
def test_start_from(train, digits, images):
    assert train('--data', digits, '--out', 'grey', '--iterations', 1, *SMALL).code == 0
    start = ['--data', images, '--iterations', 1, '--start-from', 'grey', *SMALL]
    assert 'has --channels 1, and this run has --channels 3' in train('--out', 'a',
                                                                      *start).sentence
    assert train('--out', 'b', '--channels', 1, *start).code == 0
