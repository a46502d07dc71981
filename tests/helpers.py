"""What several tests use. Fixtures are in conftest.py."""

import os

import wgan  # noqa: F401  sets the environment before OpenCV is loaded

import cv2
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TINY = ['--image-size', 32, '--width', 2, '--latent-size', 3, '--batch-size', 4, '--n-critic', 1,
        '--sample-every', 1, '--checkpoint-every', 1]


def write_images(folder, count=8, seed=0):
    folder.mkdir()
    rng = np.random.RandomState(seed)
    for i in range(count):
        cv2.imwrite(str(folder / ('%d.png' % i)), rng.randint(0, 256, (32, 32, 3)).astype('u1'))
    return folder


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out, self.err = process.stdout.decode(), process.stderr.decode()

    @property
    def sentence(self):
        """The error sentence; fails unless that is how the script ended."""
        assert self.code == 2, (self.code, self.err)
        assert 'Traceback' not in self.err and '[CALL STACK]' not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith('error: ')]
        assert len(lines) == 1 and self.err.endswith(lines[0] + '\n'), self.err
        return lines[0]


def tree(folder):
    """Everything in a folder: path → content, target of a link, or None for a folder."""
    found = {}
    for place, folders, files in os.walk(str(folder)):
        for path in [os.path.join(place, name) for name in folders + files]:
            name = os.path.relpath(path, str(folder))
            if os.path.islink(path):
                found[name] = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, 'rb') as file:
                    found[name] = file.read()
            else:
                found[name] = None
    return found


def make_updates(objective, *arguments, batch_size=4):
    """Updates of small networks, as wgan_training.py makes them of its command line."""
    import wgan_training
    from wgan.options import parser, set_defaults
    options = parser().parse_args(['--objective', objective, '--image-size', '32', '--width', '2',
                                   '--batch-size', str(batch_size)] + list(arguments))
    set_defaults(options)
    return wgan_training.make_updates(options, np.random.RandomState(0))
