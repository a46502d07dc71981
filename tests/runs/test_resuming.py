"""Continuing a run: moved, changed, damaged, complete; and what is in its config.json."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

import helpers
from helpers import (
    TINY, assert_same_run, call_program, make_updates, tree, weights, write_images)
from wgan.machine.cntk import C
import wgan.machine.device
from wgan.runs.folder import RunFolder
from wgan.runs.resuming import past_changes, resumed_options

NETWORKS = ('wgan_generator.model', 'wgan_generator_average.model', 'wgan_critic.model')


def config(run):
    return json.loads((run / 'config.json').read_text())


def losses(run):
    return helpers.losses(run).drop(columns='seconds')


@pytest.fixture(scope='module')
def whole(a_run, tmp_path_factory):
    """The same run of four iterations without a break."""
    folder = tmp_path_factory.mktemp('whole')
    assert call_program('wgan_training.py', '--data', a_run / 'pics', '--out', folder / 'run',
                        '--iterations', 4, *TINY) == 0
    return folder / 'run'


def go_on(train, *arguments):
    return train('--out', 'run', '--resume', '--iterations', 4, '--sample-every', 99, *arguments)


# Images

@pytest.mark.slow
def test_images_that_were_moved(run, whole, train, tmp_path):
    shutil.move(str(tmp_path / 'pics'), str(tmp_path / 'elsewhere'))
    assert 'pics does not exist' in go_on(train).sentence
    assert go_on(train, '--data', 'elsewhere').code == 0
    assert_same_run(run, whole)
    assert config(run)['settings']['data'] == 'elsewhere' and config(run)['changes'] == []


@pytest.mark.slow
def test_resumed_from_another_folder(run, whole, train, tmp_path, monkeypatch):
    """A relative --data is found where it was, or from where the run is resumed."""
    (tmp_path / 'other').mkdir()
    real = os.path.realpath(str(tmp_path / 'other'))
    write_images(tmp_path / 'other' / 'pics', seed=5)         # not these
    os.symlink(str(run), str(tmp_path / 'other' / 'run'))
    monkeypatch.chdir(real)
    assert go_on(train).code == 0
    assert_same_run(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize('count, said', [(8, 'not those that the run was trained on'),
                                         (9, 'had 8 readable images and now has 9')])
def test_other_images(run, whole, train, tmp_path, count, said):
    shutil.rmtree(str(tmp_path / 'pics'))
    write_images(tmp_path / 'pics', count, seed=count - 8 or 7)
    before = tree(run)
    sentence = go_on(train).sentence
    assert said in sentence and '--allow-change data' in sentence
    assert tree(run) == before
    assert go_on(train, '--allow-change', 'data').code == 0
    change, = config(run)['changes']
    assert (change['setting'], change['step'], change['images']) == ('data', 3, count)
    assert losses(run)[:3].equals(losses(whole)[:3])
    assert losses(run)['C_loss'][3] != losses(whole)['C_loss'][3]
    # From now on these are the images of the run.
    assert train('--out', 'run', '--resume', '--iterations', 5).code == 0
    assert len(config(run)['changes']) == 1
    with np.load(str(run / 'checkpoints' / 'step_00000005' / 'state_0.npz')) as state:
        assert sorted(state['order']) == list(range(count))


@pytest.mark.slow
def test_a_change_that_was_let_through_but_not_saved(run, train, tmp_path):
    """Killed before the next checkpoint, the run continues with the new settings all the same."""
    shutil.rmtree(str(tmp_path / 'pics'))
    write_images(tmp_path / 'pics', 9)
    shutil.copytree(str(run / 'checkpoints'), str(tmp_path / 'before'))
    assert go_on(train, '--allow-change', 'data,learning-rate', '--learning-rate', 1e-3).code == 0
    wanted = losses(run), weights(run / NETWORKS[0])
    shutil.rmtree(str(run / 'checkpoints'))
    shutil.move(str(tmp_path / 'before'), str(run / 'checkpoints'))
    result = go_on(train)
    assert result.code == 0, result.err
    assert losses(run).equals(wanted[0])
    for x, y in zip(weights(run / NETWORKS[0]), wanted[1]):
        np.testing.assert_array_equal(x, y)
    assert len(config(run)['changes']) == 2


# Settings

@pytest.mark.slow
@pytest.mark.parametrize('name, value', [
    ('learning-rate', 0.01), ('batch-size', 2), ('n-critic', 2), ('beta1', 0.5), ('beta2', 0.5),
    ('contrast', 0)])
def test_a_change_takes_effect(run, whole, train, name, value):
    arguments = ['--' + name, value]
    sentence = go_on(train, *arguments).sentence
    assert name.replace('-', '_') + ' was ' in sentence and '--allow-change ' + name in sentence
    result = go_on(train, *arguments, '--allow-change', name)
    assert result.code == 0, result.err
    changed = config(run)
    change, = changed['changes']
    key = name.replace('-', '_')
    assert changed['settings'][key] == change['to'] == value != change['from']
    assert change['step'] == 3 and change['setting'] == key
    assert losses(run)[:3].equals(losses(whole)[:3])
    # Both networks or the critic alone, and the first of them from the next iteration on.
    assert not losses(run)[3:].equals(losses(whole)[3:])
    assert not np.array_equal(weights(run / NETWORKS[2])[0], weights(whole / NETWORKS[2])[0])


@pytest.mark.slow
@pytest.mark.parametrize('objective', ['wgan-gp', 'wgan', 'gan'])
def test_a_learning_rate_is_that_of_the_options(tmp_path, objective):
    """A step of one tenth the rate after a checkpoint is a tenth as long, for both networks."""
    steps = []
    for rate in (None, 1e-5):
        reals = np.random.RandomState(1).uniform(-1, 1, (4, 3, 32, 32)).astype('f')
        updates = make_updates(objective, '--learning-rate', '1e-4')
        updates.update_critic(reals)
        updates.update_generator(1)
        for name, trainer in updates.trainers.items():
            trainer.save_checkpoint(str(tmp_path / name))
        kept = updates.arrays()
        again = make_updates(objective, '--learning-rate', str(rate or 1e-4))
        for name, trainer in again.trainers.items():
            trainer.restore_from_checkpoint(str(tmp_path / name))
        again.restore(kept)
        before = [p.value for p in again.critic.parameters + again.generator.parameters]
        again.rng = np.random.RandomState(3)
        again.update_critic(reals)
        again.update_generator(2)
        after = [p.value for p in again.critic.parameters + again.generator.parameters]
        steps.append([np.abs(a - b).mean() for a, b in zip(after, before)])
    critic = len(again.critic.parameters)
    for i, (long, short) in enumerate(zip(*steps)):
        if long > 1e-6:                 # the score's bias has no gradient
            # The generator's gradients are those through another critic.
            assert short == pytest.approx(long / 10, rel=1e-2 if i < critic else 0.5)


@pytest.mark.parametrize('arguments, said', [
    (['--allow-change', 'width', '--width', 3], "'width' can not be changed"),
    (['--allow-change', 'seed'], 'can not be changed'), (['--allow-change', ''], 'can not'),
    (['--seed', 3, '--learning-rate', 1, '--allow-change', 'learning-rate'], 'seed was 0'),
    (['--no-mirror'], 'mirror was True and is now False'),
    (['--objective', 'gan'], 'objective was wgan-gp and is now gan')])
def test_changes_that_are_refused(run, train, arguments, said):
    before = tree(run)
    assert said in go_on(train, *arguments).sentence
    assert tree(run) == before


@pytest.mark.slow
def test_switches_are_no_settings(run, train):
    assert go_on(train, '--device', 'cpu').code == 0
    for settings in (config(run)['settings'], json.loads(
            (run / 'checkpoints' / 'step_00000004' / 'manifest.json').read_text())['settings']):
        assert not {'resume', 'overwrite', 'out', 'device', 'allow_change'} & set(settings)
    assert config(run)['device'] == 'cpu'


@pytest.mark.slow
def test_other_kernels_are_named(run, train, monkeypatch):
    """What computed is in the settings and in the checkpoints; going on with others is said."""
    computed = config(run)['kernels']
    assert computed == wgan.machine.device.kernels('cpu')
    assert go_on(train).code == 0
    monkeypatch.setattr(wgan.machine.device, 'cpu_kernels', lambda: 'others')
    result = train('--out', run, '--resume', '--iterations', 5)
    assert result.code == 0, result.err
    assert ('the run was computed with %s and continues with others: its numbers may differ in the '
            'last digits' % computed) in result.err.replace('\n', ' ')
    assert config(run)['kernels'] == 'others'
    manifest = json.loads((run / 'checkpoints' / 'step_00000005' / 'manifest.json').read_text())
    assert manifest['kernels'] == 'others'


# A damaged config.json

def damage(path, how):
    text = path.read_text()
    settings = json.loads(text)
    if how == 'missing':
        path.unlink()
    elif how == 'a folder':
        path.unlink()
        path.mkdir()
        (path / 'mine').write_text('mine')
    elif how == 'a pipe':
        path.unlink()
        os.mkfifo(str(path))
    elif how == 'a dangling link':
        path.unlink()
        path.symlink_to('nowhere')
    elif how == 'cut off':
        path.write_text(text[:len(text) // 2])
    elif how == 'Latin-1':
        path.write_bytes(text.replace('pics', 'p\xefcs').encode('latin-1'))
    elif how == 'UTF-16':
        path.write_bytes(text.encode('utf-16'))
    elif how == 'deep':
        path.write_text('[' * 100000)
    elif how == 'no versions':
        del settings['versions']
        path.write_text(json.dumps(settings))
    else:
        path.write_text(how)


DAMAGES = ['missing', 'a folder', 'a pipe', 'a dangling link', 'cut off', 'Latin-1', 'UTF-16',
           'deep', 'no versions', '[1]', '{}', '', 'null', '"x"', '3', '{"settings": []}',
           '{"settings": {}}', '{"settings": {"a": 1}, "versions": {}}', '\0']


@pytest.mark.parametrize('how', DAMAGES)
def test_a_damaged_config_is_made_from_a_checkpoint(run, capfd, how):
    before = config(run)
    damage(run / 'config.json', how)
    folder = RunFolder(str(run))
    found = folder.read_config()
    warning = capfd.readouterr().err
    assert 'config.json' in warning and 'the settings are those of' in warning
    assert found.pop('rebuilt') and found['settings'] == before['settings']
    folder.write_config(found)
    assert config(run)['settings'] == before['settings']
    assert how == 'missing' or os.path.lexists(str(run / 'config.json.kept1'))


@pytest.mark.slow
@pytest.mark.parametrize('how', ['a folder', '[1]'])
def test_resumed_with_a_damaged_config(run, whole, train, how):
    damage(run / 'config.json', how)
    result = go_on(train)
    assert result.code == 0 and 'the settings are those of' in result.err, result.err
    assert_same_run(run, whole)


@pytest.mark.parametrize('how', ['missing', '[1]', 'a pipe', 'cut off'])
def test_a_damaged_config_and_no_checkpoint(run, train, how):
    damage(run / 'config.json', how)
    shutil.rmtree(str(run / 'checkpoints'))
    before = tree(run)
    sentence = go_on(train).sentence
    assert 'config.json' in sentence and 'no complete checkpoint' in sentence
    assert tree(run) == before


@pytest.mark.parametrize('name, value', [
    ('batch_size', 'x'), ('batch_size', None), ('batch_size', [1]), ('batch_size', True),
    ('batch_size', 1e400), ('batch_size', 10 ** 400), ('iterations', -1), ('width', {}),
    ('objective', 'x'), ('image_size', 33), ('mirror', 1), ('minimax', 'no'), ('data', 5.5),
    ('data', ['a']), ('data', 'a\0b'), ('data', '\ud800'), ('tensorboard', 'yes'),
    ('learning_rate', float('nan')), ('score_every', 'x'), ('paths', 3), ('new_in_this', 1),
    ('seed', ''), ('processes', 'two'), ('processes', 10 ** 9), ('ema', '--help'), ('width', '2'),
    ('iterations', True)])
def test_settings_of_wrong_types(run, train, name, value):
    settings = config(run)
    settings['settings'][name] = value
    (run / 'config.json').write_text(json.dumps(settings))
    before = tree(run)
    result = go_on(train)
    sentence = result.sentence
    assert name in sentence.replace('-', '_') or repr(value) in sentence
    assert tree(run) == before


@pytest.mark.parametrize('paths', [3, [], {'data': 3}, {'data': 'a\0'}, {'data': '\ud800'}, None])
def test_damaged_paths_and_changes(run, monkeypatch, paths):
    monkeypatch.setattr(sys, 'argv', ['wgan_training.py'])
    settings = config(run)
    settings.update(paths=paths, changes=paths, data_sha256=None, scores=paths)
    (run / 'config.json').write_text(json.dumps(settings))
    assert resumed_options(RunFolder(str(run)), {})[0].batch_size == 4
    assert past_changes(config(run)) in ([], paths)


def test_a_setting_that_is_missing(run, train):
    settings = config(run)
    del settings['settings']['latent_size']
    (run / 'config.json').write_text(json.dumps(settings))
    assert 'lacks latent_size' in go_on(train).sentence


# A complete run

@pytest.mark.slow
def test_a_complete_run_is_success(run, train, tmp_path):
    before = tree(run)
    shutil.rmtree(str(tmp_path / 'pics'))                       # not needed any more
    for _ in range(2):
        result = train('--out', 'run', '--resume')
        assert result.code == 0 and 'is complete: it has its 3 iterations' in result.out
        assert tree(run) == before
    missing = NETWORKS + ('losses.png', 'training.gif')
    for name in missing:
        (run / name).unlink()
    result = train('--out', 'run', '--resume', '--iterations', 2)
    assert result.code == 0 and all(name in result.out for name in missing)
    for name in NETWORKS:
        pairs = zip(weights(run / name), [p.value for p in network(before[name])])
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert (run / 'losses.png').exists() and (run / 'training.gif').exists()


def network(content):
    model = C.Function.load(content)
    return list(model.parameters) + list(model.constants)


@pytest.mark.slow
def test_networks_older_than_the_last_checkpoint_are_replaced(run, train):
    """As of a run that was killed between its last checkpoint and its networks."""
    expected = {name: weights(run / name) for name in NETWORKS}
    for name, content in ((NETWORKS[0], b'cut off'), (NETWORKS[1], None)):
        older = C.Function.load(str(run / name))
        older.parameters[0].value = older.parameters[0].value + 1
        older.save(str(run / name))
        if content:
            (run / name).write_bytes(content)
    result = train('--out', 'run', '--resume')
    assert result.code == 0 and 'made again: ' in result.out and NETWORKS[2] not in result.out
    for name in NETWORKS:
        for a, b in zip(weights(run / name), expected[name]):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_complete_run_with_a_damaged_config(run, train):
    (run / 'config.json').write_text('[1]')
    assert train('--out', 'run', '--resume').code == 0
    assert config(run)['settings']['iterations'] == 3
    assert (run / 'config.json.kept1').read_text() == '[1]'
    assert 'sha256' not in config(run)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['losses.png', 'training.gif', 'samples/step_000001.png'])
def test_what_fails_after_the_training_is_a_warning(run, train, monkeypatch, name):
    if name.startswith('samples'):
        data = (run / name).read_bytes()
        (run / name).write_bytes(data[:len(data) // 2])
    else:
        from wgan.runs import results as run_results

        def fail(*_):
            raise OSError(28, 'No space left on device', name)
        monkeypatch.setattr(run_results, 'plot' if name == 'losses.png' else 'animate_samples',
                            fail)
    result = go_on(train)
    assert result.code == 0 and '4 iterations in run' in result.out
    if not name.startswith('samples'):
        assert 'warning: run/%s was not made' % name in result.err
    assert (run / 'checkpoints' / 'step_00000004').exists()
