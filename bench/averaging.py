"""Does the moving average of the generator's weights help? The Frechet distance of both, by step.

    .venv/bin/python bench/averaging.py --data photographs --network googlenet.onnx

Trains a run and stops at three points; at each, pictures from the raw and from the averaged
generator are compared with the training pictures. The distance is that of Heusel et al. 2017,
https://arxiv.org/abs/1706.08500, equation 6, on the features of any image network in an ONNX file
that takes RGB pictures in 0 … 255. It compares generators with each other; it is no FID unless
the network is the Inception-v3 that FID is defined on.
"""

import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
sys.path.insert(0, ROOT)
from command_line import Parser, Progress, number, run      # noqa: E402
from quiet_cntk import select_device                        # noqa: E402

import cv2                                                  # noqa: E402
import numpy as np                                          # noqa: E402
import onnxruntime                                          # noqa: E402
from scipy.linalg import sqrtm                              # noqa: E402

import models                                               # noqa: E402
from faces import Faces, to_pictures                        # noqa: E402
from wgan_generate import load_generator                    # noqa: E402


def features(pictures, session, output, what):
    """What the network makes of pictures (N, H, W, 3): float64 (N, features)."""
    argument = session.get_inputs()[0]
    size, rows, progress = argument.shape[2], [], Progress(what, len(pictures))
    for done, picture in enumerate(pictures, 1):
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)
        image = np.moveaxis(picture, 2, 0)[None].astype(np.float32)
        rows.append(session.run([output], {argument.name: image})[0].ravel())
        progress.show(done)
    progress.end('%s: done' % what)
    return np.array(rows, np.float64)


def frechet_distance(a, b):
    """‖μa − μb‖² + tr(Σa + Σb − 2 (Σa Σb)^½) of two feature arrays (N, features)."""
    sa, sb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(sa @ sb)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa + sb) - 2 * np.trace(root).real


def main():
    parser = Parser(description='Compare the raw with the averaged generator, at three points.')
    parser.add_argument('--data', required=True, help='pictures to train on and compare with')
    parser.add_argument('--network', required=True, help='ONNX file of an image network')
    parser.add_argument('--output', default='pool1024', help='its output to take as features')
    parser.add_argument('--run', default='runs/averaging', help='run folder to make')
    parser.add_argument('--image-size', default='32', help='width and height')
    parser.add_argument('--every', type=number(int, 1), default=300, help='iterations to a point')
    parser.add_argument('--count', type=number(int, 2), default=2000, help='pictures of each')
    options = parser.parse_args()
    select_device('auto')
    session = onnxruntime.InferenceSession(options.network)
    latents = np.random.RandomState(0).standard_normal((options.count, 100)).astype(np.float32)
    real = features(Faces(options.data, int(options.image_size)).pictures, session,
                    options.output, 'real')

    rows = []
    for step in (options.every, 2 * options.every, 3 * options.every):
        start = (['--data', options.data, '--image-size', options.image_size, '--overwrite']
                 if not rows else ['--resume'])
        subprocess.check_call([sys.executable, os.path.join(ROOT, 'wgan_training.py'), '--out',
                               options.run, '--iterations', str(step)] + start)
        distances = []
        for name in ('wgan_generator.model', 'wgan_generator_average.model'):
            generator = load_generator(os.path.join(options.run, name))
            pictures = to_pictures(models.generate(generator, latents, 50))
            distances.append(frechet_distance(real, features(pictures, session, options.output,
                                                             name)))
        rows.append((step,) + tuple(distances))
    print('iteration   raw    averaged')
    for row in rows:
        print('%9d   %-6.1f %-6.1f' % row)


if __name__ == '__main__':
    run(main)
