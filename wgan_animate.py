"""Make one animation of all sample grids of a run.

    python wgan_animate.py runs/faces --out training.gif

The run may still be training.
"""

import os

from wgan.pictures.animation import animate_samples, check_animation
from wgan.machine.command_line import Parser, UserError, check_outputs, report, run


def main():
    parser = Parser(description='Make one animation of all sample grids of a run.')
    parser.add_argument('run', metavar='RUN', help='run folder; it may still be training')
    parser.add_argument('--out', required=True, help='.gif or .mp4 to write')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    options = parser.parse_args()
    if not os.path.isdir(options.run):
        raise UserError('%s is not a folder; name the folder of a run' % options.run)
    check_animation(options.out)
    check_outputs(options.out, force=options.force)
    animate_samples(options.run, options.out)
    report('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
