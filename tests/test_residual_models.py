"""The residual networks: against PyTorch, shapes, initial weights; and runs with them."""

import json
import os

import numpy as np
import pytest

import residual_models
from helpers import (
    SMALL, TESTS, assert_resume_is_exact, make_updates, onnx_network, read_rgb, singular_vectors,
    spectral_norms, write_images)
from wgan.datasets.images import IMAGE_SIZES
from wgan.datasets.labels import Labels, one_hot
from wgan.generators.directions import directions, first_weights
from wgan.generators.evaluation import evaluate_in_training, generate, label_input, latent_input
from wgan.machine.cntk import C
from wgan.machine.command_line import UserError
from wgan.training.layers import PowerIteration
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import objective_settings, parse
from wgan.training.starting import begin_with
from wgan.training.updates import trainer

pytestmark = pytest.mark.slow

WIDTHS = {32: 4, 64: 2}


@pytest.fixture(scope='module')
def reference():
    """What tests/make_residual_reference.py computed with PyTorch."""
    with np.load(os.path.join(TESTS, 'residual.npz'), allow_pickle=False) as saved:
        return dict(saved)


def in_order(parameters):
    """Parameters in the order in which they were made, which is that of the layers."""
    return sorted(parameters, key=lambda p: int(p.uid[len('Parameter'):]))


@pytest.mark.parametrize('size', list(WIDTHS))
@pytest.mark.parametrize('case', ['wgan-gp', 'gan', 'sn-gan', 'wgan-gp labelled'])
def test_one_update_of_each_network_equals_pytorch(reference, size, case):
    """Critic, then generator, as the training loop does it; all weights of both, in float64."""
    r, name, labelled = reference, case.split()[0], 'labelled' in case
    case, width, labels = '%d %s' % (size, case), WIDTHS[size], 2 if labelled else 0
    options = parse(['--objective', name, '--batch-size', '3']
                    + (['--beta2', '0.9'] if name == 'wgan-gp' else []))
    row, settings = OBJECTIVES[name], dict(objective_settings(options), batch_size=3)
    with C.default_options(dtype=np.float64):
        networks = {'generator': residual_models.generator(size, 5, width, labels=labels),
                    'critic': residual_models.critic(
                        size, width, normalization=row.normalization, labels=labels)}
        parameters = {which: in_order(network.parameters) for which, network in networks.items()}
        names = {'critic': case + ' critic',
                 'generator': '%d %sgenerator' % (size, 'labelled ' if labelled else '')}
        for which in networks:
            for i, p in enumerate(parameters[which]):
                p.value = r['%s %d' % (names[which], i)].astype(float)
        singular = {parameters['critic'].index(w): u
                    for w, u, _ in singular_vectors(networks['critic'])}
        for i, u in singular.items():
            u.value = r['%s critic u %d' % (case, i)][None]
        latent, label = (find(networks['generator']) for find in (latent_input, label_input))
        given = {'label': label} if labelled else {}
        real = C.input_variable((3, size, size))

        def generate(z):
            return networks['generator'](latent=z, **given)
        losses = row.build_losses(
            generate, lambda x: networks['critic'](image=x, **given), latent, real,
            C.stop_gradient(generate(latent)), settings)
        trainers = {which: trainer(loss, [], row.build_optimizer(
                        networks[which].parameters, settings))
                    for which, loss in (('critic', losses.critic_loss),
                                        ('generator', losses.generator_loss))}

    feed = {variable: r['epsilon'] for variable in losses.draws}
    feed.update({real: r['real %d' % size] / 127.5 - 1, latent: r['latents'][0]})
    feed.update({label: r['labels'][0]} if labelled else {})
    PowerIteration(networks['critic']).run()
    trainers['critic'].train_minibatch(feed)
    feed = {latent: r['latents'][1]}
    feed.update({label: r['labels'][1]} if labelled else {})
    trainers['generator'].train_minibatch(feed)

    for which in networks:
        assert trainers[which].previous_minibatch_loss_average == pytest.approx(
            float(r['%s %s_loss' % (case, which)]), rel=1e-7)
        for i, p in enumerate(parameters[which]):
            step = p.value - r['%s %d' % (names[which], i)]
            error = np.abs(step - r['%s %s step %d' % (case, which, i)]).max()
            assert error < 1e-5 * options.learning_rate, (which, i, p)
        assert '%s %s step %d' % (case, which, len(parameters[which])) not in r
    for i, u in singular.items():
        np.testing.assert_allclose(u.value[0], r['%s critic after u %d' % (case, i)], rtol=1e-12)


@pytest.mark.parametrize('size', IMAGE_SIZES)
def test_shapes(size):
    generator, critic = residual_models.networks(size, 7, 1, 'layer', np.random.RandomState(0))
    images = generator.eval({generator.arguments[0]: np.ones((2, 7), np.float32)})
    assert images.shape == (2, 3, size, size) and np.abs(images).max() <= 1
    assert critic.eval({critic.arguments[0]: images}).shape == (2, 1)


def kernels(network):
    return [p.shape for p in in_order(network.parameters) if len(p.shape) == 4]


def test_the_papers_networks_at_32_pixels():
    """128 channels in all layers; the critic has no normalisation."""
    same, shortcut = (128, 128, 3, 3), (128, 128, 1, 1)
    generator, critic = residual_models.generator(32, 128, 128), residual_models.critic(32, 128)
    assert kernels(generator) == [(128, 128, 4, 4)] + 3 * [same, same, shortcut] + [(3, 128, 3, 3)]
    assert kernels(critic) == [(128, 3, 3, 3), same, (128, 3, 1, 1), same, same, shortcut,
                               same, same, same, same]
    assert {p.name[0] for p in critic.parameters} == {'W', 'b'}
    # The latent's weights and biases, convolutions, shortcuts, and all biases and gains.
    assert count(generator) == (128 * 2048 + 2048 + 6 * 9 * 128 ** 2 + 3 * 128 ** 2 + 27 * 128
                                + 6 * 128 + 3 + 7 * 256)
    assert count(critic) == (27 * 128 + 3 * 128 + 7 * 9 * 128 ** 2 + 128 ** 2 + 128 + 1
                             + 128 * (3 + 3 + 2 + 2))


def test_the_papers_networks_at_64_pixels():
    generator, critic = residual_models.generator(64, 128, 64), residual_models.critic(64, 64)
    up = [(512, 512), (512, 256), (256, 128), (128, 64)]
    expected = [(128, 512, 4, 4)]
    for i, o in up:
        expected += [(i, o, 3, 3), (o, o, 3, 3), (i, o, 1, 1)]
    assert kernels(generator) == expected + [(3, 64, 3, 3)]
    expected = [(64, 3, 3, 3)]
    for i, o in [(64, 128), (128, 256), (256, 512), (512, 512)]:
        expected += [(i, i, 3, 3), (o, i, 3, 3), (o, i, 1, 1)]
    assert kernels(critic) == expected + [(512, 4, 4, 1)]
    # Normalised: the inputs of both convolutions of each block.
    assert [p.shape[0] for p in in_order(critic.parameters) if p.name == 'gain'] == [
        64, 64, 128, 128, 256, 256, 512, 512]


def count(network):
    return sum(int(np.prod(p.shape)) for p in network.parameters)


def test_larger_images_have_one_more_block_with_twice_the_channels():
    assert kernels(residual_models.critic(128, 4))[:4] == [
        (4, 3, 3, 3), (4, 4, 3, 3), (8, 4, 3, 3), (8, 4, 1, 1)]
    assert kernels(residual_models.critic(128, 4))[-1] == (64, 4, 4, 1)
    assert kernels(residual_models.generator(128, 9, 4))[0] == (9, 64, 4, 4)


@pytest.mark.parametrize('size, width', [(32, 16), (64, 8)])
def test_initial_weights(size, width):
    """Evenly distributed, to the limits of the authors' code; the same from the same seed."""
    generator, again, other = (residual_models.generator(size, 5, width, seed=s) for s in (3, 3, 4))
    critic = residual_models.critic(size, width, seed=3)
    glorot = {'generator': [0] + ([10] if size == 32 else []),
              'critic': [2] if size == 32 else [0]}
    for name, network in (('generator', generator), ('critic', critic)):
        weights = [p for p in in_order(network.parameters) if p.name[0] == 'W']
        for i, p in enumerate(weights):
            if len(p.shape) == 2 or p.shape[2:] == (4, 4) or p.shape[1:] == (4, 4, 1):
                fans, gain = (p.shape[0] + int(np.prod(p.shape[1:])) if name == 'generator' else
                              int(np.prod(p.shape)) + 1), 6
            else:
                fans = p.shape[2] * p.shape[3] * (p.shape[0] + p.shape[1])
                gain = 6 if i in glorot[name] or p.shape[2] == 1 else 12
            limit = np.sqrt(gain / fans)
            assert 0.8 * limit < np.abs(p.value).max() <= limit * (1 + 1e-6), (name, p)
            assert p.value.std() == pytest.approx(limit / np.sqrt(3), rel=0.25)
        assert all((p.value == 0).all() for p in network.parameters if p.name[0] == 'b')
    assert all(map(np.array_equal, values(generator), values(again)))
    assert not np.array_equal(values(generator)[0], values(other)[0])


def values(network):
    return [p.value for p in in_order(network.parameters)]


def test_unknown_size():
    with pytest.raises(ValueError, match='image size 100 is not supported'):
        residual_models.critic(100)


@pytest.mark.parametrize('labels', [0, 2])
@pytest.mark.parametrize('size', [32, 64])
def test_spectral_normalization_is_of_all_weights(size, labels):
    critic = residual_models.critic(size, 4, 1, 'spectral', labels)
    norms = spectral_norms(critic)
    assert len(norms) == sum(p.name[0] == 'W' for p in critic.parameters)
    for norm, largest in norms:
        assert norm == pytest.approx(largest, rel=0.1)
    for weights, u, _ in singular_vectors(critic):
        assert u.shape[1] == (1 if weights.shape[-1] == 1 and weights.shape[-2] != 1 or len(
            weights.shape) == 2 else weights.shape[0])


@pytest.mark.parametrize('size', [32, 64])
def test_generation_does_not_depend_on_the_batch(size):
    generator = residual_models.generator(size, 5, 4, seed=1)
    latents = np.random.RandomState(0).randn(10, 5).astype(np.float32)
    evaluate_in_training(generator, {generator.arguments[0]: latents})    # statistics
    whole = generate(generator, latents, 10)
    np.testing.assert_allclose(generate(generator, latents, 3), whole, atol=1e-5)


@pytest.mark.parametrize('seed', range(6))
def test_any_size_and_width(seed):
    """An update of both networks, with drawn settings, ends in finite numbers."""
    rng = np.random.RandomState(seed)
    objective = sorted(OBJECTIVES)[rng.randint(len(OBJECTIVES))]
    size, width = rng.choice([32, 64]), rng.randint(1, 8)
    channels, latent = rng.choice([1, 3]), rng.randint(1, 9)
    names = ['a', 'b', 'c'][:rng.choice([0, 2, 3])]
    updates = make_updates(
        objective, '--network', 'resnet', '--width', str(width), '--image-size', str(size),
        '--latent-size', str(latent), '--channels', str(channels),
        *['--augment'] * rng.randint(2), labels=Labels(names, [1] * len(names)))
    reals = rng.uniform(-1, 1, (4, channels, size, size)).astype(np.float32)
    for step in (1, 2):
        updates.update_critic(reals, one_hot(rng.randint(len(names), size=4), len(names))
                              if names else None)
        updates.update_generator(step)
        assert np.isfinite(updates.row()).all()


# As a user trains with them

RESIDUAL = ['--network', 'resnet', *SMALL]


@pytest.mark.parametrize('objective', ['wgan-gp', 'sn-gan'])
def test_resume_is_exact(train, images, tmp_path, objective):
    assert_resume_is_exact(train, tmp_path, '--data', images, '--objective', objective, *RESIDUAL)
    settings = json.loads((tmp_path / 'whole' / 'config.json').read_text())['settings']
    assert settings['network'] == 'resnet'
    assert 'network was resnet and is now dcgan' in train(
        '--out', 'whole', '--resume', '--network', 'dcgan').sentence


def test_a_run_of_version_1_0_has_the_usual_networks(train, run):
    """It lacks the settings since then."""
    path = run / 'config.json'
    about = json.loads(path.read_text())
    assert about['settings'].pop('network') == 'dcgan' and not about['settings'].pop('page')
    path.write_text(json.dumps(about))
    assert 'network was dcgan and is now resnet' in train(
        '--out', run, '--resume', '--network', 'resnet').sentence
    assert train('--out', run, '--resume', '--iterations', 4).code == 0
    assert json.loads(path.read_text())['settings']['network'] == 'dcgan'


def test_labels_grey_images_held_out_and_every_program(script, tmp_path):
    """A run with all that the networks have to do with, then each program that loads it."""
    for i, name in enumerate(('a', 'b')):
        (tmp_path / 'data').mkdir(exist_ok=True)
        write_images(tmp_path / 'data' / name, seed=i)
    start = ['--data', 'data', '--labels', 'folders', '--channels', 1, '--augment', '--hold-out',
             0.25, '--iterations', 2, *RESIDUAL]
    assert script('wgan_training.py', '--out', 'run', *start).code == 0
    (tmp_path / 'data' / 'b').rename(tmp_path / 'data' / 'c')
    begun = script('wgan_training.py', '--out', 'next', '--start-from', 'run', *start)
    assert begun.code == 0 and 'as there: a; new, from initial weights: c' in begun.err
    assert script('wgan_generate.py', 'run', '--out', 'x.png', '--label', 'b').code == 0
    assert script('wgan_walk.py', 'run', '--out', 'x.gif', '--steps', 3).code == 0
    assert script('wgan_export.py', 'run', '--out', 'x.onnx').code == 0
    assert script('wgan_generate.py', 'x.onnx', '--out', 'y.png', '--label', 'b').code == 0
    difference = read_rgb(tmp_path / 'x.png').astype(int) - read_rgb(tmp_path / 'y.png')
    assert np.abs(difference).max() <= 1
    assert script('wgan_page.py', 'run', '--out', 'x.html').code == 0
    onnx_network(tmp_path / 'net.onnx')
    assert script('inception_score.py', 'run', '--inception', 'net.onnx', '--count', 12).code == 0


def test_directions_are_of_the_latents_layer():
    """The first layer's weights, and not the products that make kernels."""
    generator = residual_models.generator(32, 6, 4, seed=1, labels=2)
    weights, = [p.value for p in generator.parameters if p.shape == (8, 4, 4, 4)]
    np.testing.assert_allclose(first_weights(generator), weights[:6].reshape(6, -1), atol=1e-6)
    assert directions(generator, 3).shape == (3, 6)


@pytest.mark.parametrize('size', [32, 64])
def test_start_from_other_networks_is_refused(tmp_path, size):
    """In one sentence, whichever way; and other widths are named."""
    for network, other in (('resnet', 'dcgan'), ('dcgan', 'resnet')):
        theirs, mine = (make_updates('wgan-gp', '--network', name, '--image-size', str(size))
                        for name in (network, other))
        folder = tmp_path / network
        folder.mkdir()
        for name, model in theirs.networks().items():
            model.save(str(folder / name))
        with pytest.raises(UserError, match='has --network %s.*, and this run has --network %s'
                           % (network, other)):
            begin_with(str(folder), mine)
    wider = make_updates('wgan-gp', '--network', 'resnet', '--image-size', str(size),
                         '--width', '3')
    with pytest.raises(UserError, match='has --width 2, and this run has --width 3'):
        begin_with(str(tmp_path / 'resnet'), wider)


@pytest.mark.parametrize('arguments, sentence', [
    (['--text', '--network', 'resnet'], 'is for images, and has no meaning with --text'),
    (['--preset', 'wgan-gp-paper', '--text'], 'is for images, not for --text'),
    (['--preset', 'wgan-gp-cifar10', '--objective', 'gan'], 'is for --objective wgan-gp')])
def test_refused(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        parse(arguments)


def test_presets_have_the_papers_networks():
    for preset, size, width in (('wgan-gp-paper', 64, 64), ('wgan-gp-cifar10', 32, 128)):
        options = parse(['--preset', preset])
        assert (options.network, options.image_size, options.width) == ('resnet', size, width)
        assert parse(['--preset', preset, '--network', 'dcgan']).network == 'dcgan'
