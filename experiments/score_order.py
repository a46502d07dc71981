"""Do the scores order as they should? Real images, a trained run, an untrained one, noise.

    .venv/bin/python experiments/score_order.py runs/faces --inception inception.onnx --count 5000

All are compared with the images that the run was trained on, cut as for training; the real ones
in two halves, one against the other.
"""

import os

import _root  # noqa: F401
from wgan.machine.command_line import Parser, UserError, number, run
from wgan.machine.disk import read_json
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.images import ImageSet
from wgan.datasets.labels import Labels
from wgan.scores.image_network import add_network_options, open_network
from wgan.scores.scoring import Generated, distances, measure
from wgan.scores.training_scores import SPLITS, TrainingImages
from wgan.generators.evaluation import evaluate_in_training
from wgan.generators.files import Generator
from wgan.generators.latents import draw_latents
from wgan_training import MODULES


SHAPE = ('image_size', 'latent_size', 'width', 'seed')      # settings that the generator depends on


class Noise:
    """Images of which each number is drawn evenly from 0 … 255."""

    name = 'noise'

    def __init__(self, count, size):
        self.count, self.image_size = count, size

    def batches(self, size):
        rng = np.random.RandomState(0)
        for i in range(0, self.count, size):
            shape = (min(size, self.count - i), self.image_size, self.image_size, 3)
            yield rng.randint(0, 256, shape).astype(np.uint8)


def read_settings(path):
    """The settings in the config.json of a run, as far as they are needed here."""
    try:
        settings = read_json(path)['settings']
        return dict({name: settings[name] for name in SHAPE + ('data',)},
                    network=MODULES[settings.get('network', 'dcgan')])
    except (ValueError, LookupError, TypeError):
        raise UserError('%s is not, or no longer, what training wrote there' % path)


def main():
    parser = Parser(description='Score real images, a run, an untrained generator, noise.')
    parser.add_argument('run', help='run folder')
    parser.add_argument('--count', type=number(int, 10), default=5000, help='images of each')
    add_network_options(parser)
    options = parser.parse_args()
    settings = read_settings(os.path.join(options.run, 'config.json'))
    network = open_network(options, select_device('auto'))
    faces = ImageSet(settings['data'], settings['image_size'])
    halves = [[faces[i] for i in range(start, len(faces), 2)] for start in (0, 1)]
    trained = Generator(options.run, of_text=False)

    def measured(images):
        return measure(images, network, SPLITS, batch_size=32)

    real = measured(TrainingImages(faces, options.count, 'the real images'))
    rows = [('real, one half against the other', *(
        measured(TrainingImages(half, len(half), 'one half')) for half in halves))]
    untrained = settings['network'].generator(*(settings[name] for name in SHAPE))
    # One minibatch: without statistics to normalise by, its images would be grey.
    evaluate_in_training(untrained, {untrained.arguments[0]: draw_latents(
        64, settings['latent_size'], seed=0)})
    unlabelled = Labels([], [])
    for name, images in (
            ('trained', Generated(trained.path, trained.network, options.count, 0, unlabelled)),
            ('untrained', Generated('untrained', untrained, options.count, 0, unlabelled)),
            ('noise', Noise(options.count, settings['image_size']))):
        rows.append((name, measured(images), real))
    print('%-34s %6s  %16s  %9s  %s' % ('', 'count', 'Inception Score', 'FID', 'KID'))
    for name, results, reference in rows:
        d = distances(results, reference, seed=0)
        print('%-34s %6d  %7.3f ± %6.3f  %9.2f  %.4f ± %.4f' % (
            name, results['count'], results['inception_score_mean'], results['inception_score_std'],
            d['fid'], d['kid_mean'], d['kid_std']))


if __name__ == '__main__':
    run(main)
