"""--hold-out: which images are never trained on, and what the critic makes of them."""

import functools
import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from helpers import (
    SMALL, losses, make_updates, onnx_network, tree, write_images)
from wgan.generators.evaluation import evaluate_in_training
from wgan.datasets.batches import split
from wgan.datasets.images import ImageSet
from wgan.training.objectives import OBJECTIVES
from wgan.pictures.plotting import plot
from wgan.training.updates import Updates
import wgan.training.image_run
import wgan.pictures.plotting

PLAIN = ['--brightness', 0, '--contrast', 0, '--saturation', 0, '--no-mirror']


@pytest.fixture
def greys(tmp_path):
    """A folder of 20 images, each of one grey that tells it from the others."""
    (tmp_path / 'greys').mkdir()
    for i in range(20):
        cv2.imwrite(str(tmp_path / 'greys' / ('%02d.png' % i)),
                    np.full((32, 32, 3), 12 * i, np.uint8))
    return tmp_path / 'greys'


@pytest.mark.parametrize('count', [1, 2, 10, 101])
@pytest.mark.parametrize('part', [0, 0.1, 0.25, 0.5, 0.999])
def test_split(count, part):
    paths = ['%03d' % i for i in range(count)]
    training, held_out = split(paths, part, seed=3)
    assert sorted(training + held_out) == paths and len(held_out) == round(part * count)
    assert training == sorted(training) and held_out == sorted(held_out)
    assert split(paths, part, seed=3) == (training, held_out)
    if count == 101 and 0 < part < 0.9:
        assert split(paths, part, seed=4) != (training, held_out)
        assert len(set(np.diff([int(path) for path in held_out]))) > 1      # not every tenth


@pytest.mark.parametrize('seed', range(20))
def test_split_keeps_copies_on_one_side(seed):
    """And holds out no more than is asked for; without copies, the first of a permutation."""
    random = np.random.RandomState(seed)
    count, part = random.randint(2, 40), random.uniform(0, 0.9)
    wanted, numbers = int(round(part * count)), list(range(count))
    assert split(numbers, part, seed)[1] == split(numbers, part, seed, numbers)[1] == sorted(
        np.random.RandomState(seed).permutation(count)[:wanted])
    contents = random.randint(0, max(2, count // 2), count).tolist()
    training, held_out = split(numbers, part, seed, contents)
    assert sorted(training + held_out) == numbers and len(held_out) <= wanted
    assert not {contents[i] for i in training} & {contents[i] for i in held_out}
    smallest = min([contents.count(contents[i]) for i in training] or [count])
    assert wanted - len(held_out) < smallest            # no other copies would have had room


@pytest.mark.slow
@pytest.mark.parametrize('how', ['files', 'names', 'lines', 'links'])
@pytest.mark.parametrize('memory_limit', [1 << 30, 0])
def test_copies_are_not_trained_on_and_held_out(train, greys, tmp_path, monkeypatch, how,
                                                memory_limit):
    """Files with the same content, of whatever name, or listed twice in a map file."""
    monkeypatch.setattr(wgan.training.image_run, 'ImageSet',
                        functools.partial(ImageSet, memory_limit=memory_limit))
    data, paths = greys, sorted(greys.iterdir())
    for path in paths:
        if how == 'files':
            shutil.copy(str(path), str(greys / ('copy of ' + path.name)))
        elif how == 'names':
            (greys / ('x' + path.stem + '.jpg')).write_bytes(path.read_bytes())
        elif how == 'links':
            (greys / ('link to ' + path.name)).symlink_to(path)
    if how == 'lines':
        data = tmp_path / 'map.txt'
        data.write_text(''.join('greys/%s\n' % path.name for path in paths * 2))
    seen = watch(monkeypatch)
    result = train('--data', data, '--out', 'run', '--hold-out', 0.25, '--iterations', 12, *PLAIN,
                   *SMALL)
    assert result.code == 0, result.err
    assert '20 of 40 images are copies of others; copies are trained on together or held out ' \
        'together' in result.err
    assert len(seen['update_critic']) == 15 and len(seen['judge_held_out']) == 5
    assert seen['update_critic'] | seen['judge_held_out'] == set(range(20))


def watch(monkeypatch):
    """{method of Updates: numbers of the images of `greys` that it is given}."""
    seen = {'update_critic': set(), 'judge_held_out': set()}
    for name, levels in seen.items():
        def watched(self, reals, labels, real=getattr(Updates, name), levels=levels):
            levels.update(int(round(127.5 * (image[0, 0, 0] + 1) / 12)) for image in reals)
            return real(self, reals, labels)
        monkeypatch.setattr(Updates, name, watched)
    return seen


@pytest.mark.slow
def test_images_held_out_are_never_trained_on(train, greys, tmp_path, monkeypatch):
    """Before and after the run is stopped and resumed; and they are all looked at."""
    seen = watch(monkeypatch)
    start = ['--data', greys, '--out', 'run', '--hold-out', 0.3, '--iterations', 8,
             '--checkpoint-every', 4, *PLAIN, *SMALL]
    assert train(*start).code == 0
    assert len(seen['update_critic']) == 14 and len(seen['judge_held_out']) == 6
    assert train('--out', 'run', '--resume', '--iterations', 20).code == 0
    assert len(seen['update_critic']) == 14 and len(seen['judge_held_out']) == 6
    assert seen['update_critic'] | seen['judge_held_out'] == set(range(20))
    about = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert (about['images'], about['held_out_images']) == (14, 6)


@pytest.mark.slow
@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_what_is_logged_and_that_nothing_changes(objective):
    """Scores of a network as it is trained: of a batch critic, by the batch's own statistics."""
    updates = make_updates(objective, '--hold-out', '0.5')
    rng = np.random.RandomState(1)
    reals = rng.uniform(-1, 1, (3, 3, 32, 32)).astype(np.float32)
    updates.update_critic(rng.uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32))
    updates.update_generator(1)

    def state():
        networks = (updates.generator, updates.critic, updates.average.generator)
        return [p.value for network in networks
                for p in list(network.parameters) + list(network.constants)]
    before, drawn = state(), np.random.RandomState()
    drawn.set_state(updates.rng.get_state())
    updates.judge_held_out(reals)
    assert all(np.array_equal(a, b) for a, b in zip(before, state()))
    row = dict(zip(updates.columns, updates.row()))
    assert len(row) == len(updates.row()) == len(updates.columns)

    latents = drawn.standard_normal((3, 100)).astype(np.float32)
    fakes = evaluate_in_training(updates.generator, {updates.latent: latents})
    real, fake = (evaluate_in_training(updates.critic, {updates.critic.arguments[0]: images})
                  for images in (reals, fakes))
    name, = (name for name in row if name.endswith('_held_out'))
    if name in ('wasserstein_held_out', 'score_difference_held_out'):
        assert row[name] == pytest.approx(real.mean() - fake.mean(), rel=1e-4)
    else:
        assert row['D_real_held_out'] == pytest.approx((1 / (1 + np.exp(-real))).mean(), rel=1e-5)


@pytest.mark.slow
def test_scores_compare_with_images_that_are_trained_on(train, tmp_path):
    write_images(tmp_path / 'pics', count=40)
    assert train('--data', 'pics', '--out', 'run', '--iterations', 1, '--hold-out', 0.25,
                 '--score-every', 1, '--score-count', 30, '--inception',
                 onnx_network(tmp_path / 'n.onnx'), *SMALL).code == 0
    about = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert about['scores']['reference_count'] == about['images'] == 30


@pytest.mark.slow
def test_the_critic_learns_by_heart(train, tmp_path):
    """Noise that it was trained on and noise that it was not: only by heart can it tell them."""
    write_images(tmp_path / 'pics', count=16)
    assert train('--data', 'pics', '--out', 'run', '--iterations', 60, '--hold-out', 0.5,
                 '--learning-rate', 0.001, '--image-size', 32, '--width', 8, '--latent-size', 5,
                 '--batch-size', 8, *PLAIN).code == 0
    table = losses(tmp_path / 'run')[-10:].mean()
    assert table['wasserstein'] > table['wasserstein_held_out'] + 1


@pytest.mark.parametrize('arguments, said', [
    (['--hold-out', 1], 'it must be at least 0 and below 1'),
    (['--hold-out', -0.1], 'it must be at least 0 and below 1'),
    (['--hold-out', 'all'], "'all' is not a number"),
    (['--hold-out', 0.01], '--hold-out 0.01 of 10 images leaves no images to hold out'),
    (['--hold-out', 0.97], '--hold-out 0.97 of 10 images leaves no images to train on'),
    (['--hold-out', 0.7], '--batch-size is 4, but {0} has only 3 readable images to train on'),
])
def test_bad_input(train, images, tmp_path, arguments, said):
    sentence = train('--data', images, '--out', 'run', *arguments, *SMALL).sentence
    assert said.format(images) in sentence
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_resumed_with_other_images(train, images, tmp_path):
    """Some of them would be held out now that were trained on: it is not allowed at all."""
    assert train('--data', images, '--out', 'run', '--iterations', 1, '--hold-out', 0.4,
                 *SMALL).code == 0
    write_images(tmp_path / 'more', count=12)
    before = tree(tmp_path / 'run')
    for extra in ([], ['--allow-change', 'data']):
        sentence = train('--out', 'run', '--resume', '--iterations', 2, '--data', 'more',
                         *extra).sentence
        assert 'a run with --hold-out can not continue with others' in sentence
        assert '6 readable images to train on and now has 7' in sentence
        assert '--allow-change' not in sentence
    assert 'hold_out was 0.4 and is now 0.2' in train(
        '--out', 'run', '--resume', '--hold-out', 0.2).sentence
    assert tree(tmp_path / 'run') == before


def test_plot(tmp_path, monkeypatch):
    """A second line beside that of the training images, and both averaged."""
    figures, steps = [], np.arange(1, 101)
    pd.DataFrame({'step': steps, 'G_loss': 0, 'C_loss': 0, 'wasserstein': 3 + (-1.) ** steps,
                  'wasserstein_held_out': 1.}).to_csv(str(tmp_path / 'wgan.csv'), index=False)
    monkeypatch.setattr(wgan.pictures.plotting, 'save_figure',
                        lambda figure, path: figures.append(figure))
    plot([str(tmp_path / 'wgan.csv')], str(tmp_path / 'x.png'))
    loss, _, axis = figures[0].axes
    assert [len(loss.lines), len(axis.lines)] == [1, 4]
    assert [line.get_linestyle() for line in axis.lines] == ['-', '-', ':', ':']
    assert abs(axis.lines[1].get_ydata()[-1] - 3) < 0.1
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        'trained on, averaged', 'held out, averaged']
