"""What a larger set of images costs: time to start, memory, and time for a minibatch.

    .venv/bin/python bench/data_set_size.py --data data/drawn --image-size 64

Makes sets of 10,000, 100,000 and 1,000,000 files by linking the images of --data many times, and
reads each in a process of its own. The machine may have the files in memory: what a slow disk adds
comes on top.
"""

import os
import subprocess
import sys
import tempfile
import time

import _root  # noqa: F401
from wgan.machine.command_line import Parser, number, run

import numpy as np

from wgan.datasets.images import ImageBatches, ImageSet, find_images

A_FOLDER = 10000                                            # files in each folder of a set


def link(images, count, folder):
    for i in range(count):
        if i % A_FOLDER == 0:
            part = os.path.join(folder, '%04d' % (i // A_FOLDER))
            os.mkdir(part)
        source = images[i % len(images)]
        os.link(source, os.path.join(part, '%07d%s' % (i, os.path.splitext(source)[1])))


def read(folder, size):
    """Measure one set, in a process of its own; prints a line of the table."""
    import resource
    start = time.time()
    faces = ImageSet(folder, size)
    batches = ImageBatches(faces, 16, np.random.RandomState(0))
    batches.next()
    started = time.time() - start
    times = []
    for _ in range(200):
        start = time.perf_counter()
        batches.next()
        times.append(time.perf_counter() - start)
    print('| %d | %s | %.1f | %.0f | %.2f |' % (
        len(faces), 'at the start' if faces.images is not None else 'when asked for', started,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1e3 * np.median(times)))


def main():
    parser = Parser(description='Time the reading of sets of many images.')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--image-size', type=number(int, 1), default=64)
    parser.add_argument('--counts', type=number(int, 16), nargs='+',
                        default=[10000, 100000, 1000000])
    parser.add_argument('--read', help='measure this folder as it is, and nothing else')
    options = parser.parse_args()
    if options.read:
        return read(options.read, options.image_size)
    images = find_images(options.data)
    print('| images | decoded | start, s | peak memory, MB | a minibatch of 16, ms |')
    print('| --- | --- | --- | --- | --- |', flush=True)
    for count in options.counts:
        # Beside the images: links do not reach across disks.
        beside = os.path.dirname(os.path.abspath(options.data))
        with tempfile.TemporaryDirectory(dir=beside) as folder:
            link(images, count, folder)
            subprocess.check_call([sys.executable, os.path.abspath(__file__), '--read', folder,
                                   '--image-size', str(options.image_size)],
                                  stderr=subprocess.DEVNULL)


if __name__ == '__main__':
    run(main)
