"""Does the moving average of the generator's weights help? The FID of both, as it trains.

    .venv/bin/python experiments/averaging.py --data photographs --inception inception.onnx

Trains a run and stops at several points; at each, images from the raw and from the averaged
generator are scored against the training images, as the critic sees them: cut and shrunk.
"""

import json
import os
import subprocess
import sys
import tempfile

from _root import ROOT
from wgan.machine.command_line import Parser, check_output_folder, number, run
from wgan.datasets.images import ImageSet, write_image
from wgan.scores.image_network import SCALES

GENERATORS = ('wgan_generator.model', 'wgan_generator_average.model')


def call(script, *arguments):
    subprocess.check_call([sys.executable, os.path.join(ROOT, script)]
                          + [str(a) for a in arguments])


def measure(options, scratch):
    """Yields (step, FID raw, averaged, Inception Score raw, averaged) at each point.

    scratch: a folder for what is in between.
    """
    network = ['--inception', options.inception, '--scale', options.scale]
    cut, real = (os.path.join(scratch, name) for name in ('real', 'real.npz'))
    os.mkdir(cut)
    start = ['--data', options.data, '--image-size', options.image_size]
    start += ['--overwrite'] if options.force else []
    for i, image in enumerate(ImageSet(options.data, options.image_size).images):
        write_image(os.path.join(cut, '%06d.png' % i), image)
    call('inception_score.py', cut, '--save-statistics', real, *network)
    for step in range(options.every, options.points * options.every + 1, options.every):
        call('wgan_training.py', '--out', options.run, '--iterations', step, *start)
        start, scores = ['--resume'], []
        for name in GENERATORS:
            result = os.path.join(scratch, '%s_%d.json' % (name, step))
            call('inception_score.py', os.path.join(options.run, name), '--reference', real,
                 '--count', options.count, '--json', result, *network)
            with open(result, encoding='utf-8') as file:
                scores.append(json.load(file))
        yield (step,) + tuple(s[key] for key in ('fid', 'inception_score_mean') for s in scores)


def main():
    parser = Parser(description='Score the raw and the averaged generator, as it trains.')
    parser.add_argument('--data', required=True, help='images to train on and compare with')
    parser.add_argument('--inception', required=True, help='ONNX file of an image network')
    parser.add_argument('--scale', choices=SCALES, default='inception', help='what it takes')
    parser.add_argument('--run', default='runs/averaging', help='run folder to make')
    parser.add_argument('--image-size', type=int, default=32, help='width and height')
    parser.add_argument('--every', type=number(int, 1), default=300, help='iterations to a point')
    parser.add_argument('--points', type=number(int, 1), default=3, help='how many')
    parser.add_argument('--count', type=number(int, 2), default=2000, help='images of each')
    parser.add_argument('--force', action='store_true', help='train again if --run is there')
    options = parser.parse_args()
    check_output_folder(options.run, options.force)
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(measure(options, scratch))
    print('iteration   FID: raw  averaged   Inception Score: raw  averaged')
    for row in rows:
        print('%9d   %8.1f  %8.1f   %20.3f  %8.3f' % row)


if __name__ == '__main__':
    run(main)
