"""wgan_generate.py, plot_losses.py and data/draw_faces.py as a user runs them."""

import cv2
import numpy as np
import pytest

from quiet_cntk import C
import faces
import models


@pytest.fixture
def run(tmp_path):
    """A run folder with an untrained generator and critic, and a CSV."""
    folder = tmp_path / 'run'
    folder.mkdir()
    generator = models.generator(32, latent_size=5, width=2, seed=1)
    models.generate_in_training(generator, np.random.RandomState(0).randn(64, 5).astype('f'))
    generator.save(str(folder / 'wgan_generator.model'))
    models.critic(32, width=2).save(str(folder / 'wgan_critic.model'))
    (folder / 'wgan.csv').write_text('step,G_loss,C_loss,GP,wasserstein,grad_norm,seconds\n'
                                     '1,0.5,-1,0.01,1.1,1.05,0.2\n2,0.6,-2,0.02,2.2,1.1,0.2\n')
    return folder


def test_generate_grid_and_single_pictures(script, run, tmp_path):
    script('wgan_generate.py', run, '--out', 'grid.png', '--rows', 3, '--columns', 7, '--seed', 4)
    grid = cv2.imread(str(tmp_path / 'grid.png'))
    assert grid.shape == (96, 224, 3)
    result = script('wgan_generate.py', run / 'wgan_generator.model', '--out', 'single',
                    '--count', 21, '--seed', 4)
    assert result.code == 0 and 'Selected CPU' not in result.err
    single = [cv2.imread(str(tmp_path / 'single' / ('%06d.png' % i))) for i in range(21)]
    assert (faces.grid(np.stack(single), 7) == grid).all()

    # The colours are those that the generator gives, as RGB.
    generator = C.Function.load(str(run / 'wgan_generator.model'))
    latents = np.random.RandomState(4).standard_normal((21, 5)).astype(np.float32)
    expected = faces.to_pictures(models.generate(generator, latents, 21))
    assert np.abs(expected[:, :, :, ::-1].astype(int) - np.stack(single)).max() <= 1

    script('wgan_generate.py', run, '--out', 'other.png', '--rows', 3, '--columns', 7, '--seed', 5)
    assert (cv2.imread(str(tmp_path / 'other.png')) != grid).any()


@pytest.mark.parametrize('arguments, said', [
    (['nowhere', '--out', 'x.png'], ['nowhere']),
    (['.', '--out', 'x.png'], ['wgan_generator.model', 'no model']),
    (['random.model', '--out', 'x.png'], ['random.model is no CNTK model']),
    (['empty.model', '--out', 'x.png'], ['empty.model is no CNTK model']),
    (['cut.model', '--out', 'x.png'], ['cut.model is no CNTK model']),
    (['run/wgan_critic.model', '--out', 'x.png'], ['wgan_critic.model', 'no generator']),
    (['run', '--out', 'x.xyz'], ['x.xyz', '.png']),
    (['run', '--out', '/proc/x.png'], ['/proc/x.png']),
    (['run', '--out', 'random.model', '--count', '2'], ['random.model']),
    (['run', '--out', 'x.png', '--rows', '0'], ['--rows', 'at least 1']),
    (['run'], ['--out']),
])
def test_generate_bad_input(script, run, tmp_path, arguments, said):
    (tmp_path / 'random.model').write_bytes(np.random.RandomState(0).bytes(5000))
    (tmp_path / 'empty.model').write_bytes(b'')
    whole = (run / 'wgan_generator.model').read_bytes()
    (tmp_path / 'cut.model').write_bytes(whole[:len(whole) // 2])
    sentence = script('wgan_generate.py', *arguments).sentence
    for words in said:
        assert words in sentence


def test_plot(script, run, tmp_path):
    assert script('plot_losses.py', 'run/wgan.csv', '--out', 'one.png').code == 0
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'wgan.csv').write_text((run / 'wgan.csv').read_text().replace('-2', '-9'))
    assert script('plot_losses.py', 'run/wgan.csv', 'other/wgan.csv', '--out', 'two.png').code == 0
    one, two = (cv2.imread(str(tmp_path / name)) for name in ('one.png', 'two.png'))
    assert one.shape == two.shape and (one != two).any()


@pytest.mark.parametrize('text, said', [
    (None, 'does not exist'),
    ('', 'is no CSV'),
    ('step,G_loss\n1,2\n', 'lacks the column C_loss'),
    ('step,G_loss,C_loss,GP,wasserstein,grad_norm,seconds\n', 'has no rows'),
])
def test_plot_bad_input(script, tmp_path, text, said):
    if text is not None:
        (tmp_path / 'x.csv').write_text(text)
    sentence = script('plot_losses.py', 'x.csv', '--out', 'x.png').sentence
    assert 'x.csv' in sentence and said in sentence


def test_plot_unknown_suffix(script, run):
    assert 'x.xyz' in script('plot_losses.py', 'run/wgan.csv', '--out', 'x.xyz').sentence


def test_drawn_faces(script, tmp_path):
    """The same seed gives the same files, whatever the count; no two faces are alike."""
    for out, count in (('a', 12), ('b', 5)):
        assert script('data/draw_faces.py', '--out', out, '--count', count, '--size', 40).code == 0
    script('data/draw_faces.py', '--out', 'c', '--count', 5, '--size', 40, '--seed', 1)
    files = [sorted((tmp_path / folder).iterdir()) for folder in 'abc']
    assert [len(f) for f in files] == [12, 5, 5]
    assert all(x.read_bytes() == y.read_bytes() for x, y in zip(*files[:2]))
    assert all(x.read_bytes() != y.read_bytes() for x, y in zip(*files[1:]))
    drawn = np.stack([cv2.imread(str(f)) for f in files[0]]).astype(float)
    assert drawn.shape == (12, 40, 40, 3)
    for i in range(12):
        for j in range(i):
            assert np.abs(drawn[i] - drawn[j]).mean() > 5


def test_draw_faces_bad_input(script):
    assert '--count' in script('data/draw_faces.py', '--count', 0).sentence
    assert '/proc/faces' in script('data/draw_faces.py', '--out', '/proc/faces').sentence
