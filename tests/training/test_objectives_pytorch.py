"""The objectives beside WGAN-GP, as a user trains with them."""

import json

import numpy as np
import pytest

from wgan.machine.cntk import C
import models
from wgan.training import objectives
from helpers import (
    SMALL, assert_resume_is_exact, augmentation_feed, family, losses, singular_vectors)
from wgan.training.augmentation import Augmentation, Unchanged
from wgan.training.layers import PowerIteration
from wgan.generators.evaluation import label_input, latent_input
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import objective_settings, parse
from wgan.training.updates import trainer

COLUMNS = {
    'wgan-gp': ['GP', 'wasserstein', 'grad_norm'],
    'wgan': ['wasserstein'],
    'gan': ['D_real', 'D_fake'],
    'dragan': ['D_real', 'D_fake', 'GP', 'grad_norm'],
    'gan-r1': ['D_real', 'D_fake', 'R1'],
    'r3gan': ['score_difference', 'R1', 'R2'],
    'sn-gan': ['score_difference'],
    'ls-gan': ['score_difference', 'margin'],
}


def key(network, parameter):
    return '%s %s %s' % (network, parameter.name, 'x'.join(map(str, parameter.shape)))


OBJECTIVE_CASES = ['wgan-gp', 'wgan', 'gan', 'minimax', 'dragan', 'gan-r1', 'r3gan', 'sn-gan']
ARGUMENTS = {'wgan-gp': ['--beta2', '0.9'], 'augmented': ['--beta2', '0.9'],
             'one-sided': ['--beta2', '0.9', '--one-sided'], 'one-sided-dragan': ['--one-sided'],
             'minimax': ['--minimax'], 'gan-r1': ['--gamma', '0.5'], 'r3gan': ['--gamma', '0.5'],
             'ls-gan': ['--margin-weight', '0.0005', '--weight-decay', '0.01']}
STANDS_FOR = {'minimax': 'gan', 'augmented': 'wgan-gp', 'one-sided': 'wgan-gp',
              'one-sided-dragan': 'dragan'}
CASES = OBJECTIVE_CASES + ['augmented', 'ls-gan', 'one-sided', 'one-sided-dragan'] + [
    'labelled ' + objective for objective in OBJECTIVE_CASES]


@pytest.mark.parametrize('case', [
    pytest.param(case, marks=[pytest.mark.slow] * (case != 'wgan-gp')) for case in CASES])
def test_one_update_of_each_network_equals_pytorch(case):
    """Critic, then generator, as the training loop does it; all weights of both, in float64."""
    r, kind, objective = family(), case[:-len(case.split()[-1])], case.split()[-1]
    name = STANDS_FOR.get(objective, objective)
    options = parse(['--objective', name, '--batch-size', '4'] + ARGUMENTS.get(objective, []))
    settings, normalization = objective_settings(options), OBJECTIVES[name].normalization
    labels = r['labels'].shape[2] if kind else 0
    with C.default_options(dtype=np.float64):
        networks = {'generator': models.generator(32, 5, 2, labels=labels),
                    'critic': models.critic(32, 2, normalization=normalization, labels=labels)}
        critic = kind + 'one-sided ' * objective.startswith('one-sided') + 'critic '
        keys = {'generator': kind + 'generator', 'critic': critic + normalization}
        for which, network in networks.items():
            for p in network.parameters:
                p.value = r[key(keys[which], p)]
        singular = singular_vectors(networks['critic'])
        for weights, u, _ in singular:
            u.value = r['%s u %s' % (keys['critic'], 'x'.join(map(str, weights.shape)))][None]
        latent = latent_input(networks['generator'])
        label = label_input(networks['generator'])
        given = {'label': label} if kind else {}
        real = C.input_variable((3, 32, 32))
        of_real, of_fake = (Augmentation((3, 32, 32)) if objective == 'augmented' else Unchanged()
                            for _ in range(2))

        def generate(z):
            return of_fake(networks['generator'](latent=z, **given))
        made = OBJECTIVES[name].build_losses(
            generate, lambda x: networks['critic'](image=x, **given), latent, of_real(real),
            C.stop_gradient(generate(latent)), settings)
        # Only the critic's weights are clipped.
        own = {'critic': dict(settings, batch_size=4),
               'generator': dict(settings, batch_size=4, clip=None)}
        trainers = {which: trainer(loss, [], OBJECTIVES[name].build_optimizer(
                        networks[which].parameters, own[which]))
                    for which, loss in (('critic', made.critic_loss),
                                        ('generator', made.generator_loss))}

    draws = {'epsilon': r['epsilon'], 'delta': 0.5 * r['real'].std() * r['noise']}
    feed = {variable: draws[variable.name] for variable in made.draws}
    feed.update({real: r['real'], latent: r['latents'][0]})
    feed.update(augmentation_feed(of_real, r, 'change of real'))
    feed.update(augmentation_feed(of_fake, r, 'change of fake'))
    feed.update({label: r['labels'][0]} if kind else {})
    PowerIteration(networks['critic']).run()
    trainers['critic'].train_minibatch(feed)
    feed = {latent: r['latents'][1]}
    feed.update(augmentation_feed(of_fake, r, 'change of generated'))
    feed.update({label: r['labels'][1]} if kind else {})
    if real in made.generator_loss.arguments:       # those of the critic's update, and their labels
        feed[real] = r['real']
        feed.update({label: r['labels'][0]} if kind else {})
    trainers['generator'].train_minibatch(feed)

    for which, network in networks.items():
        assert trainers[which].previous_minibatch_loss_average == pytest.approx(
            float(r['%s %s_loss' % (case, which)]), rel=1e-7)
        for p in network.parameters:                # a step is about as long as the learning rate
            after = r['%s after %s' % (case, key(keys[which], p))]
            assert np.abs(p.value - after).max() < 1e-5 * options.learning_rate, key(which, p)
    for weights, u, _ in singular:
        np.testing.assert_allclose(u.value[0], r['%s after %s u %s' % (
            case, keys['critic'], 'x'.join(map(str, weights.shape)))], rtol=1e-12)


def test_hinge_losses_of_sn_gan():
    """Scores beyond 1 for real and −1 for generated images are good enough."""
    real, fake = C.input_variable(1), C.input_variable(1)
    made = objectives.sn_gan(C.alias, C.alias, fake, real, fake)
    scores = [np.float32([[0.5], [2], [-3], [0]]), np.float32([[-0.5], [-2], [3], [0]])]
    np.testing.assert_array_equal(made.critic_loss.eval(dict(zip((real, fake), scores))),
                                  [[1], [0], [8], [2]])
    np.testing.assert_array_equal(made.generator_loss.eval({fake: scores[1]}), -scores[1])


def test_dragan_draws_half_a_deviation():
    """δ lies between 0 and half of the minibatch's standard deviation, evenly."""
    x, z = C.input_variable((3, 32, 32)), C.input_variable(5)
    made = objectives.dragan(models.generator(32, 5, 2), models.critic(32, 2), z, x, x)
    rng = np.random.RandomState(0)
    images = rng.uniform(-1, 1, (16, 3, 32, 32)).astype(np.float32)
    drawn = {variable.name: draw(rng, images) for variable, draw in made.draws.items()}
    half = images.std() / 2
    assert drawn['delta'].shape == images.shape and drawn['epsilon'].shape == (16, 1, 1, 1)
    assert 0 <= drawn['delta'].min() and 0.999 * half < drawn['delta'].max() <= half
    assert drawn['delta'].mean() == pytest.approx(half / 2, rel=0.02)
    assert drawn['delta'].dtype == drawn['epsilon'].dtype == np.float32


@pytest.mark.parametrize('size, batch, gamma', [(32, 16, 0.0128), (64, 16, 0.0512),
                                                (64, 32, 0.0256), (256, 16, 0.8192)])
def test_gamma_follows_from_the_images_size(size, batch, gamma):
    """0.0002 · pixels² / batch, as in StyleGAN2-ADA's train.py; what is set wins."""
    start = ['--objective', 'gan-r1', '--image-size', str(size), '--batch-size', str(batch)]
    assert parse(start).gamma == pytest.approx(gamma)
    assert parse(start + ['--gamma', '0']).gamma == 0


def test_the_margin_is_kept_by_some_pairs_only():
    """Of the pairs that `ls-gan` is compared with, so that both sides of the hinge are."""
    hinge = family()['ls-gan hinge']
    assert (hinge == 0).any() and (hinge > 0).any()


def test_the_one_sided_penalty_is_of_some_images_only():
    """Of those that it is compared with, so that both sides are."""
    for name in ('one-sided', 'one-sided-dragan'):
        norms = family()[name + ' norms']
        assert (norms < 1).any() and (norms > 1).any()


def size(*extra):
    """SMALL without --n-critic: that follows the objective."""
    return SMALL[:SMALL.index('--n-critic')] + list(extra)


@pytest.mark.slow
@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_run(train, images, tmp_path, objective):
    """With its defaults. (test_labels.py resumes each.)"""
    whole = tmp_path / 'whole'
    result = train('--data', images, '--objective', objective, '--out', whole, '--iterations', 4,
                   *size())
    assert result.code == 0, result.err
    table = losses(whole)
    assert list(table) == ['step', 'G_loss', 'C_loss'] + COLUMNS[objective] + ['seconds']
    assert np.isfinite(table.values).all() and (whole / 'losses.png').stat().st_size > 5000
    settings = json.loads((whole / 'config.json').read_text())['settings']
    assert settings['objective'] == objective
    for name, value in OBJECTIVES[objective].settings.items():
        assert settings[name] == value or value is None
    if objective == 'wgan':
        critic = C.Function.load(str(whole / 'wgan_critic.model'))
        assert max(np.abs(p.value).max() for p in critic.parameters) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize('objective', ['wgan-gp', 'dragan'])
def test_one_sided(train, images, tmp_path, objective):
    """Norms below 1, as those of new weights are, cost nothing."""
    start = ['--data', images, '--objective', objective, '--iterations', 1, *size()]
    for run, more in (('one', ['--one-sided']), ('other', [])):
        assert train('--out', run, *start, *more).code == 0
    one, other = (losses(tmp_path / run).iloc[0] for run in ('one', 'other'))
    assert one['GP'] < 0.9 * other['GP']


@pytest.mark.slow
def test_a_one_sided_penalty_is_resumed(train, images, tmp_path):
    assert_resume_is_exact(train, tmp_path, '--data', images, '--one-sided', '--augment',
                           '--hold-out', 0.2, *SMALL)


@pytest.mark.slow
@pytest.mark.parametrize('arguments', [
    ['gan-r1', '--gamma', 0.1], ['r3gan', '--gamma', 0.1], ['dragan', '--one-sided']])
def test_text(train, tmp_path, arguments):
    (tmp_path / 'names.txt').write_text(''.join('line %d\n' % (i * i) for i in range(60)))
    start = ['--text', '--data', 'names.txt', '--width', 4, '--batch-size', 4, '--n-critic', 1,
             '--score-count', 10, '--objective', *arguments]
    assert_resume_is_exact(train, tmp_path, *start)


@pytest.mark.slow
def test_what_is_set_wins(script, images, tmp_path):
    assert script('wgan_training.py', '--data', images, '--out', 'run', '--iterations', 2,
                  '--objective', 'gan', '--minimax', '--learning-rate', 0.001, '--n-critic', 2,
                  *size()).code == 0
    settings = json.loads((tmp_path / 'run' / 'config.json').read_text())['settings']
    assert (settings['minimax'], settings['learning_rate'], settings['n_critic'],
            settings['beta1'], settings['penalty_weight']) == (True, 0.001, 2, 0.5, None)
    assert (losses(tmp_path / 'run')['G_loss'] < 0).all()           # log(1 − D) is


@pytest.mark.parametrize('arguments, said', [
    (['--objective', 'lsgan'], ['lsgan', 'wgan-gp', 'ls-gan']),
    (['--objective', 'gan', '--weight-decay', 0.1], ['--weight-decay', 'gan', '--minimax']),
    (['--objective', 'ls-gan', '--margin-weight', -1], ['--margin-weight', 'at least 0']),
    (['--n-critic-boost', 100], ['--n-critic-boost', 'wgan-gp', '--n-critic']),
    (['--objective', 'wgan', '--n-critic-boost', -1], ['--n-critic-boost', 'at least 0']),
    (['--preset', 'wgan'], ['--preset', 'wgan', 'wgan-paper']),
    (['--preset', 'wgan-paper', '--objective', 'gan'],
     ['--preset wgan-paper', '--objective wgan', 'not gan']),
    (['--preset', 'wgan-paper', '--beta1', 0.5], ['--beta1', 'wgan']),
    (['--objective', 'wgan', '--penalty-weight', 10], ['--penalty-weight', 'wgan', '--clip']),
    (['--objective', 'wgan', '--beta1', 0.5], ['--beta1', 'wgan']),
    (['--objective', 'gan-r1', '--penalty-weight', 10], ['--penalty-weight', 'gan-r1', '--gamma']),
    (['--objective', 'gan-r1', '--gamma', -1], ['--gamma', 'at least 0']),
    (['--gamma', 1], ['--gamma', 'wgan-gp', '--penalty-weight']),
    (['--objective', 'gan-r1', '--text'], ['--objective gan-r1 with --text needs --gamma']),
    (['--objective', 'sn-gan', '--text'], ['--objective sn-gan is for images']),
    (['--objective', 'sn-gan', '--gamma', 1], ['--gamma', 'sn-gan', '--beta2']),
    (['--objective', 'gan-r1', '--one-sided'], ['--one-sided', 'gan-r1', '--gamma']),
    (['--objective', 'wgan', '--clip', 0], ['--clip', 'above 0']),
    (['--objective', 'wgan', '--clip', -0.01], ['--clip', 'above 0']),
    (['--clip', 0.01], ['--clip', 'wgan-gp', '--penalty-weight']),
    (['--minimax'], ['--minimax', 'wgan-gp']),
    (['--objective', 'gan', '--penalty-weight', 1], ['--penalty-weight', 'gan', '--minimax']),
])
def test_bad_input(script, images, tmp_path, arguments, said):
    sentence = script('wgan_training.py', '--data', images, '--out', 'run', *arguments).sentence
    for words in said:
        assert words in sentence
    assert not (tmp_path / 'run').exists()
