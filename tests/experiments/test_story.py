"""The experiments of docs/story.md: closed forms, estimates, counted modes, errors."""

import numpy as np
import pandas as pd
import pytest

from helpers import call_program
import critic_surfaces
import loss_and_quality
import optimal_discriminator
import parallel_lines
import points

FACES = ('vanishing_gradient.py', 'loss_and_quality.py')
PROGRAMS = ('parallel_lines.py', 'optimal_discriminator.py', 'critic_surfaces.py',
            'modes_found.py') + FACES


class Silent:
    def show(self, done):
        """As Progress does."""


def test_modes_found():
    """Ten samples on each of two modes, ten between them: two of eight, two thirds."""
    beside = np.array([[0.14, 0], [0, 0.14], [-0.14, 0]])            # 2.8 deviations
    samples = np.concatenate([np.tile(points.EIGHT[0], (7, 1)), points.EIGHT[0] + beside,
                              np.tile(points.EIGHT[3], (10, 1)), np.zeros((10, 2))])
    assert points.modes_found(samples, points.EIGHT) == (2, pytest.approx(2 / 3))
    assert points.modes_found(samples, points.EIGHT, reach=2.7) == (2, pytest.approx(17 / 30))


def test_a_few_samples_do_not_find_a_mode():
    """Of 800 samples 100 are a mode's share: nine are less than a tenth of it, ten are not."""
    for count, found in ((9, 1), (10, 2)):
        samples = np.concatenate([np.tile(points.EIGHT[0], (800 - count, 1)),
                                  np.tile(points.EIGHT[1], (count, 1))])
        assert points.modes_found(samples, points.EIGHT)[0] == found


@pytest.mark.parametrize('centres', [points.EIGHT, points.TWENTY_FIVE], ids=len)
def test_real_points_find_all_modes(centres):
    """Within r deviations in the plane are 1 − exp(−r² / 2)."""
    samples = points.gaussians(centres)(np.random.RandomState(0), 20000)
    modes, part = points.modes_found(samples, centres)
    assert modes == len(centres) and part == pytest.approx(1 - np.exp(-4.5), abs=0.003)
    apart = np.linalg.norm(centres[:, None] - centres, axis=2) + 9 * np.eye(len(centres))
    assert apart.min() > 6 * points.DEVIATION


def test_swiss_roll_is_a_spiral():
    x, y = points.swiss_roll(np.random.RandomState(0), 500).T
    angle = 15 * np.hypot(x, y)
    assert angle.min() > 1.5 * np.pi and angle.max() < 4.5 * np.pi
    np.testing.assert_allclose(np.stack([np.cos(angle), np.sin(angle)]), [x, y] / np.hypot(x, y))


@pytest.mark.parametrize('theta', [0, 0.3, -2])
def test_closed_forms_of_the_lines(theta):
    """Against histograms across the lines: the lines are two bins there."""
    _, jensen_shannon, wasserstein = parallel_lines.closed_forms(theta)
    edges = np.linspace(-3, 3, 6001)
    p, q = (np.histogram([x], edges)[0] for x in (0.0005, theta + 0.0005))
    assert optimal_discriminator.jensen_shannon(p, q, 1) == pytest.approx(jensen_shannon)
    # In one dimension W is the area between the cumulative distributions.
    assert np.abs(np.cumsum(p - q)).sum() * 0.001 == pytest.approx(wasserstein)


def test_jensen_shannon_of_gaussians():
    """Against the mean of log-ratios over samples of each."""
    fake = optimal_discriminator.FAKES['two Gaussians']
    x, density = optimal_discriminator.X, optimal_discriminator.density
    real = optimal_discriminator.REAL
    found = optimal_discriminator.jensen_shannon(
        density(x, *real), density(x, *fake), x[1] - x[0])
    rng, halves = np.random.RandomState(0), []
    for mean, deviation in (real, fake):
        s = mean + deviation * rng.standard_normal(200000)
        middle = (density(s, *real) + density(s, *fake)) / 2
        halves.append(np.log(density(s, mean, deviation) / middle).mean())
    assert found == pytest.approx(np.mean(halves), abs=0.003)


def test_generator_of_one_parameter():
    generator, theta = parallel_lines.build_generator()
    assert [p.uid for p in generator.parameters] == [theta.uid]
    found = generator.eval(np.float32([[0.5], [-3]]))
    np.testing.assert_allclose(found.reshape(2, 2), [[parallel_lines.START, 0.5],
                                                     [parallel_lines.START, -3]])


def test_spearman():
    a = pd.Series([1.0, 2, 3, 4, 5])
    assert loss_and_quality.spearman(a, np.exp(a)) == pytest.approx(1)
    # 1 − 6 Σ d² / n (n² − 1), with d = 1, 1, 1, 1, 0
    assert loss_and_quality.spearman(a, pd.Series([20, 10, 40, 30, 50])) == pytest.approx(0.8)


def test_pixels():
    """Each feature is the mean of 4 × 4 pixels of one colour."""
    images = np.random.RandomState(0).randint(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    expected = images.reshape(3, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(3, 192) / 255
    np.testing.assert_allclose(loss_and_quality.pixels(images), expected, atol=0.51 / 255)


@pytest.mark.slow
@pytest.mark.parametrize('objective', parallel_lines.ESTIMATED)
def test_estimates_of_the_lines(objective):
    """Within 1 % of the closed form, as docs/story.md says."""
    found, _ = parallel_lines.estimate(objective, 1.0, 600, Silent(), 0)
    exact = {'JS': np.log(2), 'W': 1}[parallel_lines.ESTIMATED[objective]]
    assert found == pytest.approx(exact, rel=0.01)


@pytest.mark.slow
def test_optimal_discriminator():
    x, density = optimal_discriminator.X, optimal_discriminator.density
    fake = optimal_discriminator.FAKES['two Gaussians']
    p, q = density(x, *optimal_discriminator.REAL), density(x, *fake)
    found, value = optimal_discriminator.train('test', fake, 1000)
    assert np.abs(found - p / (p + q))[(p + q) / 2 > 0.01].max() < 0.02
    assert value == pytest.approx(-np.log(4) + 2 * optimal_discriminator.jensen_shannon(
        p, q, x[1] - x[0]), abs=0.01)


@pytest.mark.slow
def test_same_seed_same_surface():
    first, again = (critic_surfaces.train('wgan-gp', points.swiss_roll, 3, Silent(), 0)
                    for _ in range(2))
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()


@pytest.mark.parametrize('program', PROGRAMS)
@pytest.mark.parametrize('arguments, said', [
    (['--out', 'figure.txt'], 'plots are written as'),
    (['--out', 'missing/figure.png'], 'missing'),
    (['--iterations', '0'], 'must be at least 1'),
])
def test_errors(program, arguments, said, script):
    assert said in script(program, *arguments).sentence


@pytest.mark.parametrize('program', FACES)
def test_errors_of_the_data(program, script):
    assert 'nowhere' in script(program, '--data', 'nowhere').sentence


def test_a_network_that_is_not_there(script):
    assert 'no.onnx' in script('loss_and_quality.py', '--inception', 'no.onnx').sentence


def test_a_figure_is_not_overwritten(script, tmp_path):
    (tmp_path / 'figure.png').write_text('')
    assert 'exists already' in script('parallel_lines.py', '--out', 'figure.png').sentence
    assert call_program('parallel_lines.py', '--help') == 0
