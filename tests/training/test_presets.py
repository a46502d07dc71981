"""--preset: settings of a source, for all that the user has not set."""

import json

import pytest

from helpers import SMALL, losses
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import parse
from wgan.training.presets import PRESETS
from wgan.training.updates import critic_updates


@pytest.mark.parametrize('name', list(PRESETS))
def test_sets_all_that_its_objective_has(name):
    """And nothing else: what the defaults add or refuse would not be the source's."""
    options = parse(['--preset', name])
    own = set(OBJECTIVES[options.objective].settings) - {'minimax', 'one_sided', 'n_critic_boost'}
    assert own <= set(PRESETS[name])
    for setting, value in PRESETS[name].items():
        assert getattr(options, setting) == value, setting


def test_article_is_the_default():
    """Except for what the published code does not have: mirrored images, the moving average."""
    plain, preset = parse([]), parse(['--preset', 'article'])
    different = {name for name, value in vars(plain).items() if value != getattr(preset, name)}
    assert different == {'preset', 'mirror', 'ema'}


@pytest.mark.parametrize('given, expected', [
    (['--learning-rate', '1e-3'], 1e-3),                # as set
    (['--learning-rate', '1e-4'], 1e-4),                # also where it is another source's
    ([], 5e-5),
])
def test_what_is_set_wins(given, expected):
    options = parse(['--preset', 'cntk-206c-wgan'] + given)
    assert options.learning_rate == expected and options.n_critic_boost == 100


@pytest.mark.parametrize('boost, expected', [
    (100, {1: 100, 25: 100, 26: 5, 500: 5, 501: 100, 502: 5, 1000: 5, 1001: 100}),
    (0, {1: 5, 26: 5, 501: 5}), (None, {1: 5, 501: 5}), (2, {25: 2, 26: 5})])
def test_schedule_of_the_critic(boost, expected):
    """Arjovsky's counts iterations from 0: below 25, and those that 500 divides."""
    assert {step: critic_updates(step, 5, boost) for step in expected} == expected


@pytest.mark.slow
def test_run_has_it_and_goes_on_with_it(script, images, tmp_path):
    start = ['--data', images, '--preset', 'wgan-paper', '--n-critic-boost', 4, '--iterations', 26]
    assert script('wgan_training.py', '--out', 'run', *start, *SMALL).code == 0
    settings = json.loads((tmp_path / 'run' / 'config.json').read_text())['settings']
    assert settings['preset'] == 'wgan-paper' and settings['mirror'] is False
    assert (settings['n_critic_boost'], settings['clip'], settings['image_size']) == (4, 0.01, 32)
    assert script('wgan_training.py', '--out', 'run', '--resume', '--iterations', 28).code == 0
    assert len(losses(tmp_path / 'run')) == 28
    sentence = script('wgan_training.py', '--out', 'run', '--resume', '--preset',
                      'article').sentence
    assert 'preset was wgan-paper and is now article' in sentence
