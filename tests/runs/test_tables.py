"""The tables of a run that continues: cut off at its checkpoint, and nothing is lost."""

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


def continued(tmp_path, content, capfd, every_step=True):
    """(text afterwards, whether it begins again, warning, copies) of one that goes on after 3."""
    path = tmp_path / 't.csv'
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    capfd.readouterr()
    begins_again = continue_table(str(path), COLUMNS, 3, every_step)
    return path.read_text(), begins_again, capfd.readouterr().err, [
        p.read_bytes() for p in tmp_path.glob('t.csv.kept*')]


@pytest.mark.parametrize('content', [
    GOOD, GOOD + '4,1,1,1\n5,1,1,1\n', GOOD + '4,0.1,', GOOD + '4', GOOD.rstrip('\n'),
    GOOD + '1', GOOD + '4,nan,1,1\n', GOOD.replace('\n', '\r\n'), '\ufeff' + GOOD, GOOD + '\n',
    HEAD + '\n\n' + ''.join(ROWS)])
def test_a_table_that_the_run_wrote(tmp_path, capfd, content):
    """Also as a kill leaves it, or an editor."""
    assert continued(tmp_path, content, capfd) == (GOOD, False, '', [])


@pytest.mark.parametrize('rows', [ROWS[2:], ROWS[1:]])
def test_a_table_that_began_again(tmp_path, capfd, rows):
    content = HEAD + ''.join(rows)
    assert continued(tmp_path, content, capfd) == (content, False, '', [])


@pytest.mark.parametrize('content', [
    '\n' + GOOD, GOOD.replace(',', ';'), GOOD.replace(',', ';').replace('.', ','), ''.join(ROWS),
    HEAD + ''.join(reversed(ROWS)), GOOD + ROWS[1], GOOD + 'nan\n', GOOD + 'x,y\n', GOOD + GOOD,
    GOOD.encode('utf-8') + b'\xff\xfe\n', GOOD + 'a' * 300000 + '\n', GOOD + '"\n',
    GOOD.replace('0.2', '1_0'), GOOD.replace('0.2', '\u0664'), GOOD.replace('0.2', ''),
    GOOD.replace('0.2', '1e999'), GOOD.replace('0.2', '1,2'), GOOD.replace('0.2,', ''),
    GOOD.replace('2,', '2,\0'), GOOD.encode('utf-16'), '', HEAD, HEAD.rstrip(), '\0' * 100,
    'time,price\n1,2\n', 'step,G_loss\n1,0.1\n', HEAD + ROWS[0] + ROWS[2],
    HEAD + ROWS[0] + ROWS[1], HEAD + ROWS[0] + '2,nan,nan,nan\n' + ROWS[2],
    b'\x89PNG\r\n\x1a\n', '\n\n', HEAD + '0,1,1,1\n' + ''.join(ROWS)])
def test_another_table_is_kept_and_begins_again(tmp_path, capfd, content):
    text, begins_again, warning, kept = continued(tmp_path, content, capfd)
    assert text == HEAD and begins_again and 't.csv is not what the run wrote' in warning
    assert kept == [content if isinstance(content, bytes) else content.encode()]


def test_a_missing_table_begins_again(tmp_path, capfd):
    text, begins_again, warning, kept = continued(tmp_path, None, capfd)
    assert (text, begins_again, kept) == (HEAD, True, []) and 't.csv is missing' in warning


@pytest.mark.parametrize('content, expected', [
    (HEAD, HEAD), (HEAD + ROWS[1], HEAD + ROWS[1]), (HEAD + ROWS[0] + ROWS[2] + '6,1,1,1\n',
                                                     HEAD + ROWS[0] + ROWS[2])])
def test_scores_have_some_steps_only(tmp_path, capfd, content, expected):
    assert continued(tmp_path, content, capfd, every_step=False) == (expected, False, '', [])


@pytest.mark.parametrize('what', ['folder', 'pipe', 'dangling link'])
def test_something_else_in_place_of_a_table(tmp_path, capfd, what):
    path = tmp_path / 't.csv'
    {'folder': lambda: path.mkdir(), 'pipe': lambda: os.mkfifo(str(path)),
     'dangling link': lambda: path.symlink_to('nowhere')}[what]()
    assert continue_table(str(path), COLUMNS, 3, True)
    assert path.read_text() == HEAD and os.path.lexists(str(tmp_path / 't.csv.kept1'))
    assert 't.csv.kept1' in capfd.readouterr().err


def test_a_full_disk_leaves_the_table(tmp_path, monkeypatch):
    from wgan.runs import tables

    def full(*_):
        raise OSError(28, 'No space left on device')
    for name, content in (('keep_aside', ''), ('replacing', GOOD)):
        (tmp_path / 't.csv').write_text(content)
        with monkeypatch.context() as patched:
            patched.setattr(tables, name, full)
            with pytest.raises(OSError):
                continue_table(str(tmp_path / 't.csv'), COLUMNS, 3, True)
        assert (tmp_path / 't.csv').read_text() == content


SCORED = ','.join(SCORES) + '\n2' + ',1' * (len(SCORES) - 2) + ',%d\n'


@pytest.mark.parametrize('scores, since, kept', [
    (None, 0, True), ('', 0, True), (SCORED % 0, 0, False), (SCORED % 2, 2, False),
    (SCORED % 0, 2, True),
    (','.join(SCORES) + '\nnan\n', 0, True)])
def test_the_best_generator_is_kept_if_its_score_is_lost(run, capfd, scores, since, kept):
    """Or if it was measured against other data than there are now."""
    folder = RunFolder(str(run))
    (run / BEST).write_text('best')
    if scores is not None:
        (run / 'scores.csv').write_text(scores)
    continue_tables(folder, (run / 'wgan.csv').read_text().split('\n')[0].split(','),
                    SCORES, 3, since)
    said = capfd.readouterr().err
    assert ('best by the data up to iteration 2' in said) == (since == 2 and kept)
    assert (run / (BEST + '.kept1')).exists() == kept and (run / BEST).exists() != kept


@pytest.mark.slow
@pytest.mark.parametrize('content', ['x;y\n1;2\n', None])
def test_a_run_goes_on_with_a_damaged_table(run, train, content):
    path, before = run / 'wgan.csv', (run / 'wgan.csv').read_text()
    path.unlink()
    if content is not None:
        path.write_text(content)
    result = train('--out', 'run', '--resume', '--iterations', 4, '--sample-every', 9)
    assert result.code == 0 and 'begins again' in result.err
    assert path.read_text().startswith(before.split('\n')[0] + '\n4,')
    assert not content or (run / 'wgan.csv.kept1').read_text() == content
