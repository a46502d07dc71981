"""Seconds an image: a folder scored, against a bare loop of ONNX Runtime with the same network.

    .venv/bin/python bench/scoring.py photographs --inception inception.onnx

In turn, several rounds of each in one process. Scoring reads and resizes images and adds up
statistics; the bare loop computes the network on images that lie ready in memory.
"""

import resource
import time

import _root  # noqa: F401
from wgan.machine.command_line import Parser, number, run
from wgan.machine.device import select_device

import numpy as np
import onnxruntime

from wgan.scores.image_network import add_network_options, open_network
from wgan.scores.scoring import Folder, measure


def main():
    parser = Parser(description='Time scoring against a bare loop of ONNX Runtime.')
    parser.add_argument('folder', help='images')
    parser.add_argument('--rounds', type=number(int, 1), default=5, help='of each')
    parser.add_argument('--count', type=number(int, 32), default=64, help='images in a round')
    add_network_options(parser)
    options = parser.parse_args()
    network = open_network(options, select_device('cpu'))
    images = Folder(options.folder, skip_unreadable=True)
    images.paths = images.paths[:options.count]
    images.count = len(images.paths)

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(options.inception, settings)
    step = network.runner.at_once
    ready = np.random.RandomState(0).uniform(-1, 1, (step, 3, network.size, network.size))
    ready = {session.get_inputs()[0].name: ready.astype(np.float32)}
    wanted = [network.features, network.classes]

    session.run(wanted, ready)
    ours, bare = [], []
    for _ in range(options.rounds):
        start = time.time()
        measure(images, network, 1, 32)
        middle = time.time()
        for _ in range(0, images.count, step):
            session.run(wanted, ready)
        ours.append(middle - start)
        bare.append(time.time() - middle)
    for name, seconds in (('scored', ours), ('bare loop', bare)):
        print('%-10s median %.4f s an image (%.4f to %.4f)' % (
            name, *(f(seconds) / images.count for f in (np.median, min, max))))
    ratios = np.array(ours) / np.array(bare)
    print('ratio      median %.3f (%.3f to %.3f)' % (np.median(ratios), ratios.min(), ratios.max()))
    print('peak memory %.2f GB' % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


if __name__ == '__main__':
    run(main)
