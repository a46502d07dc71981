"""Plot the losses (or scores) of one run, or of several over one another.

    python plot_losses.py runs/faces/wgan.csv --out losses.png
    python plot_losses.py runs/a/wgan.csv runs/b/wgan.csv --out both.png

A run that is still training can be plotted too.
"""

import io
import os

from command_line import Parser, UserError, check_outputs, number, run

import matplotlib
matplotlib.use('Agg')                                   # draws to files, needs no screen
import matplotlib.pyplot as plt                         # noqa: E402
import pandas as pd                                     # noqa: E402

PANELS = [                                              # column, label, target line
    ('C_loss', 'critic loss', None),
    ('G_loss', 'generator loss', None),
    ('wasserstein', 'Wasserstein estimate\nE[C(x)] − E[C(G(z))]', None),
    ('grad_norm', 'slope ‖∇C(x̂)‖', 1.0),
    ('GP', 'gradient penalty', None),
    ('D_real', 'probability of being real\nD(x)', 0.5),
    ('D_fake', 'probability of being real\nD(G(z))', 0.5),
    ('fid', 'Frechet distance (FID)', None),
    ('kid_mean', 'kernel distance (KID)', None),
    ('inception_score_mean', 'Inception Score', None),
]
LOSSES = ['step', 'G_loss', 'C_loss']
SCORES = ['step', 'inception_score_mean', 'fid', 'kid_mean']


def read_losses(path):
    """The CSV of a run as a DataFrame.

    A last line without its end is left out: the run is still writing it. Raises UserError if the
    file is no CSV, lacks one of the columns LOSSES or SCORES, or has no rows.
    """
    try:
        with open(path, encoding='utf-8') as file:
            whole = file.read().rpartition('\n')[0]
        losses = pd.read_csv(io.StringIO(whole))
    except FileNotFoundError:
        raise UserError('%s does not exist; a run writes its losses to wgan.csv' % path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError('%s is no CSV file: %s' % (path, ' '.join(str(error).split())))
    expected = SCORES if 'fid' in losses else LOSSES
    missing = [column for column in expected if column not in losses]
    if missing:
        raise UserError('%s lacks the column %s; a loss CSV begins with %s'
                        % (path, ', '.join(missing), ','.join(LOSSES)))
    if losses.empty:
        raise UserError('%s has no rows yet' % path)
    text = [column for column in losses if losses[column].dtype == object]
    if text:
        raise UserError('%s has something else than numbers in the column %s'
                        % (path, ', '.join(text)))
    return losses


def plot(paths, out, smooth=0.0):
    """Draw the loss curves of the CSV files `paths` into the picture file `out`.

    smooth: weight of the past in an exponential moving average, 0 … below 1. With it the raw
        curve stands behind, pale. Raises UserError as `read_losses` does, and if matplotlib can't
        write the kind of file that `out` says.
    """
    runs = [(_name(path), read_losses(path)) for path in paths]
    panels = [p for p in PANELS if any(p[0] in losses for _, losses in runs)]
    # The penalty is the slope seen once more; it has a panel only where the slope is not known.
    if any(p[0] == 'grad_norm' for p in panels):
        panels = [p for p in panels if p[0] != 'GP']

    figure, axes = plt.subplots(len(panels), 1, figsize=(9, 2.5 * len(panels)), sharex=True)
    for axis, (column, label, target) in zip(axes, panels):
        for i, (name, losses) in enumerate(runs):
            if column not in losses:
                continue
            colour = 'C%d' % (i % 10)
            if smooth:
                axis.plot(losses['step'], losses[column], colour, linewidth=0.6, alpha=0.3)
            curve = losses[column].ewm(alpha=1 - smooth).mean() if smooth else losses[column]
            axis.plot(losses['step'], curve, colour, linewidth=1.2 if smooth else 0.8,
                      label=name, marker='.' if len(losses) < 50 else None)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if target is not None:
            axis.axhline(target, color='black', linestyle='--', linewidth=0.8)
    axes[-1].set_xlabel('iteration')
    if len(runs) > 1:
        axes[0].legend(loc='best')
    figure.tight_layout()
    try:
        figure.savefig(out, dpi=100)
    except ValueError as error:                         # a suffix that matplotlib can't write
        raise UserError('%s: %s' % (out, error))
    finally:
        plt.close(figure)


def _name(path):
    return os.path.basename(os.path.dirname(os.path.abspath(path)))


def main():
    parser = Parser(description='Plot the losses or scores that wgan_training.py wrote.')
    parser.add_argument('csv', nargs='+', metavar='CSV', help='wgan.csv or scores.csv of a run; '
                        'several are drawn over one another')
    parser.add_argument('--out', required=True, metavar='PNG', help='picture to write')
    parser.add_argument('--smooth', type=number(float, 0, 1, below=True), default=0.0,
                        help='weight of the past in a moving average; 0.98 shows the trend')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    options = parser.parse_args()
    check_outputs(options.out, force=options.force)
    plot(options.csv, options.out, options.smooth)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
