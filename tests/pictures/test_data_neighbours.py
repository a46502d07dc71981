"""Generated images beside their nearest real ones on a page: --neighbours of wgan_page.py."""

import html
import json
import shutil

import numpy as np
import pytest

from helpers import TINY, expected_images, latents_of, write_images
import models
import text_models
from wgan.datasets.images import write_image
from wgan.generators.evaluation import evaluate_in_training
from wgan.generators.files import Generator
from wgan.pictures import page
from wgan.pictures.data_neighbours import data_neighbours
from wgan.scores.neighbours import nearest_by_pixels

pytestmark = pytest.mark.slow

TRAINED, OTHERS, UNKNOWN = ('It was trained on them.', 'It was not trained on them',
                            'does not say whether it was trained on them')


@pytest.fixture(autouse=True)
def short_script(monkeypatch):
    monkeypatch.setattr(page, 'plotly_script', lambda: '')


@pytest.fixture
def written(script, tmp_path):
    """written('run', …): the text of the page."""
    def call(*arguments):
        result = script('wgan_page.py', *arguments, '--out', 'page.html', '--force')
        assert result.code == 0, result.err
        return html.unescape((tmp_path / 'page.html').read_text())
    return call


def cells(sheet, side, columns=6):
    """The images of a sheet without labels: (rows, columns, side, side, 3)."""
    steps = [slice(i * (side + 4), i * (side + 4) + side) for i in range(max(12, columns))]
    return np.stack([[sheet[row, column] for column in steps[:columns]] for row in steps[:12]])


def test_nearest_by_pixels():
    rng = np.random.RandomState(0)
    real = rng.randint(0, 256, (1100, 32, 32, 3)).astype(np.uint8)      # more than are compared
    ours = real[[3, 700, 1099]].copy()                                  # at once
    ours[1] = ours[1, :, ::-1]                                          # mirrored
    assert nearest_by_pixels(ours, real)[:, 0].tolist() == [3, 700, 1099]
    table = np.array([[min(np.linalg.norm(a - 1. * b), np.linalg.norm(a - 1. * b[:, ::-1]))
                       for b in real[:20]] for a in ours])
    np.testing.assert_array_equal(nearest_by_pixels(ours, real[:20]), table.argsort(axis=1)[:, :5])
    assert nearest_by_pixels(ours, real[:2]).shape == (3, 2)
    assert nearest_by_pixels(real[:2, :16, :16], list(real[:3])).shape == (2, 3)    # other sizes


def test_a_copy_stands_beside_its_image(untrained, tmp_path):
    """The images that the generator makes are among the real ones, mirrored or not."""
    made = expected_images(untrained, latents_of(0, 12))
    write_images(tmp_path / 'pics', count=9)
    for i, image in enumerate(made):
        write_image(str(tmp_path / 'pics' / ('x%02d.png' % i)), image[:, ::-1 if i % 2 else 1])
    sheet, count, trained_on = data_neighbours(
        Generator(str(untrained)), str(tmp_path / 'pics'), {})
    rows = cells(sheet, 32)
    assert (count, trained_on) == (21, None)
    for i, row in enumerate(rows):
        assert np.abs(row[0].astype(int) - made[i]).max() <= 1
        assert np.abs(row[1].astype(int) - made[i][:, ::-1 if i % 2 else 1]).max() <= 1


def test_they_are_shown_only_if_asked_for(written, run):
    assert 'Neighbours in' not in written('run')
    text = written('run', '--neighbours', 'pics')
    assert 'Neighbours in the data' in text and '8 images of pics' in text
    assert 'These are real images.' in text and TRAINED in text
    assert text.count('alt="generated images and their neighbours" src="data:image/jpeg') == 1


def test_other_images_than_those_of_the_run(written, run, tmp_path):
    shutil.copytree(str(tmp_path / 'pics'), str(tmp_path / 'moved'))
    assert TRAINED in written('run', '--neighbours', 'moved')
    write_images(tmp_path / 'others', seed=1)
    assert OTHERS in written('run', '--neighbours', 'others')
    (tmp_path / 'moved' / '0.png').unlink()
    assert OTHERS in written('run', '--neighbours', 'moved')
    (tmp_path / 'moved' / '1.png').write_text('damaged')
    text = written('run', '--neighbours', 'moved')
    assert OTHERS in text and '6 images of moved' in text


@pytest.mark.parametrize('changed, said', [
    ({'data_sha256': None}, UNKNOWN), ({'data_sha256': 5}, OTHERS),
    ({'settings': {}}, TRAINED), ({'settings': {'processes': 2}}, UNKNOWN),
    ({'settings': {'hold_out': 'x'}}, UNKNOWN), ({'settings': {'seed': -1}}, UNKNOWN),
    ({'settings': {'hold_out': float('inf')}}, UNKNOWN), ({'settings': {'hold_out': 2}}, OTHERS),
    ({'settings': {'labels': 'map'}}, TRAINED),
    ({'settings': {'labels': 7}}, TRAINED)])
def test_damaged_settings(written, run, changed, said):
    path = run / 'config.json'
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **changed)))
    assert said in written('run', '--neighbours', 'pics')


def test_of_a_run_with_labels_that_holds_images_out(script, written, tmp_path):
    """Held-out images are no neighbours."""
    write_images(tmp_path / 'pics', count=20)
    (tmp_path / 'map.txt').write_text(''.join('pics/%d.png\t%s\n' % (i, ['äh', 'b'][i % 2])
                                              for i in range(20)))
    assert script('wgan_training.py', '--data', 'map.txt', '--labels', 'map', '--out', 'kinds',
                  '--hold-out', 0.25, '--iterations', 1, *TINY).code == 0
    text = written('kinds', '--neighbours', 'map.txt')
    assert TRAINED in text and '15 images of map.txt' in text
    text = written('kinds', '--neighbours', 'pics')             # no labels
    assert OTHERS in text and '20 images of pics' in text


def test_grey(tmp_path):
    """A grey generator is compared with grey images."""
    write_images(tmp_path / 'pics')
    network = models.generator(32, latent_size=5, width=2, seed=1, colours=1)
    evaluate_in_training(network, {network.arguments[0]: latents_of(0, 60)})
    network.save(str(tmp_path / 'x.model'))
    sheet, _, _ = data_neighbours(Generator(str(tmp_path / 'x.model')), str(tmp_path / 'pics'), {})
    rows = cells(sheet, 32)
    assert (rows == rows[..., :1]).all() and rows[:, 1:].std() > 10


@pytest.mark.parametrize('data, said', [
    ('nothing', 'nothing does not exist; --neighbours takes a folder of images or a map file'),
    ('empty', 'no image in the folder empty'), ('run', 'no image in the folder run'),
    ('run/wgan_generator.model', 'wgan_generator.model'), ('damaged', 'can be read'),
    ('', 'does not exist')])
def test_data_that_can_not_be_used(script, run, tmp_path, data, said):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'damaged').mkdir()
    (tmp_path / 'damaged' / '0.png').write_text('x')
    assert said in script('wgan_page.py', 'run', '--out', 'x.html', '--neighbours', data).sentence
    assert not (tmp_path / 'x.html').exists()


def test_runs_without_a_generator_of_images(script, written, run, tmp_path):
    text = tmp_path / 'text'
    text.mkdir()
    text_models.generator(8, 6, 5, width=2, seed=1).save(str(text / 'wgan_generator.model'))
    call = ['--out', 'x.html', '--neighbours', 'pics']
    assert 'none of the runs has a generator of images' in script(
        'wgan_page.py', 'text', *call).sentence
    assert TRAINED in written('text', 'run', '--neighbours', 'pics')
    for path in run.glob('*.model'):
        path.unlink()
    assert 'none of the runs has a generator' in script('wgan_page.py', 'run', *call).sentence
