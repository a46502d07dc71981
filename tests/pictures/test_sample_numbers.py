"""The numbers of sample grids, and what is said by them."""

import cv2
import numpy as np
import pytest

from wgan.datasets.image_decoder import ImageReader
from wgan.datasets.images import grid, write_image
from wgan.pictures.findings import findings
from wgan.pictures.label_grid import label_grid
from wgan.pictures.sample_numbers import numbers_of, ratios, tiles


def blobs(count=64, size=32, seed=0):
    """Images that are smooth, and all different."""
    rng = np.random.RandomState(seed)
    images = [cv2.GaussianBlur(rng.randint(0, 256, (size, size, 3)).astype(np.float32), (0, 0), 4)
              for _ in range(count)]
    return np.uint8([np.clip((image - 127.5) * 12 + 127.5, 1, 255) for image in images])


def noise(size=32):
    return np.random.RandomState(1).randint(1, 256, (64, size, size, 3)).astype(np.uint8)


def grey(images):
    return np.uint8(128 + (images.astype(float) - 128) / 8)


@pytest.fixture
def run(tmp_path):
    """run(images): what is said of a run with these samples; the real ones are blobs."""
    (tmp_path / 'samples').mkdir()
    write_image(str(tmp_path / 'samples' / 'real.png'), grid(blobs(12, seed=3), 8))

    def call(sheet, size=32):
        write_image(str(tmp_path / 'samples' / 'step_000005.png'), sheet)
        return ratios(str(tmp_path), size, ImageReader())
    call.folder = tmp_path
    return call


def said(numbers):
    finding = findings(None, None, numbers)[0]
    return finding.good, finding.sentence


def test_the_numbers():
    image = np.zeros((2, 4, 4, 3), np.uint8)
    image[:, :, ::2] = 100                              # stripes
    image[1] += 20
    numbers = numbers_of(image)
    assert numbers == {'contrast': 50, 'variety': 10, 'roughness': 1}       # 100 and 0, by 50
    assert numbers_of(np.full((3, 4, 4, 3), 7, np.uint8)) == {
        'contrast': 0, 'variety': 0, 'roughness': 0}


@pytest.mark.parametrize('images, good, begins', [
    (blobs(), True, 'The last samples are not grey, alike or rough'),
    (blobs(8), True, 'The last samples are not'),
    (grey(blobs()), False, 'The last samples are grey and all alike, as'),
    (grey(noise()), False, 'The last samples are grey and all alike and rough'),
    (noise(), False, 'The last samples are rough, as'),
    (np.repeat(blobs(1), 64, axis=0), False, 'The last samples are all alike, as'),
    (np.zeros((64, 32, 32, 3), np.uint8) + 1, False, 'The last samples are grey and all alike')])
def test_what_is_said(run, images, good, begins):
    found, sentence = said(run(grid(images, 8)))
    assert (found, sentence[:len(begins)]) == (good, begins)


def test_grids_of_labels(run):
    images = blobs(24)
    with_names = run(label_grid(images, ['dark', 'fair', 'grey'], 8))
    assert with_names == run(grid(images, 8)) and said(with_names)[0]


@pytest.mark.parametrize('count, size', [(7, 32), (64, 64), (64, 128)])
def test_too_few_images_or_another_size(run, count, size):
    assert run(grid(blobs(count), 8), size) is None


def test_files_that_are_missing_or_damaged(run):
    sheet, real = grid(blobs(), 8), run.folder / 'samples' / 'real.png'
    real.write_text('x')
    assert run(sheet) is None
    real.unlink()
    assert run(sheet) is None
    assert ratios(str(run.folder / 'samples'), 32, ImageReader()) is None
    assert len(tiles(None, 32)) == 0


def test_real_images_that_are_black(run):
    """No number is infinite or NaN."""
    write_image(str(run.folder / 'samples' / 'real.png'),
                grid(np.ones((16, 32, 32, 3), np.uint8), 8))
    assert np.isfinite(list(run(grid(blobs(), 8)).values())).all()


@pytest.mark.parametrize('count, is_said', [(0, False), (4, False), (5, True), (16, True)])
def test_dark_corners(run, count, is_said):
    """A black bar above and below, or black corners; a dark side alone is no fault."""
    images = blobs(16)
    images[:count, :4] = images[:count, -4:] = 12
    images[count:, :, :16] = 12
    write_image(str(run.folder / 'samples' / 'real.png'), grid(images, 8))
    found = findings(None, None, run(grid(images, 8)))[1:]
    assert [finding.good for finding in found] == [False] * is_said
    assert not is_said or '%d %% have four dark corners' % (100 * count / 16) in found[0].sentence
