"""--page: page.html in a run's folder, which changes nothing of the training and can't end it."""

import json
import os
import re
import signal

import pytest

from helpers import TINY, assert_same_run, rows
from wgan.machine.command_line import UserError
from wgan.pictures import page
from wgan.runs import results

pytestmark = pytest.mark.slow
TEXT = ['--text', '--length', 6, '--width', 2, '--batch-size', 4, '--n-critic', 1, '--score-every',
        1, '--score-count', 10, '--checkpoint-every', 1]


@pytest.fixture(autouse=True)
def short_script(monkeypatch):
    """Plotly's script is 3.6 MB, and takes a second."""
    monkeypatch.setattr(page, 'plotly_script', lambda: '')


@pytest.fixture
def options(images, tmp_path):
    return ['--data', images, '--iterations', 3, *TINY]


def page_text(run):
    return (run / 'page.html').read_text()


def test_the_run_is_the_same(train, options, tmp_path):
    assert train(*options, '--out', 'without').code == 0
    result = train(*options, '--out', 'with', '--page')
    assert result.code == 0 and result.out.count('images for the page') == 3
    assert_same_run(tmp_path / 'without', tmp_path / 'with')
    text = page_text(tmp_path / 'with')
    assert '3 of 3 iterations' in text and '"moved": ["data:image/jpeg' in text
    assert not (tmp_path / 'without' / 'page.html').exists()


def test_of_text_with_the_last_score(train, tmp_path):
    (tmp_path / 'lines.txt').write_text(''.join('line %d\n' % i for i in range(60)))
    for name, more in (('without', []), ('with', ['--page'])):
        assert train('--data', 'lines.txt', '--out', name, '--iterations', 2, *TEXT,
                     *more).code == 0
    assert_same_run(tmp_path / 'without', tmp_path / 'with')
    text = page_text(tmp_path / 'with')
    data = json.loads(re.search('type="application/json">(.*?)</script>', text).group(1))
    assert 'is a generator of text' in text and [
        trace['x'] for trace in data['figure']['data'] if trace['meta'] == 'js_4'] == [[1, 2]]


@pytest.mark.parametrize('error', [
    UserError('too large'), OSError(28, 'No space left on device'), RuntimeError('CNTK failed'),
    KeyError('x'), MemoryError()], ids=repr)
def test_a_page_that_fails(train, options, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error
    monkeypatch.setattr(results, 'write_page', fail)
    result = train(*options, '--out', 'run', '--page')
    assert result.code == 0 and rows(tmp_path / 'run') == 3
    assert result.err.count('page.html was not made: ' + (
        ' '.join(str(error).split()) or 'MemoryError')) == 3
    assert (tmp_path / 'run' / 'training.gif').exists()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_it(train, options, tmp_path, monkeypatch, number):
    """The run is stopped as ever, without another page, and goes on."""
    def interrupted(path, runs):
        calls.append(path)
        os.kill(os.getpid(), number)
        raise AssertionError('goes on after a signal')
    calls = []
    monkeypatch.setattr(results, 'write_page', interrupted)
    result = train(*options, '--out', 'run', '--page')
    assert result.code == 128 + number and len(calls) == 1 and 'not made' not in result.err
    assert rows(tmp_path / 'run') == 2 and not (tmp_path / 'run' / 'page.html').exists()
    monkeypatch.undo()
    assert train('--out', tmp_path / 'run', '--resume').code == 0
    assert '3 of 3 iterations' in page_text(tmp_path / 'run')


def test_a_complete_run(train, options, tmp_path):
    assert train(*options, '--out', 'run').code == 0
    result = train('--out', 'run', '--resume', '--page')
    assert result.code == 0 and 'made again: page.html' in result.out
    assert '3 of 3 iterations' in page_text(tmp_path / 'run')


def test_what_stands_in_its_place(train, options, tmp_path):
    """A link to a file of the user is renamed, not written to."""
    assert train(*options, '--out', 'run').code == 0
    (tmp_path / 'mine.html').write_text('mine')
    (tmp_path / 'run' / 'page.html').symlink_to(tmp_path / 'mine.html')
    result = train('--out', 'run', '--resume', '--page', '--iterations', 4)
    assert result.code == 0 and 'is now run/page.html.kept1' in result.err
    assert (tmp_path / 'mine.html').read_text() == 'mine'
    assert '4 of 4 iterations' in page_text(tmp_path / 'run')
