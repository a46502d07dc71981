"""plot_losses.py: CSV files as they are found, and what is drawn of them."""

import os
import subprocess
import sys

import cv2
import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np
import pytest

from helpers import ROOT
from wgan.machine.command_line import UserError
from wgan.pictures import plotting
from wgan.pictures.plotting import read_losses

HEAD = 'step,G_loss,C_loss\n'
ALL = 'step,G_loss,C_loss,GP,wasserstein,grad_norm,seconds\n'


@pytest.fixture
def run(untrained):
    """A run with a wgan.csv."""
    return untrained


def read(path):
    return cv2.imread(str(path))


@pytest.mark.slow
@pytest.mark.parametrize('content, expected', [
    (HEAD + '1,2,3\n2,3,4\n', [(1, 2, 3), (2, 3, 4)]),
    (HEAD + '3,1,1\n4,1,1\n1,2,2\n2,2,2\n', [(1, 2, 2), (2, 2, 2), (3, 1, 1), (4, 1, 1)]),
    (HEAD + '1,1,1\n2,1,1\n2,5,5\n3,1,1\n1,7,7\n', [(1, 7, 7), (2, 5, 5), (3, 1, 1)]),
    (HEAD + '1,2,3\n\n   \n2,3,4\n\n', [(1, 2, 3), (2, 3, 4)]),
    (HEAD + '1,2,3\n' + HEAD + '2,3,4\n', [(1, 2, 3), (2, 3, 4)]),
    (HEAD + '1,nan,3\n2,,4\n', [(1, np.nan, 3), (2, np.nan, 4)]),
    (HEAD + '1,inf,3\n2,-inf,1e400\n3,1e300,4\n', [(1, np.nan, 3), (2, np.nan, np.nan),
                                                   (3, np.nan, 4)]),
    ('\ufeff' + HEAD + '1,2,3\n', [(1, 2, 3)]),
    ((HEAD + '1,2,3\n2,3,4\n').replace('\n', '\r\n'), [(1, 2, 3), (2, 3, 4)]),
    ('step, G_loss, C_loss, note\n1, 2, 3, fine\n', [(1, 2, 3)]),
    (HEAD + '1,2,3\n2,3', [(1, 2, 3)]),
])
def test_what_is_read(tmp_path, content, expected):
    path = tmp_path / 'x.csv'
    path.write_bytes(content.encode())
    losses = read_losses(str(path))
    np.testing.assert_array_equal(losses[['step', 'G_loss', 'C_loss']].values, expected)
    plotting.plot([str(path)], str(tmp_path / 'x.png'), smooth=0.5)


@pytest.mark.parametrize('content, said', [
    (b'', 'is empty'),
    (b'\n\n', 'is empty'),
    (b'1,2,3\n2,3,4\n', 'lacks the column step, G_loss, C_loss'),
    (b'step;G_loss;C_loss\n1;2;3\n', 'lacks the column step, G_loss, C_loss'),
    (HEAD.encode() + b'1,2\n2,3,4\n', 'line 2: it has 2 fields, and the first line has 3'),
    (HEAD.encode() + b'1,2,3\n\n2,3,4,5\n', 'line 4: it has 4 fields'),
    (HEAD.encode() + b'1,2,3\n,3,4\n', 'step is not a whole number'),
    (HEAD.encode() + b'1.5,2,3\n', 'step is not a whole number'),
    (HEAD.encode() + b'inf,2,3\n', 'step is not a whole number'),
    (HEAD.encode() + b'1,"2",3\n', 'something else than numbers in the column G_loss'),
    (HEAD.encode() + b'1,2,3\0\n', 'something else than numbers in the column C_loss'),
    (b'step,step,G_loss,C_loss\n1,1,2,3\n', 'two columns of one name'),
    ('step,G_loss,C_loss,Größe\n1,2,3,4\n'.encode('latin-1'), 'not UTF-8'),
    (HEAD.encode('utf-16'), 'not UTF-8'),
    (b'\x89PNG\r\n\x1a\n\0\0', 'not UTF-8'),
])
def test_what_can_not_be_read(tmp_path, content, said):
    path = tmp_path / 'x.csv'
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        plotting.plot([str(path)], str(tmp_path / 'x.png'))
    assert str(path) in str(raised.value) and said in str(raised.value)
    assert os.listdir(str(tmp_path)) == ['x.csv']


def test_what_is_no_file_at_all(tmp_path):
    os.mkfifo(str(tmp_path / 'fifo'))
    for name in ('fifo', '.'):
        with pytest.raises(UserError, match='not a regular file'):
            read_losses(str(tmp_path / name))


def drawn(monkeypatch, tmp_path, contents, names, smooth=0.0):
    """The figure that is drawn of these CSV files, just before it is written."""
    figures = []
    for name, content in zip(names, contents):
        path = tmp_path / name / 'wgan.csv'
        path.parent.mkdir(parents=True)
        path.write_text(content)
    monkeypatch.setattr(plotting, 'save_figure', lambda figure, path: figures.append(figure))
    plotting.plot([str(tmp_path / name / 'wgan.csv') for name in names],
                  str(tmp_path / 'x.png'), smooth)
    FigureCanvasAgg(figures[0]).draw()
    return figures[0]


@pytest.mark.slow
@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('folders, expected', [
    (['_a', 'b'], ['_a', 'b']),
    (['b$x$y', '$\\frac{', 'c$'], ['b$x$y', '$\\frac{', 'c$']),
    (['p/run', 'q/run', 'other'], ['p/run', 'q/run', 'other']),
    (['p/x/run', 'p/y/run', 'q/x/run'], ['p/x/run', 'y/run', 'q/x/run']),
    (['run', 'run/run'], None),
    (['a\nb', 'c\x07'], ["'a\\nb'", "'c\\x07'"]),
    (['__', '%s %d'], ['__', '%s %d']),
])
def test_legend(monkeypatch, tmp_path, folders, expected):
    figure = drawn(monkeypatch, tmp_path, [HEAD + '1,2,3\n'] * len(folders), folders)
    texts = figure.axes[0].get_legend().get_texts()
    shown = [text.get_text() for text in texts]
    assert len(set(shown)) == len(folders)
    for text in shown:                                      # not read as mathematics
        assert not matplotlib.cbook.is_math_text(text)
    if expected:
        assert [text.replace('\\$', '$') for text in shown] == expected


def test_legend_of_files_in_one_folder(tmp_path):
    for name in ('a.csv', 'b.csv'):
        (tmp_path / name).write_text(HEAD + '1,2,3\n')
    assert plotting.run_names([str(tmp_path / 'a.csv'), str(tmp_path / 'b.csv')]) == [
        'a.csv', 'b.csv']
    with pytest.raises(UserError, match='given twice'):
        plotting.plot([str(tmp_path / 'a.csv'), str(tmp_path / '.' / 'a.csv')],
                      str(tmp_path / 'x.png'))


def test_a_gap_stays_a_gap(monkeypatch, tmp_path):
    """Also where it is smoothed: an average that goes on over NaN is a line of no numbers."""
    rows = ['%d,%s,%s\n' % (i, 'nan' if 3 < i < 7 else i, 'inf' if i > 7 else -i)
            for i in range(10)]
    figure = drawn(monkeypatch, tmp_path, [HEAD + ''.join(rows)], ['run'], smooth=0.9)
    critic, generator = figure.axes[:2]
    for line in generator.get_lines():
        assert list(np.isnan(line.get_ydata())) == [3 < i < 7 for i in range(10)]
    for line in critic.get_lines():
        assert list(np.isnan(line.get_ydata())) == [i > 7 for i in range(10)]


@pytest.mark.slow
@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('loss, expected', [
    (lambda i: 50 if i < 20 else 2 - i / 1000, (0.9, 2.1)),         # a peak at the beginning
    (lambda i: 'nan' if i == 500 else -50 if i < 50 else i / 1000, (0, 1.05)),
    (lambda i: 3 if i < 20 else 2 - i / 1000, (0.9, 3.1)),          # one that hides little
    (lambda i: 50 if i > 980 else 2 - i / 1000, (-5, 55)),          # a loss that runs away
    (lambda i: 50 if i < 20 else 2, (-5, 55)),                      # nothing follows
    (lambda i: 'nan', (-0.055, 0.055)),                             # matplotlib's own
])
def test_a_peak_at_the_beginning_leaves_the_panel(monkeypatch, tmp_path, loss, expected):
    rows = ['%d,%d,%s\n' % (i + 1, i, loss(i)) for i in range(1000)]
    figure = drawn(monkeypatch, tmp_path, [HEAD + ''.join(rows)], ['run'])
    critic, generator = figure.axes
    width = expected[1] - expected[0]
    assert np.allclose(critic.get_ylim(), expected, rtol=0, atol=0.1 * width)
    assert generator.get_ylim()[0] < 0 and generator.get_ylim()[1] > 999


def test_a_short_curve_is_shown_as_a_whole(monkeypatch, tmp_path):
    rows = ['%d,0,%s\n' % (i + 1, 50 if i < 2 else i) for i in range(20)]
    figure = drawn(monkeypatch, tmp_path, [HEAD + ''.join(rows)], ['run'])
    assert figure.axes[0].get_ylim()[1] > 50


@pytest.mark.filterwarnings('error')
def test_the_target_stays_in_the_panel(monkeypatch, tmp_path):
    rows = ['%d,0,0,0,0,%s,0\n' % (i + 1, 9 if i < 20 else 1.2 + i / 1e4) for i in range(1000)]
    figure = drawn(monkeypatch, tmp_path, [ALL + ''.join(rows)], ['run'])
    low, high = figure.axes[-1].get_ylim()
    assert 0.9 < low < 1 and 1.3 < high < 1.4


@pytest.mark.parametrize('name', ['x', 'x.xyz', 'x.pgf', 'x.gif', 'x.png.'])
def test_kinds_of_plots(tmp_path, name):
    with pytest.raises(UserError, match='plots are written as .png'):
        plotting.plot(['no.csv'], str(tmp_path / name))


@pytest.mark.slow
def test_plot(script, run, tmp_path):
    assert script('plot_losses.py', 'run/wgan.csv', '--out', 'one.png').code == 0
    assert script('plot_losses.py', 'run/wgan.csv', '--out', 'smooth.png', '--smooth', 0.9
                  ).code == 0
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'wgan.csv').write_text((run / 'wgan.csv').read_text().replace('-2', '-9'))
    assert script('plot_losses.py', 'run/wgan.csv', 'other/wgan.csv', '--out', 'two.png').code == 0
    one, smooth, two = (read(tmp_path / n) for n in ('one.png', 'smooth.png', 'two.png'))
    assert one.shape == two.shape == smooth.shape and (one != two).any() and (one != smooth).any()


@pytest.mark.slow
def test_plot_of_a_run_in_progress_and_of_the_articles_csv(script, tmp_path):
    """A half-written last line is left out; a CSV without our columns has fewer panels."""
    (tmp_path / 'whole.csv').write_text(ALL + '1,1,2,3,4,5,6\n2,2,3,4,5,6,7\n')
    (tmp_path / 'half.csv').write_text(ALL + '1,1,2,3,4,5,6\n2,2,3,4,5,6,7\n3,7,-1')
    (tmp_path / 'article.csv').write_text('step,G_loss,C_loss,GP\n0,1,2,0.5\n1,2,3,0.25\n')
    for name in ('whole', 'half', 'article'):
        assert script('plot_losses.py', name + '.csv', '--out', name + '.png').code == 0
    assert (read(tmp_path / 'whole.png') == read(tmp_path / 'half.png')).all()
    assert read(tmp_path / 'article.png').shape[0] < read(tmp_path / 'whole.png').shape[0]


@pytest.mark.parametrize('text, said', [
    (None, 'does not exist'),
    ('', 'is no CSV'),
    ('step,G_loss\n1,2\n', 'lacks the column C_loss'),
    (ALL, 'has no rows'),
    (ALL + '1,2,3', 'has no rows'),
    (ALL + '1,2,often,4,5,6,7\n', 'something else than numbers in the column C_loss'),
])
def test_plot_bad_input(script, tmp_path, text, said):
    if text is not None:
        (tmp_path / 'x.csv').write_text(text)
    sentence = script('plot_losses.py', 'x.csv', '--out', 'x.png').sentence
    assert 'x.csv' in sentence and said in sentence


def test_plot_does_not_overwrite_and_knows_its_suffixes(script, run, tmp_path):
    assert 'x.xyz' in script('plot_losses.py', 'run/wgan.csv', '--out', 'x.xyz').sentence
    (tmp_path / 'x.png').write_bytes(b'mine')
    assert '--force' in script('plot_losses.py', 'run/wgan.csv', '--out', 'x.png').sentence
    assert (tmp_path / 'x.png').read_bytes() == b'mine'


@pytest.mark.slow
@pytest.mark.parametrize('answer, code', [('y', 0), ('n', 2), ('', 2)])
def test_at_a_terminal_it_asks(run, tmp_path, answer, code):
    pty = pytest.importorskip('pty')
    (tmp_path / 'x.png').write_bytes(b'mine')
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode() + b'\n')
    process = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'plot_losses.py'), 'run/wgan.csv', '--out', 'x.png'],
        cwd=str(tmp_path), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code and b'Overwrite it? [y/N]' in process.stdout
    assert ((tmp_path / 'x.png').read_bytes() == b'mine') == (code == 2)


def test_scores_against_other_data_are_other_curves(tmp_path, monkeypatch):
    """They begin at a line; the curve before does not lead there."""
    path, figures = tmp_path / 'scores.csv', []
    path.write_text('step,inception_score_mean,fid,kid_mean,data_since\n'
                    '1,1,90,1,0\n2,1,80,1,0\n3,1,300,1,2\n4,1,200,1,2\n')
    monkeypatch.setattr(plotting, 'save_figure', lambda figure, _: figures.append(figure))
    plotting.plot([str(path)], str(tmp_path / 'x.png'))
    axis = figures[0].axes[0]
    lines = [line.get_xydata().tolist() for line in axis.get_lines()]
    assert lines == [[[1, 90], [2, 80]], [[3, 300], [4, 200]], [[2, 0], [2, 1]]]
    assert [text.get_text() for text in axis.texts] == ['other data']
    assert axis.get_ylim()[0] > 60
