"""Plots loss and score tables."""

import os

from wgan.machine.command_line import UserError, one_line
from wgan.machine.disk import replacing
from wgan.scores.score_table import DATA_SINCE, HELD_OUT

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import numpy as np
import pandas as pd

PANELS = [                                              # column, label, target line
    ('C_loss', 'critic loss', None),
    ('G_loss', 'generator loss', None),
    ('wasserstein', 'Wasserstein estimate\nE[C(x)] − E[C(G(z))]', None),
    ('grad_norm', 'gradient norm ‖∇C(x̂)‖', 1.0),
    ('GP', 'gradient penalty', None),
    ('R1', 'squared gradient norm\nat real images', None),
    ('R2', 'squared gradient norm\nat generated images', None),
    ('score_difference', 'score difference\nC(x) − C(G(z))', None),
    ('margin', 'margin', None),
    ('D_real', 'probability of being real\nD(x)', 0.5),
    ('D_fake', 'probability of being real\nD(G(z))', 0.5),
    ('augmented', 'probability of each change\nby augmentation', None),
    ('fid', 'Frechet distance (FID)', None),
    ('kid_mean', 'kernel distance (KID)', None),
    ('inception_score_mean', 'Inception Score', None),
    ('precision', 'precision', None),
    ('recall', 'recall', None),
    ('density', 'density', 1.0),
    ('coverage', 'coverage', None),
    ('js_1', 'divergence of characters', None),
    ('js_2', 'divergence of 2-grams', None),
    ('js_3', 'divergence of 3-grams', None),
    ('js_4', 'divergence of 4-grams', None),
    ('in_training', 'part of the lines that\nare in the training set', None),
    ('distinct', 'part of the lines that\nare distinct', None),
]
BEGINNING = 0.05             # the fraction of a curve that may leave its panel
FEW = 50                     # a shorter curve has dots, and must not leave its panel
GAP_SMOOTH = 0.98            # smoothing of training and held-out curves, to show their gap
LOSSES = ['step', 'G_loss', 'C_loss']
LARGEST = 1e100             # beyond it, matplotlib can't compute the limits of an axis
FORMATS = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.pdf', '.svg', '.ps', '.eps')
SCORES = ['step', 'inception_score_mean', 'fid', 'kid_mean']
TEXT_SCORES = ['step', 'js_4']


def read_losses(path):
    """Reads the CSV of a run: a DataFrame with one row a step, in order.

    An incomplete last line is skipped: the run is still writing it. If a step has several rows, the
    last one counts. Numbers that can't be drawn are NaN.
    Raises UserError if the file is no CSV, lacks one of the columns LOSSES, SCORES or TEXT_SCORES,
    has text in a column of numbers, or has no rows.
    """
    head, *rows = _read_rows(path)
    expected = SCORES if 'fid' in head else TEXT_SCORES if 'js_4' in head else LOSSES
    missing = [column for column in expected if column not in head]
    if missing:
        raise UserError('%s lacks the column %s; a loss CSV begins with %s'
                        % (path, ', '.join(missing), ','.join(LOSSES)))
    if len(set(head)) < len(head):
        raise UserError('%s has two columns of one name' % path)
    if not rows:
        raise UserError('%s has no rows yet' % path)
    table = pd.DataFrame(rows, columns=head, dtype=object)
    losses = pd.DataFrame({column: _numbers(table[column], path)
                           for column in ['step'] + [
                               panel[0] + end for panel in PANELS for end in ('', HELD_OUT)]
                           if column in head})
    if 'seconds' in head:                               # not drawn: may be anything
        losses['seconds'] = pd.to_numeric(table['seconds'], errors='coerce')
    losses[DATA_SINCE] = (_numbers(table[DATA_SINCE], path).fillna(0) if DATA_SINCE in head
                          else 0.0)
    if not (losses['step'] % 1 == 0).all():
        raise UserError('%s has a row whose step is not a whole number' % path)
    return losses.drop_duplicates('step', keep='last').sort_values('step').reset_index(drop=True)


def _read_rows(path):
    """Returns lists of fields, column names first, without blank lines and repeated headers."""
    if not os.path.exists(path):
        raise UserError('%s does not exist; a run writes its losses to wgan.csv' % path)
    if not os.path.isfile(path):
        raise UserError('%s is not a regular file; name the wgan.csv or scores.csv of a run'
                        % path)
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = file.read().rpartition('\n')[0].split('\n')
    except UnicodeDecodeError:
        raise UserError('%s is no CSV file: it is not UTF-8 text' % path)
    lines = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not lines:
        raise UserError('%s is no CSV file: it is empty' % path)
    head = lines[0][1]
    rows = [[name.strip() for name in head.split(',')]]
    for number, line in lines:
        if line == head:
            continue
        rows.append([field.strip() or 'nan' for field in line.split(',')])
        if len(rows[-1]) != len(rows[0]):
            raise UserError('%s, line %d: it has %d fields, and the first line has %d'
                            % (path, number, len(rows[-1]), len(rows[0])))
    return rows


def _numbers(column, path):
    """Converts a column to floats. Numbers too large to draw become NaN."""
    try:
        numbers = column.astype(float)
    except ValueError:
        raise UserError('%s has something else than numbers in the column %s'
                        % (path, column.name))
    return numbers.where(numbers.abs() < LARGEST)


def plot(paths, out, smooth=0.0):
    """Draws the loss curves of the CSV files `paths` into the image file `out`.

    smooth: weight of the past in an exponential moving average, 0 … below 1. The raw curve is then
        drawn in a pale colour. Panels with held-out images are always averaged.
    If losses begin with a high peak, the panel shows the rest, and cuts off the peak.
    Scores against changed data are separate curves, which begin at a vertical line.
    Raises UserError as `read_losses` and `check_plot` do.
    """
    check_plot(out)
    runs = list(zip(run_names(paths), map(read_losses, paths)))
    panels = panels_of([losses for _, losses in runs])
    figure = new_figure(9, 2.5 * len(panels))
    axes = figure.subplots(len(panels), 1, sharex=True)
    for axis, (column, label, target) in zip(axes, panels):
        compared = any(column + HELD_OUT in losses for _, losses in runs)
        averaged = compared and any('C_loss' in losses for _, losses in runs)
        weight = smooth or (GAP_SMOOTH if averaged else 0)
        for i, (_, losses) in enumerate(runs):
            for name, style in ((column, '-'), (column + HELD_OUT, ':')):
                if name in losses:
                    for _, rows in losses.groupby(DATA_SINCE):      # others can't be compared
                        _draw(axis, rows, name, 'C%d' % (i % 10), weight, style)
        if compared:
            axis.legend([Line2D([], [], color='black', linestyle=style) for style in '-:'],
                        ['trained on, averaged', 'held out, averaged'] if averaged else
                        ['generated', 'real, held out'], loc='best')
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if target is not None:
            axis.axhline(target, color='black', linestyle='--', linewidth=0.8)
        _let_a_peak_leave(axis)
        _mark_other_data(axis, runs)
    axes[-1].set_xlabel('iteration')
    if len(runs) > 1:
        _add_legend(axes[0], [name for name, _ in runs])
    figure.tight_layout()
    save_figure(figure, out)


def panels_of(tables):
    """The rows of PANELS that these tables have a curve for."""
    panels = [p for p in PANELS if any(p[0] in losses for losses in tables)]
    # The penalty is a function of the gradient norm; it has a panel only where that is not known.
    if any(p[0] == 'grad_norm' for p in panels):
        panels = [p for p in panels if p[0] != 'GP']
    return panels


def moving_average(curve, smooth):
    """The exponential moving average of a Series. It goes on over a gap; the curve does not."""
    return curve.ewm(alpha=1 - smooth).mean().where(curve.notna())


def _draw(axis, losses, column, colour, smooth, style='-'):
    curve = losses[column]
    if smooth:
        axis.plot(losses['step'], curve, colour, linewidth=0.6, alpha=0.3, linestyle=style)
        curve = moving_average(curve, smooth)
    axis.plot(losses['step'], curve, colour, linewidth=1.2 if smooth else 0.8, linestyle=style,
              marker='.' if len(losses) < FEW else None)


def _mark_other_data(axis, runs):
    """Draws a line where the data of a run changed."""
    for i, (_, losses) in enumerate(runs):
        for step in losses.loc[losses[DATA_SINCE] > 0, DATA_SINCE].unique():
            axis.axvline(step, color='C%d' % (i % 10), linestyle='--', linewidth=0.8)
            axis.annotate('other data', (step, 1), xycoords=('data', 'axes fraction'), fontsize=7,
                          rotation=90, va='top', ha='right')


def _let_a_peak_leave(axis):
    """Fits a panel to its lines without their beginnings, if these take up four fifths."""
    limits = limits_without_peak([np.asarray(line.get_ydata(), float)
                                  for line in axis.get_lines()])
    if limits:
        axis.set_ylim(*limits)


def limits_without_peak(curves):
    """(low, high) of a panel with these curves that its peak leaves; None if it shows all."""
    later = [curve[int(BEGINNING * len(curve)) if len(curve) >= FEW else 0:] for curve in curves]
    (low, high), (lowest, highest) = map(_range, (later, curves))
    if 0 < high - low < (highest - lowest) / 5:
        margin = 0.05 * (high - low)
        return low - margin, high + margin
    return None


def _range(curves):
    """Returns (smallest, largest) number; (0, 0) if there are none."""
    numbers = np.concatenate(curves)
    numbers = numbers[np.isfinite(numbers)]
    return (numbers.min(), numbers.max()) if len(numbers) else (0, 0)


def _add_legend(axis, names):
    """Adds a legend. The names are set later, because matplotlib omits labels that begin with _."""
    lines = [Line2D([], [], color='C%d' % (i % 10)) for i in range(len(names))]
    legend = axis.legend(lines, map(str, range(len(names))), loc='best')
    for text, name in zip(legend.get_texts(), names):
        text.set_text(name.replace('$', r'\$'))         # else two of them are mathematics


def run_names(paths):
    """Returns a name for each run: the shortest end of its folder's path that is unique."""
    if len(set(map(os.path.realpath, paths))) < len(paths):
        raise UserError('a CSV file is given twice')
    files = [os.path.abspath(path).split(os.sep) for path in paths]
    folders = [parts[:-1] for parts in files]
    if len(set(map(tuple, folders))) < len(folders):            # several files in one folder
        folders = files

    def name(parts):
        others = [other for other in folders if other is not parts]
        length = next(n for n in range(1, len(parts) + 1)
                      if all(other[-n:] != parts[-n:] for other in others))
        return '/'.join(parts[-length:])
    return [one_line(name(parts)) for parts in folders]


def check_plot(path):
    """Raises UserError if plots can't be written with this suffix."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in FORMATS:
        raise UserError('%s: plots are written as %s, not as "%s"'
                        % (path, ' '.join(FORMATS), suffix))


def new_figure(width, height):
    """Returns an empty matplotlib Figure of this size in inches, which needs no screen."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, path, dpi=100):
    """Writes a matplotlib Figure. Raises OSError if it can't be written."""
    with replacing(path) as aside:
        figure.savefig(aside, dpi=dpi)
