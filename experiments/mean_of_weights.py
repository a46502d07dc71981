"""Is the mean of several generators' weights better than each of them?

    .venv/bin/python experiments/mean_of_weights.py runs/first runs/second --data data/faces \\
        --inception inception.onnx --out mean.model

For runs that began with the networks of one run (`--start-from`), it often is (Wortsman et al.
2022, 'Model soups', https://arxiv.org/abs/2203.05482). The mean of the running statistics of batch
normalisation does not fit the mean of the weights: they are measured again, on images that it
generates (Izmailov et al. 2018, 'Averaging Weights Leads to Wider Optima',
https://arxiv.org/abs/1803.05407, section 3).

Prints FID, precision, recall and coverage of each generator and of the mean, against the data, cut
as for training.
"""

import _root  # noqa: F401
from wgan.machine.cntk import C
from wgan.machine.cntk_files import save_model
from wgan.machine.command_line import Parser, UserError, check_outputs, number, one_line, run
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.images import ImageSet
from wgan.generators.evaluation import evaluate_in_training, label_input, latent_input, state
from wgan.generators.files import Generator
from wgan.generators.latents import draw_latents
from wgan.scores.image_network import add_network_options, open_network
from wgan.scores.scoring import Generated, distances, measure
from wgan.scores.training_scores import SPLITS, TrainingImages

SCORES = ('fid', 'precision', 'recall', 'coverage')
BATCHES, BATCH_SIZE = 64, 256           # for the statistics: three times what CNTK averages over


def mean_of(networks):
    """The mean of the weights of networks of one shape, in a copy of the first."""
    mean = networks[0].clone(C.CloneMethod.clone)
    for p, *values in zip(state(mean), *map(state, networks)):
        p.value = np.asarray(np.mean([value.value for value in values], axis=0, dtype=np.float64),
                             np.float32)
    return mean


def measure_statistics(generator):
    """Sets the running statistics of batch normalisation to those of images that it generates."""
    latent = latent_input(generator)
    for batch in np.split(draw_latents(BATCHES * BATCH_SIZE, latent.shape[0], seed=0), BATCHES):
        evaluate_in_training(generator, {latent: batch})


def open_generators(paths):
    """Raises UserError if one is no generator of images, has labels, or another shape."""
    generators = [Generator(path, of_text=False) for path in paths]
    shapes = [[(p.name, p.shape) for p in state(g.network)] for g in generators]
    for generator, shape in zip(generators, shapes):
        if label_input(generator.network) is not None:
            raise UserError('%s takes labels, and this compares generators without'
                            % one_line(generator.path))
        if shape != shapes[0]:
            raise UserError('%s has other layers than %s, so that their weights have no mean'
                            % (one_line(generator.path), one_line(generators[0].path)))
    return generators


def main():
    parser = Parser(description='Compare generators with the mean of their weights.')
    parser.add_argument('runs', metavar='RUN', nargs='+', help='run folders or generator files')
    parser.add_argument('--data', required=True, help='folder of the real images, or map file')
    parser.add_argument('--count', type=number(int, SPLITS), default=1000,
                        help='images to generate for a score')
    parser.add_argument('--out', required=True, help='file of the mean generator to write')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_network_options(parser)
    options = parser.parse_args()
    check_outputs(options.out, force=options.force)
    network = open_network(options, select_device('auto'))
    generators = open_generators(options.runs)
    faces = ImageSet(options.data, generators[0].network.output.shape[-1])
    real = measure(TrainingImages(faces, len(faces), 'real images'), network, SPLITS, 32)

    mean = mean_of([g.network for g in generators])
    measure_statistics(mean)
    save_model(mean, options.out)
    print('| generator | %s |' % ' | '.join(SCORES))
    for name, one in [(g.name, g.network) for g in generators] + [('their mean', mean)]:
        images = Generated(name, one, options.count, 0, generators[0].labels)
        scores = distances(measure(images, network, SPLITS, 32), real, 0)
        print('| %s | %.1f | %.2f | %.2f | %.2f |' % (name, *(scores[key] for key in SCORES)))
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
