"""Damaged tables: what is mended, what is named, and that nothing is lost."""

import os

import pytest

from wgan.runs.folder import RunFolder
from wgan.runs.results import BEST, continue_tables
from wgan.runs.tables import continue_table
from wgan.scores.training_scores import COLUMNS as SCORES

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
    from wgan.runs import tables as run_tables

    def full(*_):
        raise OSError(28, 'No space left on device')
    for name, target in (('copy2', run_tables.shutil), ('replacing', run_tables)):
        (tmp_path / 't.csv').write_text(GOOD + '\n')
        with monkeypatch.context() as patched:
            patched.setattr(target, name, full)
            with pytest.raises(OSError):
                continue_table(str(tmp_path / 't.csv'), COLUMNS, 3, True)
        assert (tmp_path / 't.csv').read_text() == GOOD + '\n'


SCORED = ','.join(SCORES) + '\n2' + ',1' * (len(SCORES) - 2) + ',%d\n'
EARLIER = ','.join(SCORES[:-1]) + '\n2' + ',1' * (len(SCORES) - 2) + '\n'


@pytest.mark.parametrize('scores, since, kept', [
    (None, 0, True), ('', 0, True), (SCORED % 0, 0, False), (SCORED % 2, 2, False),
    (SCORED % 0, 2, True), (EARLIER, 0, False), (EARLIER, 2, True),
    (','.join(SCORES) + '\nnan\n', 0, True)])
def test_the_best_generator_is_kept_if_its_score_is_lost(run, capfd, scores, since, kept):
    """Or if it was measured against other data than there are now."""
    folder = RunFolder(str(run))
    folder.open()
    (run / BEST).write_text('best')
    folder.own.add(BEST)
    if scores is not None:
        (run / 'scores.csv').write_text(scores)
    continue_tables(folder, (run / 'wgan.csv').read_text().split('\n')[0].split(','),
                    SCORES, 3, since)
    said = capfd.readouterr().err
    assert ('best by the data up to iteration 2' in said) == (since == 2 and kept)
    if scores == EARLIER:
        assert (run / 'scores.csv').read_text() == SCORED % 0 and 'mended' not in said
    assert (run / (BEST + '.kept')).exists() == kept and (run / BEST).exists() != kept


@pytest.mark.slow
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
