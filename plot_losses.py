"""Plot the losses (or scores) of one run, or of several runs in one plot.

    python plot_losses.py runs/faces/wgan.csv --out losses.png
    python plot_losses.py runs/a/wgan.csv runs/b/wgan.csv --out both.png

A run that is still training can be plotted too.
"""

from wgan.machine.command_line import Parser, check_outputs, number, report, run
from wgan.pictures.plotting import check_plot, plot


def main():
    parser = Parser(description='Plot the losses or scores that wgan_training.py wrote.')
    parser.add_argument('csv', nargs='+', metavar='CSV', help='wgan.csv or scores.csv of a run; '
                        'several runs are drawn in one plot')
    parser.add_argument('--out', required=True, metavar='PNG', help='image to write')
    parser.add_argument('--smooth', type=number(float, 0, 1, below=True), default=0.0,
                        help='weight of the past in a moving average; 0.98 shows the trend')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    options = parser.parse_args()
    check_plot(options.out)
    check_outputs(options.out, force=options.force)
    plot(options.csv, options.out, options.smooth)
    report('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
