"""Checkpoints: what is in them, and that the one before a damaged one is used."""

import json
import os
import shutil

import pytest

from helpers import assert_same_run, tree
from wgan.runs import checkpoint


def newest(run):
    return run / 'checkpoints' / 'step_00000003'


def rewrite(run, **changes):
    manifest = json.loads((newest(run) / 'manifest.json').read_text())
    manifest.update(changes)
    manifest = {k: v for k, v in manifest.items() if v != 'gone'}
    (newest(run) / 'manifest.json').write_text(json.dumps(manifest))


def replace_by(what, path):
    if path.is_dir():
        shutil.rmtree(str(path))
    elif path.exists():
        path.unlink()
    {'folder': lambda: path.mkdir(), 'pipe': lambda: os.mkfifo(str(path)),
     'dangling link': lambda: path.symlink_to('nowhere'), 'loop': lambda: path.symlink_to(path),
     'device': lambda: path.symlink_to('/dev/null'), 'empty': lambda: path.write_bytes(b''),
     'nothing': lambda: None}[what]()


def digests(run):
    return json.loads((newest(run) / 'manifest.json').read_text())['sha256']


CHECKPOINTS = dict(
    [('%s for %s' % (what, name), lambda run, what=what, name=name: replace_by(
        what, newest(run) / name))
     for what in ('folder', 'pipe', 'dangling link', 'loop', 'device', 'empty')
     for name in ('critic', 'generator.ckp', 'state_0.npz', 'manifest.json')],
    **{
        'an empty folder': lambda run: replace_by('folder', newest(run)),
        'a file': lambda run: replace_by('empty', newest(run)),
        'a dangling link': lambda run: replace_by('dangling link', newest(run)),
        'a pipe': lambda run: replace_by('pipe', newest(run)),
        'another step': lambda run: rewrite(run, step=2),
        'no step': lambda run: rewrite(run, step='gone'),
        'no files': lambda run: rewrite(run, sha256={}),
        'too few files': lambda run: rewrite(run, sha256={'critic': digests(run)['critic']}),
        'no state': lambda run: rewrite(run, sha256={
            k: v for k, v in digests(run).items() if k != 'state_0.npz'}),
        'a list': lambda run: rewrite(run, sha256=list(digests(run))),
        'numbers': lambda run: rewrite(run, sha256=dict.fromkeys(digests(run), 1)),
        'no digests': lambda run: rewrite(run, sha256='gone'),
        'a path outside': lambda run: rewrite(run, sha256=dict(digests(run), **{
            '../../config.json': checkpoint.sha256(str(run / 'config.json'))})),
        'an absolute path': lambda run: rewrite(
            run, sha256=dict(digests(run), **{'/dev/zero': ''})),
        'no settings': lambda run: rewrite(run, settings=None),
        'many processes': lambda run: rewrite(run, settings={'processes': 10 ** 12}),
        'deep': lambda run: (newest(run) / 'manifest.json').write_text('[' * 100000),
        'not UTF-8': lambda run: (newest(run) / 'manifest.json').write_bytes(b'\xff\xfe{}'),
        'null': lambda run: (newest(run) / 'manifest.json').write_text('null')})


@pytest.mark.parametrize('damage', sorted(CHECKPOINTS))
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(run, damage):
    CHECKPOINTS[damage](run)
    said = []
    assert checkpoint.latest(str(run / 'checkpoints'), said.append) == (
        str(run / 'checkpoints' / 'step_00000002'), 2)
    sentence, = said
    assert 'step_00000003 is damaged: ' in sentence


@pytest.mark.parametrize('name', ['step_3', 'step_00000000000000000000009', 'step_\u0663' * 8,
                                  'step_0000000\u00b2', 'step_-0000001', 'step_00000009x', 'step_'])
def test_folders_of_other_names_are_no_checkpoints(run, name):
    (run / 'checkpoints' / name).mkdir()
    said = []
    assert checkpoint.latest(str(run / 'checkpoints'), said.append)[1] == 3 and not said


@pytest.mark.slow
@pytest.mark.parametrize('damage', ['a file', 'folder for critic', 'an absurd step'])
def test_a_run_goes_on_beside_a_damaged_checkpoint(run, train, damage):
    if damage == 'an absurd step':
        (run / 'checkpoints' / ('step_' + '9' * 30)).mkdir()
        replace_by('nothing', newest(run))
    else:
        CHECKPOINTS[damage](run)
    if damage == 'folder for critic':
        (newest(run) / 'critic' / 'mine').write_text('mine')
    result = train('--out', 'run', '--resume', '--iterations', 4, '--sample-every', 9)
    assert result.code == 0 and 'is damaged' in result.err, result.err
    assert {s for s in (3, 4) if checkpoint._damage(
        str(run / 'checkpoints' / checkpoint.name_of(s)), s) is None} == {3, 4}
    assert damage != 'folder for critic' or b'mine' in tree(run).values()


@pytest.mark.slow
def test_files_in_a_checkpoint_are_not_deleted_with_it(run, train):
    (run / 'checkpoints' / 'step_00000002' / 'notes').write_text('mine')
    (run / 'checkpoints' / 'step_00000001').mkdir()
    (run / 'checkpoints' / 'step_00000000').mkdir()
    (run / 'checkpoints' / 'step_00000000' / 'critic').write_text('also mine')
    assert train('--out', 'run', '--resume', '--iterations', 4, '--sample-every', 9).code == 0
    assert checkpoint._steps(str(run / 'checkpoints')) == [0, 1, 3, 4]
    found = list(tree(run).values())
    assert b'mine' in found and b'also mine' in found


def test_a_checkpoint_that_cntk_can_not_read(run, train):
    """Though its checksum is right."""
    (newest(run) / 'critic.ckp').write_bytes(b'x' * 1000)
    rewrite(run, sha256=dict(digests(run), **{
        'critic.ckp': checkpoint.sha256(str(newest(run) / 'critic.ckp'))}))
    sentence = train('--out', 'run', '--resume', '--iterations', 4).sentence
    assert 'can not be read by CNTK' in sentence and 'step_00000003' in sentence


@pytest.mark.slow
@pytest.mark.parametrize('how, files', [
    ('flipped', ['critic.ckp', 'generator.ckp', 'state_0.npz']),
    ('cut', ['critic', 'manifest.json']), ('removed', ['generator', 'state_0.npz'])])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(script, whole, half, tmp_path,
                                                                  how, files):
    newest = half / 'checkpoints' / 'step_00000004'
    assert sorted(os.listdir(str(newest))) == [
        'critic', 'critic.ckp', 'generator', 'generator.ckp', 'manifest.json', 'state_0.npz']
    for name in files:
        run = tmp_path / ('run ' + name)
        shutil.copytree(str(half), str(run))
        path = run / 'checkpoints' / 'step_00000004' / name
        data = bytearray(path.read_bytes())
        if how == 'removed':
            path.unlink()
        elif how == 'cut':
            path.write_bytes(data[:len(data) // 2])
        else:
            data[len(data) // 2] ^= 0x80
            path.write_bytes(data)
        result = script('wgan_training.py', '--out', run, '--iterations', 8, '--resume')
        assert result.code == 0, result.err
        warning, = [line for line in result.err.splitlines() if line.startswith('warning')]
        assert 'step_00000004 is damaged: ' + name in warning
        assert_same_run(whole, run)


@pytest.mark.slow
def test_no_whole_checkpoint(script, half):
    for path in (half / 'checkpoints').iterdir():
        (path / 'critic').unlink()
    assert 'no complete checkpoint' in script('wgan_training.py', '--out', half, '--iterations', 8,
                                              '--resume').sentence


@pytest.mark.slow
def test_manifest_tells_what_the_run_was_made_with(half):
    manifest = json.loads((half / 'checkpoints' / 'step_00000004' / 'manifest.json').read_text())
    assert manifest['step'] == 4 and manifest['settings']['image_size'] == 32
    assert set(manifest['versions']) == {'wgan', 'python', 'cntk', 'numpy', 'opencv'}
    assert sorted(manifest['sha256']) == ['critic', 'critic.ckp', 'generator', 'generator.ckp',
                                          'state_0.npz']
