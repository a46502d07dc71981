"""Does the moving average of the generator's weights help? The FID of both, at three points.

    .venv/bin/python bench/averaging.py --data photographs --inception inception.onnx

Trains a run and stops at three points; at each, pictures from the raw and from the averaged
generator are scored against the training pictures, as the critic sees them: cut and shrunk.
"""

import json
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
sys.path.insert(0, ROOT)
from command_line import Parser, number, run                # noqa: E402
from faces import Faces, write_picture                      # noqa: E402
from image_network import SCALES                            # noqa: E402

GENERATORS = ('wgan_generator.model', 'wgan_generator_average.model')


def call(script, *arguments):
    subprocess.check_call([sys.executable, os.path.join(ROOT, script)]
                          + [str(a) for a in arguments])


def main():
    parser = Parser(description='Score the raw and the averaged generator, at three points.')
    parser.add_argument('--data', required=True, help='pictures to train on and compare with')
    parser.add_argument('--inception', required=True, help='ONNX file of an image network')
    parser.add_argument('--scale', choices=SCALES, default='inception', help='what it takes')
    parser.add_argument('--run', default='runs/averaging', help='run folder to make')
    parser.add_argument('--image-size', type=int, default=32, help='width and height')
    parser.add_argument('--every', type=number(int, 1), default=300, help='iterations to a point')
    parser.add_argument('--count', type=number(int, 2), default=2000, help='pictures of each')
    options = parser.parse_args()
    network = ['--inception', options.inception, '--scale', options.scale]
    real, result = (os.path.join(options.run, name) for name in ('real.npz', 'score.json'))

    rows = []
    for step in (options.every, 2 * options.every, 3 * options.every):
        start = (['--resume'] if rows else
                 ['--data', options.data, '--image-size', options.image_size, '--overwrite'])
        call('wgan_training.py', '--out', options.run, '--iterations', step, *start)
        if not rows:
            cut = os.path.join(options.run, 'real')
            os.makedirs(cut, exist_ok=True)
            for i, picture in enumerate(Faces(options.data, options.image_size).pictures):
                write_picture(os.path.join(cut, '%06d.png' % i), picture)
            call('inception_score.py', cut, '--save-statistics', real, *network)
        scores = []
        for name in GENERATORS:
            call('inception_score.py', os.path.join(options.run, name), '--reference', real,
                 '--count', options.count, '--json', result, *network)
            with open(result) as file:
                scores.append(json.load(file))
        rows.append((step,) + tuple(s[key] for key in ('fid', 'inception_score_mean')
                                    for s in scores))
    print('iteration   FID: raw  averaged   Inception Score: raw  averaged')
    for row in rows:
        print('%9d   %8.1f  %8.1f   %20.3f  %8.3f' % row)


if __name__ == '__main__':
    run(main)
