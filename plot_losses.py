"""Plot the losses of one run, or of several over one another.

    python plot_losses.py runs/faces/wgan.csv --out losses.png
    python plot_losses.py runs/a/wgan.csv runs/b/wgan.csv --out both.png
"""

import os

from command_line import Parser, UserError, run

import matplotlib
matplotlib.use('Agg')                                   # draws to files, needs no screen
import matplotlib.pyplot as plt                         # noqa: E402
import pandas as pd                                     # noqa: E402

PANELS = [                                              # column, label, target line
    ('C_loss', 'critic loss', None),
    ('G_loss', 'generator loss', None),
    ('wasserstein', 'Wasserstein estimate\nE[C(x)] − E[C(G(z))]', None),
    ('grad_norm', 'slope ‖∇C(x̂)‖', 1.0),
]


def read_losses(path):
    """The CSV of a run as a DataFrame. Raises UserError if it is none, or has no rows."""
    try:
        losses = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError('%s does not exist; a run writes its losses to wgan.csv' % path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError('%s is no CSV file: %s' % (path, ' '.join(str(error).split())))
    missing = [c for c in ['step'] + [column for column, _, _ in PANELS] if c not in losses]
    if missing:
        raise UserError('%s lacks the column %s; expected the wgan.csv of a run'
                        % (path, ', '.join(missing)))
    if losses.empty:
        raise UserError('%s has no rows yet' % path)
    return losses


def plot(paths, out):
    """Draw the loss curves of the CSV files `paths` into the picture file `out`."""
    figure, axes = plt.subplots(len(PANELS), 1, figsize=(9, 10), sharex=True)
    for path in paths:
        losses = read_losses(path)
        for axis, (column, _, _) in zip(axes, PANELS):
            axis.plot(losses['step'], losses[column], linewidth=0.8, label=_name(path))
    for axis, (_, label, target) in zip(axes, PANELS):
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if target is not None:
            axis.axhline(target, color='black', linestyle='--', linewidth=0.8)
    axes[-1].set_xlabel('iteration')
    if len(paths) > 1:
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
    parser = Parser(description='Plot the losses that wgan_training.py wrote.')
    parser.add_argument('csv', nargs='+', metavar='CSV', help='wgan.csv of a run; several are '
                        'drawn over one another')
    parser.add_argument('--out', required=True, metavar='PNG', help='picture to write')
    options = parser.parse_args()
    plot(options.csv, options.out)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
