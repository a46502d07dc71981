"""--start-from: a run that begins with the networks of another."""

import json
import os
import shutil

import numpy as np
import pytest

from helpers import (
    SMALL, assert_same_run, call_program, cntk_network, full_disk, make_updates, spectral_norms,
    tree, weights, write_images)
from wgan.machine.cntk import C
from wgan.machine.command_line import UserError
from wgan.machine.disk import sha256
from wgan.datasets.labels import Labels, one_hot
from wgan.training.starting import begin_with
import models

NETWORKS = ('wgan_generator.model', 'wgan_generator_average.model', 'wgan_critic.model')
# All that a network was, before a first step that is as good as none.
NO_STEP = ['--learning-rate', 1e-30, '--iterations', 1]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run of ten iterations."""
    folder = tmp_path_factory.mktemp('trained')
    write_images(folder / 'pics', seed=1)
    assert call_program('wgan_training.py', '--data', folder / 'pics', '--out', folder / 'run',
                        '--iterations', 10, '--learning-rate', 0.001, *SMALL) == 0
    return folder / 'run'


def settings(run):
    return json.loads((run / 'config.json').read_text())


def state(network):
    return [p.value for p in list(network.parameters) + list(network.constants)
            if p in network.parameters or p.name.startswith('aggregate')]


def equal(a, b):
    return len(a) == len(b) and all(map(np.array_equal, a, b))


@pytest.mark.slow
def test_weights_statistics_and_average_are_those_of_the_run(trained):
    updates = make_updates('wgan-gp', '--latent-size', '5')
    before = {name: state(network) for name, network in updates.networks().items()}
    digests = begin_with(str(trained), updates)
    assert digests == {name: sha256(str(trained / name)) for name in NETWORKS}
    for name, network in updates.networks().items():
        saved = state(C.Function.load(str(trained / name)))
        assert equal(state(network), saved) and not equal(before[name], saved), name


@pytest.mark.slow
def test_what_a_run_begins_with(train, trained, images, tmp_path):
    """On other images, with another seed; and the optimisers know nothing of the other run."""
    begin = ['--data', images, '--start-from', trained, '--seed', 7, *SMALL]
    assert train('--out', 'a', *NO_STEP, *begin).code == 0
    for name in ('wgan_generator.model', 'wgan_critic.model'):
        ours, theirs = (C.Function.load(str(run / name)).parameters
                        for run in (tmp_path / 'a', trained))
        assert equal([p.value for p in ours], [p.value for p in theirs]), name
    about = settings(tmp_path / 'a')
    assert about['started_from'] == {name: sha256(str(trained / name)) for name in NETWORKS}
    assert about['settings']['start_from'] == str(trained)

    rate = 1e-4                     # Adam's first step, from the rate and √(1 − β2) / (1 − β1)
    assert train('--out', 'b', '--iterations', 1, '--learning-rate', rate, '--beta2', 0.9,
                 *begin).code == 0
    steps = [abs(x - y).max() for x, y in zip(weights(tmp_path / 'b' / 'wgan_generator.model'),
                                              weights(trained / 'wgan_generator.model'))
             if x.size > 20]
    assert max(steps) == pytest.approx(rate, rel=0.05)


@pytest.mark.slow
def test_resume_needs_no_other_run_and_is_exact(train, trained, images, tmp_path):
    shutil.copytree(str(trained), str(tmp_path / 'old'))
    begin = ['--data', images, '--start-from', 'old', *SMALL]
    for run, count in (('whole', 5), ('parts', 2)):
        assert train('--out', run, '--iterations', count, *begin).code == 0
    shutil.rmtree(str(tmp_path / 'old'))
    assert train('--out', 'parts', '--resume', '--iterations', 5).code == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts')
    assert settings(tmp_path / 'parts')['started_from'] == settings(
        tmp_path / 'whole')['started_from'] is not None
    assert 'start_from was' in train('--out', 'parts', '--resume', '--start-from', 'whole').sentence


@pytest.mark.slow
@pytest.mark.parametrize('kept', ['wgan_generator.model', 'wgan_generator_average.model'])
def test_of_generator_and_average_one_is_enough(trained, tmp_path, kept):
    for name in (kept, 'wgan_critic.model'):
        shutil.copy(str(trained / name), str(tmp_path / name))
    updates = make_updates('wgan-gp', '--latent-size', '5')
    assert set(begin_with(str(tmp_path), updates)) == {kept, 'wgan_critic.model'}
    saved = state(C.Function.load(str(trained / kept)))
    assert equal(state(updates.average.generator), saved)
    assert equal(state(updates.generator), saved)


@pytest.mark.slow
def test_a_run_without_an_average(train, trained, images, tmp_path):
    assert train('--data', images, '--out', 'run', '--start-from', trained, '--ema', 0,
                 *NO_STEP, *SMALL).code == 0
    assert set(settings(tmp_path / 'run')['started_from']) == {
        'wgan_generator.model', 'wgan_critic.model'}


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """A folder with the networks of a run with labels; none was trained."""
    folder = tmp_path_factory.mktemp('labelled')
    updates = make_updates('wgan-gp', '--latent-size', '5', '--seed', '1',
                           labels=Labels(['cat', 'cow', 'dog'], [2, 2, 2]))
    rng = np.random.RandomState(0)
    for name, network in updates.networks().items():
        for p in network.parameters:
            p.value = rng.standard_normal(p.shape).astype(np.float32)
        network.save(str(folder / name))
    (folder / 'config.json').write_text(json.dumps({'settings': {}, 'labels': {
        'names': ['cat', 'cow', 'dog'], 'counts': [2, 2, 2]}}))
    return folder


def outputs(network, labels):
    """Of the same input, with each of the labels, as numbers."""
    inputs = [x for x in network.arguments if x.name != 'label']
    label = [x for x in network.arguments if x.name == 'label'][0]
    values = np.random.RandomState(3).standard_normal((1,) + inputs[0].shape).astype(np.float32)
    return [network.eval({inputs[0]: values, label: one_hot([i], label.shape[0])})
            for i in labels]


@pytest.mark.slow
@pytest.mark.parametrize('names', [
    ['dog', 'fox'], ['cat', 'dog', 'fox'], ['dog', 'cow', 'cat'], ['ant', 'cat', 'cow', 'dog'],
    ['cat', 'cow', 'dog'], ['ant', 'fox', 'owl']])
def test_labels_begin_by_their_names(labelled, names, capfd):
    """As in the other run, wherever they stand; new ones with the networks' own weights."""
    updates = make_updates('wgan-gp', '--latent-size', '5',
                           labels=Labels(names, [2] * len(names)))
    before = {name: [p.value for p in network.parameters]
              for name, network in updates.networks().items()}
    begin_with(str(labelled), updates, names)
    said = capfd.readouterr().err
    for file, network in updates.networks().items():
        theirs = C.Function.load(str(labelled / file))
        kept = [name for name in names if name in ('cat', 'cow', 'dog')]
        ours = outputs(network, [names.index(name) for name in kept])
        for a, b in zip(ours, outputs(theirs, [['cat', 'cow', 'dog'].index(n) for n in kept])):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        # The rows of new labels are the initial ones, and nothing else is.
        same = [np.isin(p.value, old).sum() for p, old in zip(network.parameters, before[file])]
        new = len(names) - len(kept)
        assert sum(same) == new * (2 * 3 * 3 if 'critic' in file else 8 * 4 * 4)
    new = [name for name in names if name not in ('cat', 'cow', 'dog')]
    assert ('new, from initial weights: ' + ', '.join(new) in said) == bool(new)
    assert ('left out' in said) == (not {'cat', 'cow', 'dog'} <= set(names))
    assert (said == '') == (names == ['cat', 'cow', 'dog'])


def test_spectral_norms_are_those_of_the_weights_begun_with(tmp_path):
    """Also of the weights of labels, of which there are others."""
    def make(names):
        return make_updates('sn-gan', '--latent-size', '5', labels=Labels(names, [2] * len(names)))
    before, rng = make(['cat', 'cow']), np.random.RandomState(0)
    for name, network in before.networks().items():
        for p in network.parameters:
            p.value = rng.standard_normal(p.shape).astype(np.float32)
        network.save(str(tmp_path / name))
    (tmp_path / 'config.json').write_text(json.dumps({'settings': {}, 'labels': {
        'names': ['cat', 'cow'], 'counts': [2, 2]}}))
    updates = make(['cow', 'dog', 'fox'])
    begin_with(str(tmp_path), updates, ['cow', 'dog', 'fox'])
    norms = spectral_norms(updates.critic)
    assert len(norms) == 5
    for norm, largest in norms:
        assert norm == pytest.approx(largest, rel=0.05)
    others = make_updates('gan', '--latent-size', '5', labels=Labels(['cow'], [2]))
    with pytest.raises(UserError, match='has normalisation spectral, and this run has '
                                        'normalisation batch'):
        begin_with(str(tmp_path), others, ['cow'])


def test_labels_that_nothing_says(labelled, tmp_path):
    for name in NETWORKS:
        shutil.copy(str(labelled / name), str(tmp_path / name))
    updates = make_updates('wgan-gp', '--latent-size', '5', labels=Labels(['a', 'b'], [2, 2]))
    with pytest.raises(UserError, match='no config.json in .* says which labels'):
        begin_with(str(tmp_path), updates, ['a', 'b'])
    (tmp_path / 'config.json').write_text(json.dumps({'settings': {}, 'labels': {
        'names': ['cat', 'cow'], 'counts': [2, 2]}}))
    with pytest.raises(UserError, match='no config.json in .* says which labels'):
        begin_with(str(tmp_path), updates, ['a', 'b'])


@pytest.mark.slow
@pytest.mark.parametrize('arguments, said', [
    (['--image-size', 64], 'generator.model has --image-size 32, and this run has --image-size 64'),
    (['--width', 4], 'generator.model has --width 2, and this run has --width 4'),
    (['--latent-size', 6], 'has --latent-size 5, and this run has --latent-size 6'),
    (['--objective', 'wgan'], 'critic.model has normalisation layer, and this run has '
                              'normalisation batch; it follows from --objective'),
    (['--width', 4, '--latent-size', 6], '--width 2, --latent-size 5, and this run'),
    (['--start-from', 'nowhere'], 'nowhere does not exist'),
    (['--start-from', 'notes.txt'], 'notes.txt is no folder'),
    (['--start-from', 'empty'], 'there is no wgan_generator.model in empty'),
    (['--start-from', ''], "--start-from: '' does not exist"),
    (['--out', 'source'], '--start-from and --out are the same folder'),
    (['--out', 'source', '--overwrite'], '--start-from and --out are the same folder'),
])
def test_bad_input(train, trained, images, tmp_path, arguments, said):
    shutil.copytree(str(trained), str(tmp_path / 'source'))
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'notes.txt').write_text('no run')
    before = tree(tmp_path)
    small = SMALL[:8]                           # without --n-critic, which follows the objective
    sentence = train('--data', images, '--out', 'run', '--start-from', 'source', *small,
                     '--iterations', 1, *arguments).sentence
    assert said in sentence
    assert tree(tmp_path) == before


def damaged(path):
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])


def another_network(path):
    cntk_network(path)


def nan(path):
    network = C.Function.load(str(path))
    network.parameters[0].value = np.full(network.parameters[0].shape, np.nan, np.float32)
    network.save(str(path))


def one_layer_more(path):
    models.critic(32, 2).save(str(path))
    network = C.Function.load(str(path))
    C.layers.Dense(1, name='more')(network).save(str(path))


@pytest.mark.slow
@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('change, said', [
    (lambda path: path.write_bytes(b''), 'as a CNTK model'),
    (lambda path: path.write_text('no model'), 'as a CNTK model'),
    (damaged, 'as a CNTK model'),
    (another_network, 'has --image-size 8'),
    (one_layer_more, None),
    (nan, 'has weights that are NaN or infinite'),
])
def test_networks_that_can_not_be_used(train, trained, images, tmp_path, name, change, said):
    shutil.copytree(str(trained), str(tmp_path / 'source'))
    change(tmp_path / 'source' / name)
    sentence = train('--data', images, '--out', 'run', '--start-from', 'source', *SMALL).sentence
    assert os.path.join('source', name) in sentence
    assert (said or '--start-from') in sentence
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_a_disk_that_is_full(train, trained, images, tmp_path):
    with full_disk():
        sentence = train('--data', images, '--out', 'run', '--start-from', trained,
                         '--checkpoint-every', 1, *SMALL).sentence
    assert 'File too large' in sentence or 'No space' in sentence
