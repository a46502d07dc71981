"""wgan_animate.py: the sample grids of a run as one animation."""

import os

import cv2
import numpy as np
from PIL import Image
import pytest

from wgan.pictures import animation as animations
from wgan.pictures.animation import animate_samples
from wgan.machine.command_line import UserError
from wgan.datasets import images as module


@pytest.fixture
def run(untrained):
    """A run with four sample grids."""
    return untrained


@pytest.mark.slow
def test_training_animation(script, run, tmp_path):
    assert script('wgan_animate.py', run, '--out', 't.gif').code == 0
    animation = Image.open(str(tmp_path / 't.gif'))
    assert animation.n_frames == 4 and animation.size == (512, 536)
    for frame, step in enumerate((5, 10, 15, 20)):
        animation.seek(frame)
        shown = np.asarray(animation.convert('RGB'))
        assert np.abs(shown[100, 100].astype(int) - [255, 10 * step, 10 * step]).max() < 8
        assert shown[512:].max() > 200                          # the label
    assert animation.info['duration'] >= 1500                   # the last stays
    assert 'exists already' in script('wgan_animate.py', run, '--out', 't.gif').sentence


@pytest.mark.slow
def test_a_long_run_still_makes_a_small_animation(script, run, tmp_path, monkeypatch):
    """Of noise, which GIF can't compress. Here with a 64th of the pixels, for time."""
    limit = 25e6 * (128 / animations.WIDTH) ** 2 * 15 / animations.FRAMES
    monkeypatch.setattr(animations, 'WIDTH', 128)
    monkeypatch.setattr(animations, 'FRAMES', 15)
    rng = np.random.RandomState(0)
    noise = [tmp_path / ('%d.png' % i) for i in range(3)]
    for path in noise:
        module.write_image(str(path), rng.randint(0, 256, (200, 200, 3)).astype(np.uint8))
    for step in range(25, 400, 5):
        os.link(str(noise[step // 5 % 3]), str(run / 'samples' / ('step_%06d.png' % step)))
    assert script('wgan_animate.py', run, '--out', 't.gif').code == 0
    assert (tmp_path / 't.gif').stat().st_size < 1.13 * limit             # the labels are as high
    assert Image.open(str(tmp_path / 't.gif')).n_frames == 15


@pytest.mark.parametrize('left', (1, 0))
def test_animation_of_too_few_grids(script, run, left):
    for path in sorted((run / 'samples').iterdir())[left:]:
        path.unlink()
    assert ('samples holds %d sample grids' % left) in script('wgan_animate.py', run, '--out',
                                                              't.gif').sentence


@pytest.mark.slow
@pytest.mark.parametrize('damage', ['cut off', 'empty', 'folder', 'fifo'])
def test_a_grid_that_can_not_be_read_is_left_out(run, tmp_path, capsys, damage):
    grid = run / 'samples' / 'step_000010.png'
    whole = grid.read_bytes()
    grid.unlink()
    if damage == 'folder':
        grid.mkdir()
    elif damage == 'fifo':
        os.mkfifo(str(grid))
    else:
        grid.write_bytes(whole[:len(whole) // 2 if damage == 'cut off' else 0])
    animate_samples(str(run), str(tmp_path / 't.gif'))
    assert Image.open(str(tmp_path / 't.gif')).n_frames == 3
    said = capsys.readouterr().err
    assert said == ('left out, %s: %s\n' % (
        {'empty': 'not an image: the file is empty'}.get(
            damage, 'a PNG file that is damaged or cut off, or of a form that is not read'), grid)
        if grid.is_file() else '')


def test_grids_of_different_sizes(run, tmp_path):
    """All are shown at the size of the last."""
    for step, shape in ((5, (64, 64, 3)), (10, (3000, 30, 3)), (15, (8, 8)), (20, (100, 200, 3))):
        cv2.imwrite(str(run / 'samples' / ('step_%06d.png' % step)), np.full(shape, 99, np.uint8))
    animate_samples(str(run), str(tmp_path / 't.mp4'))
    video = cv2.VideoCapture(str(tmp_path / 't.mp4'))
    assert video.read()[1].shape == (124, 200, 3)


def test_no_grid_can_be_read(run, tmp_path):
    for path in (run / 'samples').iterdir():
        path.write_bytes(b'')
    with pytest.raises(UserError, match='samples holds 0 sample grids that can be read'):
        animate_samples(str(run), str(tmp_path / 't.gif'))
    assert os.listdir(str(tmp_path)) == ['run']
