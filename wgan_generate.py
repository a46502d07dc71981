"""Make pictures with a trained generator.

    python wgan_generate.py runs/faces --out faces.png
    python wgan_generate.py runs/faces --out faces --count 1000
"""

import os

from command_line import Parser, Progress, UserError, number, run
from quiet_cntk import C, quiet, select_device

import numpy as np

import models
from faces import grid, to_pictures, write_picture

GENERATOR = 'wgan_generator.model'              # what a run folder calls its generator
BATCH = 16                                      # pictures computed at once


def load_generator(path):
    """The generator in a CNTK model file, or in a run folder.

    Raises UserError if there is none, or if the file is something else.
    """
    if os.path.isdir(path):
        path = os.path.join(path, GENERATOR)
    if not os.path.isfile(path):
        raise UserError('there is no model %s; training writes one with each checkpoint' % path)
    with quiet():
        try:
            model = C.Function.load(path)
        except Exception as error:              # of several types, depending on the content
            raise UserError('%s is no CNTK model that can be read (%s)'
                            % (path, str(error).split('\n')[0]))
    shapes = [x.shape for x in model.arguments], [y.shape for y in model.outputs]
    if not (len(shapes[0]) == len(shapes[1]) == 1 and len(shapes[0][0]) == 1
            and len(shapes[1][0]) == 3 and shapes[1][0][0] == 3):
        raise UserError('%s is a CNTK model, but no generator: it makes %s from %s, not one '
                        'picture (3, S, S) from one latent (N,)' % (path, shapes[1], shapes[0]))
    return model


def main():
    parser = Parser(description='Make pictures with a trained generator.')
    parser.add_argument('model', metavar='RUN-OR-MODEL', help='run folder, or generator file')
    parser.add_argument('--out', required=True, help='picture file of the grid; with --count a '
                        'folder')
    parser.add_argument('--rows', type=number(int, 1), default=8, help='rows of the grid')
    parser.add_argument('--columns', type=number(int, 1), default=8, help='columns of the grid')
    parser.add_argument('--count', type=number(int, 1), help='write this many single pictures '
                        'instead of a grid')
    parser.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0,
                        help='another seed, other pictures')
    parser.add_argument('--device', choices=('auto', 'cpu', 'gpu'), default='auto',
                        help='auto takes a GPU if CNTK finds one')
    options = parser.parse_args()

    select_device(options.device)
    generator = load_generator(options.model)
    count = options.count or options.rows * options.columns
    latents = np.random.RandomState(options.seed).standard_normal(
        (count, generator.arguments[0].shape[0])).astype(np.float32)

    if not options.count:
        pictures = to_pictures(models.generate(generator, latents, BATCH))
        write_picture(options.out, grid(pictures, options.columns))
        print('wrote ' + options.out)
        return
    os.makedirs(options.out, exist_ok=True)
    progress = Progress('generating', count)
    for first in range(0, count, BATCH):
        pictures = to_pictures(models.generate(generator, latents[first:first + BATCH], BATCH))
        for i, picture in enumerate(pictures, first):
            write_picture(os.path.join(options.out, '%06d.png' % i), picture)
        progress.show(first + len(pictures))
    progress.end('%d pictures in %s' % (count, options.out))


if __name__ == '__main__':
    run(main)
