"""Write a page of one run, or of several side by side: one HTML file, which needs no network.

    python wgan_page.py runs/faces --out page.html
    python wgan_page.py runs/a runs/b --out both.html

A run that is still training has one too.
"""

from wgan.datasets.image_files import find_images
from wgan.machine.command_line import Parser, UserError, check_outputs, report, run
from wgan.machine.device import add_device_option, select_device
from wgan.pictures.page import check_page, read_runs, write_page


def main():
    parser = Parser(description='Write a page of one or more runs: curves, samples, settings, '
                    'latents to play with.')
    parser.add_argument('runs', nargs='+', metavar='RUN', help='run folder; it may still be '
                        'training')
    parser.add_argument('--out', required=True, metavar='HTML', help='page to write')
    parser.add_argument('--neighbours', metavar='DATA', help='also show generated images beside '
                        'the nearest of these, a folder or map file that the run was trained on: '
                        'whoever gets the page sees real images')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_device_option(parser)
    options = parser.parse_args()
    check_page(options.out)
    check_outputs(options.out, force=options.force)
    runs = read_runs(options.runs)
    has_generator = any(view.generator_file for view in runs)
    if options.neighbours is not None:
        find_images(options.neighbours, '--neighbours')
        if not has_generator:
            raise UserError('--neighbours: none of the runs has a generator whose images could be '
                            'compared')
    if has_generator:                                       # CNTK takes a second
        select_device(options.device)
    size = write_page(options.out, runs, options.neighbours)
    report('wrote %s: %.1f MB' % (options.out, size / 1e6))


if __name__ == '__main__':
    run(main)
