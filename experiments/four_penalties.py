"""Four ways to write the gradient penalty in CNTK: is the gradient right, does it hold the gradient
norm, how good are the images after an equal time?

    taskset -c 0 .venv/bin/python experiments/four_penalties.py --data data/drawn \\
        --inception googlenet.onnx --scale raw --out four_penalties.png

The four are in penalties.py. They train the same networks from the same weights, with the same
images and settings, one iteration at a time: always the one that has used the least processor time
so far, so that other programs disturb all of them alike. taskset leaves one core to them: on
several, the time of all threads would be counted.

The first columns of the table need no training. They are the deviation of the critic loss's
gradient, in single precision, from PyTorch's in double precision
(tests/make_penalties_reference.py), relative to its length: that of the two-sided penalty, or of
the one-sided one where that is meant. The second is that of the mean of many draws.
"""

import os
import time

from _root import ROOT
from wgan.machine.command_line import Parser, Progress, check_outputs, number, run
from wgan.machine.cntk import C
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.images import IMAGE_SIZES, ImageSet, grid, to_images, to_network
from wgan.datasets.labels import Labels
from wgan.generators.evaluation import generate
from wgan.generators.latents import draw_latents
from image_training import begin
import models
from penalties import PENALTIES, loss_gradients
from wgan.pictures.plotting import check_plot, new_figure, save_figure
from wgan.scores.image_network import add_network_options, open_network
from wgan.scores.scoring import Generated, distances, measure
from wgan.scores.training_scores import SPLITS, TrainingImages
from wgan.training.objectives import gradient_norm
from wgan.training.options import parse

REFERENCE = os.path.join(ROOT, 'tests', 'penalties.npz')
POINTS, AT = 20, 64             # of each curve; images that the gradient norm is the mean of


def key(p):
    """As PyTorch's values of a parameter are called."""
    return p.name + ' ' + 'x'.join(map(str, p.shape))


def reference_critic(reference, dtype=np.float32):
    """The critic that the reference's gradients are of."""
    size, width = reference['real'].shape[-1], reference['value b 4x1x1'].size
    with C.default_options(dtype=dtype):
        critic = models.critic(size, width)
    for p in critic.parameters:
        p.value = reference['value ' + key(p)].astype(dtype)
    return critic


def relative_error(found, reference, name):
    """‖found − reference‖ / ‖reference‖, over all parameters together."""
    expected = {p: reference['%s by %s' % (name, key(p))] for p in found}
    return np.sqrt(sum(np.square(found[p] - expected[p]).sum() for p in found)
                   / sum(np.square(expected[p]).sum() for p in found))


def gradient_errors(reference, draws):
    """By penalty: the error of its gradient; of the finite difference, a mean of many draws. And
    the error of the mean of those draws.
    """
    critic, rng = reference_critic(reference), np.random.RandomState(0)
    shape, errors = reference['real'].shape[1:], {}
    for name, row in PENALTIES.items():
        meant = name if name == 'exact, one-sided' else 'exact, two-sided'
        gradients = loss_gradients(row, critic, shape)
        drawn = [gradients(dict(reference, direction=rng.standard_normal(
            reference['real'].shape))) for _ in range(draws if name == 'finite difference' else 1)]
        mean = {p: np.mean([found[p] for found in drawn], axis=0) for p in drawn[0]}
        errors[name] = (np.mean([relative_error(found, reference, meant) for found in drawn]),
                        relative_error(mean, reference, meant))
    return errors


class Training:
    """One of the four, that goes on by an iteration at a time. seconds: of the processor."""

    def __init__(self, name, faces, options):
        self.name, self.options = name, parse(['--image-size', str(faces.size)])
        self.updates, self.batches = begin(self.options, faces, PENALTIES[name])
        image = C.input_variable((3, faces.size, faces.size))
        self.norm = gradient_norm(self.updates.critic, image)
        rng = np.random.RandomState(1)
        self.real = to_network(np.stack([faces[i] for i in rng.randint(len(faces), size=AT)]))
        self.epsilon = rng.uniform(0, 1, (AT, 1, 1, 1)).astype(np.float32)
        self.steps = self.seconds = 0
        self.curve, self.every = [], options.seconds / POINTS       # (seconds, gradient norm)

    def iterate(self):
        begin = time.process_time()
        for _ in range(self.options.n_critic):
            self.updates.update_critic(*self.batches.next())
        self.steps += 1
        self.updates.update_generator(self.steps)
        self.seconds += time.process_time() - begin
        if self.seconds >= len(self.curve) * self.every:
            self.curve.append((self.seconds, self.mean_norm()))

    def mean_norm(self):
        """The mean gradient norm between fixed real images and generated ones."""
        fake = self.generate(AT)
        return float(self.norm.eval(self.epsilon * self.real + (1 - self.epsilon) * fake).mean())

    def generate(self, count):
        latents = draw_latents(count, self.options.latent_size, 1)
        return generate(self.updates.generator, latents, self.options.batch_size)


def train(trainings, seconds):
    """Until each has had as many seconds."""
    progress = Progress('seconds of each', int(np.ceil(seconds)))
    while True:
        training = min(trainings, key=lambda t: t.seconds)
        progress.show(min(int(training.seconds), int(seconds)))
        if training.seconds >= seconds:
            break
        training.iterate()
    progress.end('%.0f seconds of each' % seconds)


def frechet_distances(trainings, faces, options, device):
    """By penalty: FID of as many generated images as real ones."""
    network = open_network(options, device)
    real = measure(TrainingImages(faces, options.count, 'the real images'), network, SPLITS, 32)
    images = {t.name: Generated(t.name, t.updates.generator, options.count, 0, Labels([], []))
              for t in trainings}
    return {name: distances(measure(some, network, SPLITS, 32), real, 0)['fid']
            for name, some in images.items()}


def draw(trainings, fids, path):
    figure = new_figure(11, 7)
    layout = figure.add_gridspec(2, len(trainings))
    curves = figure.add_subplot(layout[0, :])
    for i, t in enumerate(trainings):
        curves.plot(*zip(*t.curve), label=t.name)
        images = figure.add_subplot(layout[1, i])
        images.imshow(grid(to_images(t.generate(36)), columns=6))
        images.set_title('%s\nFID %.0f' % (t.name, fids[t.name]), fontsize=10)
        images.axis('off')
    curves.axhline(1, color='black', linestyle='--', linewidth=0.8)
    curves.set_yscale('log')
    curves.set_ylabel('gradient norm ‖∇C(x̂)‖')
    curves.set_xlabel('seconds of training')
    curves.legend()
    figure.tight_layout()
    save_figure(figure, path, dpi=90)


def main():
    parser = Parser(description='Compare four ways to write the gradient penalty in CNTK.')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--image-size', type=int, choices=IMAGE_SIZES, default=32,
                        help='width and height')
    parser.add_argument('--seconds', type=number(float, 0, above=True), default=120.0,
                        help='processor time of each training')
    parser.add_argument('--count', type=number(int, SPLITS), default=1000,
                        help='generated images, and real ones, of each FID')
    parser.add_argument('--draws', type=number(int, 1), default=2000,
                        help='directions of the finite difference; a single one tells little')
    parser.add_argument('--out', default='four_penalties.png', help='image to write')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_network_options(parser)
    options = parser.parse_args()
    check_plot(options.out)
    check_outputs(options.out, force=options.force)
    device = select_device('auto')
    faces = ImageSet(options.data, options.image_size)

    with np.load(REFERENCE, allow_pickle=False) as saved:
        errors = gradient_errors(dict(saved), options.draws)
    trainings = [Training(name, faces, options) for name in PENALTIES]
    train(trainings, options.seconds)
    fids = frechet_distances(trainings, faces, options, device)
    print('| penalty | error of the gradient | of its mean | gradient norm | FID | iterations |')
    for t in trainings:
        print('| %s | %.2g | %.2g | %.2f | %.0f | %d |' % (
            t.name, *errors[t.name], t.mean_norm(), fids[t.name], t.steps))
    draw(trainings, fids, options.out)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
