"""pretrained/: what is in it, that it makes faces, and that a run can start from it."""

import json
import os
import pathlib

import cv2
import numpy as np
import pytest

from helpers import ROOT, losses, write_images

FOLDER = pathlib.Path(ROOT) / 'pretrained'


def test_it_is_small_and_knows_no_machine():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(files) == {'README.md', 'config.json', 'wgan_critic.model',
                          'wgan_generator_average.model'}
    assert sum(files.values()) < 12e6
    text = (FOLDER / 'config.json').read_text()
    assert json.loads(text)['paths'] == {} and '"/' not in text


def test_it_makes_faces(script, tmp_path):
    """Not noise: neighbouring pixels are alike, and no two images are."""
    assert script('wgan_generate.py', FOLDER, '--out', 'faces.png', '--rows', 2).code == 0
    sheet = cv2.imread(str(tmp_path / 'faces.png')).astype(float)
    images = [image for row in np.split(sheet, 2) for image in np.split(row, 8, axis=1)]
    for i, image in enumerate(images):
        assert np.abs(np.diff(image, axis=1)).mean() < 0.3 * image.std()
        assert all(np.abs(image - other).mean() > 10 for other in images[:i])


@pytest.mark.slow
def test_a_run_can_start_from_it(script, tmp_path):
    write_images(tmp_path / 'pics')
    assert script('wgan_training.py', '--data', 'pics', '--out', 'run', '--image-size', 64,
                  '--start-from', os.path.relpath(str(FOLDER), str(tmp_path)), '--iterations', 1,
                  '--batch-size', 4, '--n-critic', 1).code == 0
    assert np.isfinite(losses(tmp_path / 'run').values).all()
