"""Augmentation: each part and its gradient against PyTorch, what is drawn, and what a run does."""

import json

import numpy as np
import pytest

from wgan.training.augmentation import ADAPTATION, Augmentation, Probability
from wgan.machine.cntk import C
from helpers import (
    SMALL, assert_same_run, augmentation_feed, family, losses, make_updates)
from wgan.training.objectives import OBJECTIVES


@pytest.mark.slow
@pytest.mark.parametrize('part, name', [
    (Augmentation.colour, 'colour'), (Augmentation.translate, 'moved'),
    (Augmentation.cut_out, 'cut_out')])
def test_each_part_and_its_gradient_equal_pytorch(part, name):
    """In float64. tests/training/test_objectives_pytorch.py has the updates with all of it."""
    r = family()
    with C.default_options(dtype=np.float64):
        augmentation = Augmentation((3, 32, 32))
        x = C.input_variable((3, 32, 32), needs_gradient=True)
        noise = C.input_variable((3, 32, 32))
        image = part(augmentation, x)
        total = C.reduce_sum(image * noise)
    feed = {x: r['real'], noise: r['noise']}
    feed.update((variable, value) for variable, value in augmentation_feed(
        augmentation, r, 'change of real').items() if variable in image.arguments)
    gradient, values = total.grad(feed, wrt=[x], outputs=[image.output])
    assert np.abs(values[:2] - r[name]).max() < 1e-14
    assert np.abs(gradient[:2] - r[name + ' gradient']).max() < 1e-14
    assert 0.1 < np.abs(r[name] - r['real'][:2]).max()


@pytest.mark.parametrize('size, margin', [(32, 4), (64, 8)])
def test_what_is_drawn(size, margin):
    """Evenly, within the ranges of the authors' code, to the ends; each sample by itself."""
    augmentation, count = Augmentation((3, size, size)), 500
    rng, samples = np.random.RandomState(0), np.empty((count, 1))
    drawn = {variable.name: draw(rng, samples) for variable, draw in augmentation.draws.items()}
    assert {value.dtype for value in drawn.values()} == {np.dtype(np.float32)}
    assert {len(value) for value in drawn.values()} == {count}
    for name, low, high in (('brightness', -0.5, 0.5), ('saturation', 0, 2),
                            ('contrast', 0.5, 1.5)):
        x = drawn[name]
        assert low <= x.min() < low + 0.02 * (high - low) < high - 0.02 * (high - low) < x.max()
        assert x.max() <= high and x.mean() == pytest.approx((low + high) / 2, abs=0.15)

    window = drawn['window'][:, 0].astype(int)
    assert (window[:, 2:] - window[:, :2] == size - 1).all()
    for corner in window.T[:2]:
        assert corner.min() == 0 and corner.max() == 2 * margin
    assert (window[:, 0] != window[:, 1]).any()

    mask = drawn['mask']
    assert set(np.unique(mask)) == {0, 1} and (mask == mask[:, :1]).all()
    rows, columns = (1 - mask[:, 0]).max(2).sum(1), (1 - mask[:, 0]).max(1).sum(1)
    assert ((1 - mask[:, 0]).sum((1, 2)) == rows * columns).all()       # each is one square
    assert rows.max() == columns.max() == size // 2
    assert size // 4 <= rows.min() < size // 2 and size // 4 <= columns.min() < size // 2
    cut = 1 - mask[:, 0].mean(0)                # how often each pixel is: more in the middle
    assert cut.min() > 0.05 and cut[size // 2, size // 2] > 2 * cut[0, 0]


def test_an_image_moved_by_nothing_is_itself():
    """With no change of colour, and nothing cut out."""
    augmentation = Augmentation((3, 32, 32))
    x = C.input_variable((3, 32, 32))
    images = np.random.RandomState(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    neutral = {'brightness': np.zeros((2, 1, 1, 1)), 'saturation': np.ones((2, 1, 1, 1)),
               'contrast': np.ones((2, 1, 1, 1)), 'window': np.float32([[[4, 4, 35, 35]]] * 2),
               'mask': np.ones((2, 3, 32, 32))}
    feed = {variable: neutral[variable.name].astype(np.float32) for variable in augmentation.draws}
    feed[x] = images
    np.testing.assert_allclose(augmentation(x).eval(feed), images, atol=3e-7)


@pytest.mark.parametrize('value', [0, 0.3, 1])
def test_each_change_has_its_probability(value):
    """Each by itself, for each sample by itself. At 0 an image stays as it is."""
    probability, count = Probability(target=0.5), 4000
    probability.value = value
    augmentation = Augmentation((3, 32, 32), probability)
    rng, samples = np.random.RandomState(0), np.empty((count, 1))
    drawn = {variable: draw(rng, samples) for variable, draw in augmentation.draws.items()}
    neutral = {'brightness': 0, 'saturation': 1, 'contrast': 1, 'window': [4, 4, 35, 35], 'mask': 1}
    changed = np.array([(values.reshape(count, -1) != np.ravel(neutral[variable.name])).any(1)
                        for variable, values in drawn.items()])
    # One window in 81 is the centre.
    assert changed.mean(1) == pytest.approx([value] * 5, abs=0.03)
    if value == 0.3:
        assert np.abs(np.corrcoef(changed) - np.eye(5)).max() < 0.06
    if value == 0:
        x = C.input_variable((3, 32, 32))
        images = rng.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
        feed = {variable: values[:2] for variable, values in drawn.items()}
        feed[x] = images
        np.testing.assert_allclose(augmentation(x).eval(feed), images, atol=3e-7)


@pytest.mark.parametrize('target', [0.0, 0.4, 1.0])
def test_the_probability_follows_the_overfitting(target):
    """Up while the gap is more than that part of the distance, down otherwise, within [0, 1]."""
    assert [Probability(target, start).value for start in (None, 0.75)] == [0, 0.75]
    assert [Probability(None, start).value for start in (None, 0.75)] == [1, 0.75]
    probability = Probability(target)
    assert (probability.value, Probability().value) == (0, 1)
    for _ in range(100):
        probability.adapt(target * 5 + 1, 5, samples=100)
    assert probability.value == pytest.approx(100 * 100 / ADAPTATION)
    for _ in range(2):
        probability.adapt(-1e6, 5, samples=100)
    assert probability.value == pytest.approx(98 * 100 / ADAPTATION)
    for gap, end in ((-1, 0), (1e9, 1)):
        for _ in range(1100):
            probability.adapt(gap, 1, samples=100)
        assert probability.value == end
    other = Probability(target)
    other.restore(probability.array())
    assert vars(other) == vars(probability)


def test_noise_moves_it_less_than_a_step_of_the_mean():
    """The mean of about 100 iterations decides, not each minibatch."""
    probability, rng = Probability(0.4), np.random.RandomState(0)
    for _ in range(1000):
        probability.adapt(rng.normal(0.7, 2), rng.normal(1, 2), samples=16)
    assert probability.value > 0.9 * 1000 * 16 / ADAPTATION


@pytest.mark.slow
@pytest.mark.parametrize('objective', ['wgan-gp', 'gan', 'r3gan'])      # one for each judgement
def test_adaptive_augmentation_trains_and_resumes(train, images, tmp_path, objective):
    """What is logged is what it follows: the ratio of the gap and the distance."""
    start = ['--data', images, '--objective', objective, '--augment', '--hold-out', 0.4,
             '--augment-target', 0.5, *SMALL]
    for run, iterations in (('whole', 6), ('parts', 3)):
        assert train('--out', run, '--iterations', iterations, *start).code == 0
    assert train('--out', 'parts', '--iterations', 6, '--resume').code == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts')
    settings = json.loads((tmp_path / 'parts' / 'config.json').read_text())['settings']
    assert settings['augment'] is True
    assert (settings['brightness'], settings['contrast'], settings['saturation']) == (0, 0, 0)
    rows = losses(tmp_path / 'whole')
    assert np.isfinite(rows.values).all()
    name, = (column[:-len('_held_out')] for column in rows if column.endswith('_held_out'))
    gap = rows[name] - rows[name + '_held_out']
    distance = rows[name] - rows['D_fake'] if 'D_fake' in rows else rows[name]
    expected = Probability(0.5)
    for row, pair in zip(rows.augmented, zip(gap, distance)):
        expected.adapt(*pair, samples=4)
        assert row == pytest.approx(expected.value)


@pytest.mark.slow
def test_the_probability_of_the_command_line_is_taken_and_kept(train, images, tmp_path):
    start = ['--data', images, '--augment', '--augment-probability', 0.4, *SMALL]
    for run, iterations in (('whole', 4), ('parts', 2)):
        assert train('--out', run, '--iterations', iterations, *start).code == 0
    assert train('--out', 'parts', '--iterations', 4, '--resume').code == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts')
    assert 'augmented' not in losses(tmp_path / 'whole')        # it does not change
    always = [*start[:3], *SMALL]
    assert train('--out', 'always', '--iterations', 4, *always).code == 0
    assert losses(tmp_path / 'always').C_loss.tolist() != losses(tmp_path / 'whole').C_loss.tolist()
    adaptive = [*start, '--augment-target', 0.5, '--hold-out', 0.4]
    assert train('--out', 'adaptive', '--iterations', 1, *adaptive).code == 0
    assert losses(tmp_path / 'adaptive').augmented[0] == pytest.approx(0.4, abs=5 / ADAPTATION)


def test_a_probability_needs_changes(train):
    assert train('--augment-probability', 0.5).sentence.endswith(
        '--augment-probability needs --augment')
    assert 'argument --augment-probability' in train(
        '--augment', '--augment-probability', 0).sentence


@pytest.mark.parametrize('arguments', [
    ['--augment-target', 0.5], ['--augment', '--augment-target', 0.5],
    ['--hold-out', 0.1, '--augment-target', 0.5]])
def test_a_target_needs_what_it_is_measured_with(train, arguments):
    assert '--augment-target needs --augment, and --hold-out' in train(*arguments).sentence


@pytest.mark.slow
@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_each_update_draws_for_real_and_generated_images_apart(objective, monkeypatch):
    updates = make_updates(objective, '--augment')
    fed = []
    for trainer in updates.trainers.values():
        real = trainer.train_minibatch
        monkeypatch.setattr(trainer, 'train_minibatch', lambda feed, real=real, **more: (
            fed.append(feed), real(feed, **more))[1])
    for step in (1, 2):
        updates.update_critic(np.zeros((4, 3, 32, 32), np.float32))
        updates.update_generator(step)
    assert np.isfinite(updates.row()).all()
    masks = [[value for variable, value in feed.items() if variable.name == 'mask']
             for feed in fed]
    of_generator = 2 if objective == 'r3gan' else 1             # it sees real images too
    assert [len(drawn) for drawn in masks] == [2, of_generator] * 2
    masks = [mask.tobytes() for drawn in masks for mask in drawn]
    assert len(set(masks)) == len(masks)


@pytest.mark.slow
def test_the_articles_variation_stays_if_it_is_asked_for(train, images, tmp_path):
    start = ['--data', images, '--iterations', 1, *SMALL]
    assert train('--out', 'a', '--augment', '--contrast', 0.1, *start).code == 0
    assert train('--out', 'b', *start).code == 0
    a, b = (json.loads((tmp_path / run / 'config.json').read_text())['settings'] for run in 'ab')
    names = 'augment', 'brightness', 'contrast', 'saturation'
    assert [a[name] for name in names] == [True, 0, 0.1, 0]
    assert [b[name] for name in names] == [False, 0.2, 0.2, 0.2]
    assert 'has other settings: augment was False and is now True' in train(
        '--out', 'b', '--resume', '--augment').sentence
