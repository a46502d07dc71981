"""Damaged tables and checkpoints: what is mended, what is named, and that nothing is lost."""

import json
import os
import shutil

import numpy as np
import pytest

from wgan import checkpoint
import wgan_training
from helpers import TINY, tree
from wgan.run_results import BEST, continue_tables
from wgan.run_tables import continue_table
from wgan.run_folder import RunFolder

COLUMNS = ['step', 'G_loss', 'C_loss', 'seconds']
HEAD = 'step,G_loss,C_loss,seconds\n'
ROWS = ['1,0.1,-2,0.5\n', '2,0.2,-1e-05,0.5\n', '3,0.3,0,0.5\n']
GOOD = HEAD + ''.join(ROWS)


def mended(tmp_path, content, capfd, every_step=True):
    """(text afterwards, rows lost, warning, copies) of a table that goes on after step 3."""
    path = tmp_path / 't.csv'
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    capfd.readouterr()
    lost = continue_table(str(path), COLUMNS, 3, every_step)
    return path.read_text(), lost, capfd.readouterr().err, [
        p.read_bytes() for p in tmp_path.glob('t.csv.kept*')]


@pytest.mark.parametrize('content', [
    GOOD, GOOD + '4,1,1,1\n5,1,1,1\n', GOOD + '4,0.1,', GOOD + '4', GOOD.rstrip('\n'),
    GOOD.replace('\n', '\r\n'), '\ufeff' + GOOD])
def test_an_undamaged_table(tmp_path, capfd, content):
    assert mended(tmp_path, content, capfd) == (GOOD, False, '', [])


@pytest.mark.parametrize('content, said, lost', [
    (GOOD + '\n', 'blank', False), (HEAD + '\n\n' + ''.join(ROWS), 'blank', False),
    ('\n' + GOOD, 'header', None), (GOOD.replace(',', ';'), 'semicolons', False),
    (GOOD.replace(',', ';').replace('.', ','), 'semicolons', False),
    (''.join(ROWS), 'header', False), (HEAD + ''.join(reversed(ROWS)), 'order', False),
    (GOOD + ROWS[1], 'twice', False), (GOOD + 'nan\n', '1 line was no row', True),
    (GOOD + 'x,y\n', '1 line was no row', True), (GOOD + '4,nan,1,1\n', '1 line', True),
    (GOOD + GOOD, 'twice', None), (GOOD.encode('utf-8') + b'\xff\xfe\n', '1 line', True),
    (GOOD + '4,1_0,1,1\n', '1 line', True), (GOOD + '\u0664,1,1,1\n', '1 line', True),
    (GOOD + 'a' * 300000 + '\n', '1 line', True), (GOOD + '"\n', '1 line', True),
    (GOOD + '4,1e999,1,1\n', '1 line', True), (GOOD.replace('3,', '3,\0'), '', False),
    (GOOD.encode('utf-16'), 'header', None)])
def test_a_table_that_can_be_mended(tmp_path, capfd, content, said, lost):
    text, was_lost, warning, kept = mended(tmp_path, content, capfd)
    assert text == GOOD
    assert said in warning and (lost is None or was_lost == lost)
    assert not said or kept == [content if isinstance(content, bytes) else content.encode()]


@pytest.mark.parametrize('content, rows', [
    (None, 0), ('', 0), (HEAD, 0), (HEAD.rstrip(), 0), ('\0' * 100, 0),
    ('time,price\n1,2\n', 0), ('step,G_loss\n1,0.1\n', 0), (HEAD + ROWS[0] + ROWS[2], 2),
    (HEAD + ROWS[0] + '2,nan,nan,nan\n' + ROWS[2], 2), (b'\x89PNG\r\n\x1a\n', 0), ('\n\n', 0)])
def test_rows_that_are_lost_are_counted(tmp_path, capfd, content, rows):
    text, lost, warning, kept = mended(tmp_path, content, capfd)
    assert text.startswith(HEAD) and text.count('\n') == 1 + rows and lost
    assert '%d of the 3 rows' % (3 - rows) in warning
    assert not content or kept == [content if isinstance(content, bytes) else content.encode()]


@pytest.mark.parametrize('what', ['folder', 'pipe', 'dangling link'])
def test_something_else_in_place_of_a_table(tmp_path, capfd, what):
    path = tmp_path / 't.csv'
    {'folder': lambda: path.mkdir(), 'pipe': lambda: os.mkfifo(str(path)),
     'dangling link': lambda: path.symlink_to('nowhere')}[what]()
    assert continue_table(str(path), COLUMNS, 3, True)
    assert path.read_text() == HEAD and os.path.lexists(str(tmp_path / 't.csv.kept'))
    assert 't.csv.kept' in capfd.readouterr().err


def test_a_full_disk_leaves_the_table(tmp_path, monkeypatch):
    """... and the copy, whatever was written of it."""
    from wgan import run_tables

    def full(*_):
        raise OSError(28, 'No space left on device')
    for name, target in (('copy2', run_tables.shutil), ('replacing', run_tables)):
        (tmp_path / 't.csv').write_text(GOOD + '\n')
        with monkeypatch.context() as patched:
            patched.setattr(target, name, full)
            with pytest.raises(OSError):
                continue_table(str(tmp_path / 't.csv'), COLUMNS, 3, True)
        assert (tmp_path / 't.csv').read_text() == GOOD + '\n'


@pytest.mark.parametrize('scores, kept', [
    (None, True), ('', True),
    ('step,inception_score_mean,inception_score_std,fid,kid_mean,kid_std\n'
     '2,1,1,5,1,1\n', False),
    ('step,inception_score_mean,inception_score_std,fid,kid_mean,kid_std\nnan\n', True)])
def test_the_best_generator_is_kept_if_its_score_is_lost(run, scores, kept):
    folder = RunFolder(str(run))
    folder.open()
    (run / BEST).write_text('best')
    folder.own.add(BEST)
    if scores is not None:
        (run / 'scores.csv').write_text(scores)
    continue_tables(folder, (run / 'wgan.csv').read_text().split('\n')[0].split(','), 3)
    assert (run / (BEST + '.kept')).exists() == kept and (run / BEST).exists() != kept


@pytest.mark.parametrize('content', ['x;y\n1;2\n', None])
def test_a_run_goes_on_with_a_damaged_table(run, train, content):
    path, before = run / 'wgan.csv', (run / 'wgan.csv').read_text()
    path.unlink()
    if content is not None:
        path.write_text(content)
    result = train('--out', 'run', '--resume', '--iterations', 4, '--sample-every', 9)
    assert result.code == 0 and 'wgan.csv was mended' in result.err
    assert path.read_text().startswith(before.split('\n')[0] + '\n4,')
    assert not content or (run / 'wgan.csv.kept').read_text() == content


# Checkpoints

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


def test_files_in_a_checkpoint_are_not_deleted_with_it(run, train):
    (run / 'checkpoints' / 'step_00000002' / 'notes').write_text('mine')
    (run / 'checkpoints' / 'step_00000001').mkdir()
    (run / 'checkpoints' / 'step_00000000').mkdir()
    (run / 'checkpoints' / 'step_00000000' / 'critic').write_text('also mine')
    assert train('--out', 'run', '--resume', '--iterations', 4, '--sample-every', 9).code == 0
    assert checkpoint._steps(str(run / 'checkpoints')) == [0, 3, 4]
    found = list(tree(run).values())
    assert b'mine' in found and b'also mine' in found


def test_a_checkpoint_that_cntk_can_not_read(run, train):
    """Though its checksum is right."""
    (newest(run) / 'critic.ckp').write_bytes(b'x' * 1000)
    rewrite(run, sha256=dict(digests(run), **{
        'critic.ckp': checkpoint.sha256(str(newest(run) / 'critic.ckp'))}))
    sentence = train('--out', 'run', '--resume', '--iterations', 4).sentence
    assert 'can not be read by CNTK' in sentence and 'step_00000003' in sentence


# What is no number

@pytest.mark.parametrize('what', ['generator', 'critic', 'average'])
def test_nothing_is_saved_of_weights_that_are_no_numbers(run, train, monkeypatch, what):
    """Not by a grid, a score or a checkpoint; whichever is due first."""
    from wgan.updates import Updates
    real = Updates.update_generator

    def broken(self, step):
        real(self, step)
        network = self.average.generator if what == 'average' else getattr(self, what)
        p = network.parameters[0]
        p.value = np.full(p.shape, np.nan, np.float32)
    monkeypatch.setattr(Updates, 'update_generator', broken)

    class Scores:                               # to which any generator is the best yet
        best_step, add = None, lambda *_: True

        def __init__(self, *_):
            pass

        def described(self):
            return None
    scored = {'critic': [], 'generator': ['--score-every', 1, '--inception', 'x'],
              'average': ['--checkpoint-every', 5, '--score-every', 1, '--inception', 'x']}[what]
    monkeypatch.setattr(wgan_training, 'make_scores', Scores)
    before = tree(run)
    sentence = train('--out', 'run', '--resume', '--iterations', 9, *scored).sentence
    assert 'iteration 4: ' in sentence and 'NaN or infinite' in sentence
    assert 'step_00000003' in sentence
    changed = {name for name, content in tree(run).items() if before.get(name) != content}
    assert changed <= {'wgan.csv', 'config.json', '.files'}


def test_rmsprop_squares_that_are_no_numbers(train, a_run, monkeypatch):
    from wgan.learners import RmsProp
    real = RmsProp.arrays
    monkeypatch.setattr(RmsProp, 'arrays', lambda self: {
        name: np.full_like(value, np.inf) for name, value in real(self).items()})
    sentence = train('--data', a_run / 'pics', '--out', 'run', '--objective', 'wgan',
                     '--iterations', 2, *TINY).sentence
    assert 'squares' in sentence and not os.listdir('run/checkpoints')
    assert os.listdir('run/samples') == ['real.png']
