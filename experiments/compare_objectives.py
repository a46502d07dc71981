"""The objectives side by side: the same images, seed, networks' width and iterations.

    .venv/bin/python experiments/compare_objectives.py --data data/faces --inception inception.onnx

Trains each objective (call it again to continue), then writes comparison.png, with a row of faces
and loss curves for each objective, and comparison.csv: Frechet distance and Inception Score, if
--inception is given; the critic's gradient norm ('slope'); seconds an iteration.
"""

import os
import subprocess
import sys

from _root import ROOT
from wgan.machine.command_line import Parser, UserError, number, one_line, run
from wgan.machine.cntk import C
from wgan.machine.device import select_device

import numpy as np
import pandas as pd

from wgan.runs import checkpoint
from wgan.datasets.images import IMAGE_SIZES, ImageSet, grid, to_images, to_network
from wgan.datasets.labels import Labels
from wgan.generators.latents import draw_latents
from wgan.scores.image_network import add_network_options, open_network
from wgan.scores.scoring import Generated, distances, measure
from wgan.machine.signals import Stopped
from wgan.runs.resuming import settings_of
from wgan.runs.folder import RunFolder
from wgan.scores.training_scores import SPLITS, TrainingImages
from wgan.generators.evaluation import generate
from wgan.generators.files import load_generator
from wgan.pictures.plotting import new_figure, save_figure
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import FREE, OPTIONS, flag, parse

COLUMNS, ROWS = 12, 3                           # faces shown of each objective
RESULTS = ('wgan_generator.model', 'wgan_critic.model', 'wgan.csv')     # what is read of a run
SLOPES = 64                                     # images to measure the critic's slope at


def arguments_of(objective, options):
    """The command line of wgan_training.py for one objective, except for its --out."""
    # Without the moving average: a short run would show more of how it began than of its end.
    return ['--objective', objective, '--data=' + options.data, '--iterations',
            str(options.iterations), '--image-size', str(options.image_size), '--width',
            str(options.width), '--channels', '3', '--ema', '0', '--sample-every', '250']


def check_run(folder, arguments, digest):
    """Raises UserError if the folder holds a run with other settings."""
    out = RunFolder(folder)
    if not out.holds_a_run():
        return
    config = out.read_config()
    settings, wanted = config['settings'], settings_of(parse(arguments))
    other = ['%s is %s, not %s' % (flag(name), settings.get(name), wanted[name])
             for name in sorted(set(wanted) & set(OPTIONS) - {'data'})
             if OPTIONS[name].resume != FREE and settings.get(name) != wanted[name]]
    newest = checkpoint.latest(out.path('checkpoints'))
    if newest and newest[1] > wanted['iterations']:
        other.append('it has had %d iterations, not %d' % (newest[1], wanted['iterations']))
    if config.get('data_sha256') != digest:
        other.append('its images are not those of --data' if 'data_sha256' in config else
                     'which images it had is not known')
    if config.get('changes'):
        other.append('its settings were changed on the way')
    if other:
        raise UserError('the run in %s is another one than was asked for: %s; choose another '
                        '--out, or delete it to train again' % (one_line(folder), '; '.join(other)))


def train(folder, arguments, iterations):
    """Starts or resumes wgan_training.py, unless the run is complete."""
    latest = checkpoint.latest(os.path.join(folder, 'checkpoints'))
    if latest and latest[1] == iterations and all(
            os.path.exists(os.path.join(folder, name)) for name in RESULTS):
        return
    flags = ['--resume'] if latest else []             # what can't be resumed is never deleted
    # A signal to this process is passed on: then the training saves, where `call` would kill it.
    # The one of a terminal would reach it twice, so it has a session of its own.
    process = subprocess.Popen([sys.executable, os.path.join(ROOT, 'wgan_training.py'), '--out',
                                folder] + arguments + flags, start_new_session=True)
    try:
        code = process.wait()
    except Stopped as stopped:
        process.send_signal(stopped.number)
        process.wait()
        raise
    if code:
        raise UserError('the training for %s ended with code %d' % (one_line(folder), code))


def slope(critic_file, generator, faces):
    """Mean and deviation of ‖∇C(x̂)‖ between real and generated images, one ε each.

    In CNTK's evaluation mode: batch normalisation takes its running statistics.
    """
    rng, count = np.random.RandomState(0), min(SLOPES, len(faces))
    latents = rng.standard_normal((count, generator.arguments[0].shape[0])).astype(np.float32)
    fake = generate(generator, latents, 16)
    real = to_network(np.stack([faces[i] for i in rng.permutation(len(faces))[:count]]))
    epsilon = rng.uniform(0, 1, (count, 1, 1, 1)).astype(np.float32)
    image = C.input_variable(real.shape[1:], needs_gradient=True)
    gradients = C.Function.load(critic_file)(image).grad(
        {image: epsilon * real + (1 - epsilon) * fake})
    norms = np.sqrt(np.square(gradients).sum(axis=(1, 2, 3)))
    return norms.mean(), norms.std()


def draw(rows, path):
    """rows: (objective, image of faces, losses)."""
    figure = new_figure(14, 2.7 * len(rows))
    axes = figure.subplots(len(rows), 2, gridspec_kw={'width_ratios': [2.4, 1]})
    for (objective, faces, losses), (left, right) in zip(rows, axes):
        left.imshow(faces)
        left.set_title(objective, loc='left')
        left.axis('off')
        for column, label in (('C_loss', 'critic loss'), ('G_loss', 'generator loss')):
            curve = losses[column].ewm(alpha=0.1).mean()
            right.plot(losses['step'], curve, linewidth=0.9, label=label)
        right.grid(alpha=0.3)
        right.legend(fontsize=8)
    axes[-1][1].set_xlabel('iteration')
    figure.tight_layout()
    save_figure(figure, path, dpi=80)


def main():
    parser = Parser(description='Train and compare the objectives.')
    parser.add_argument('--data', default='data/drawn', help='folder of images, or map file')
    parser.add_argument('--out', default='runs/compare', help='folder for the runs')
    parser.add_argument('--image-size', type=int, choices=IMAGE_SIZES, default=32,
                        help='width and height of the images')
    parser.add_argument('--width', type=number(int, 1), default=16, help='as in wgan_training.py')
    parser.add_argument('--iterations', type=number(int, 1), default=1500, help='of each')
    parser.add_argument('--count', type=number(int, 10), default=2000, help='images to score')
    add_network_options(parser, required=False)
    options = parser.parse_args()

    device = select_device('auto')
    network = open_network(options, device) if options.inception else None
    faces = ImageSet(options.data, options.image_size)
    runs = [(os.path.join(options.out, objective), arguments_of(objective, options))
            for objective in OBJECTIVES]
    for folder, arguments in runs:                  # all of them, before one is trained
        check_run(folder, arguments, faces.digest)
    for folder, arguments in runs:
        train(folder, arguments, options.iterations)

    images = TrainingImages(faces, options.count, 'the real images')
    real = measure(images, network, SPLITS, 32) if network else None
    rows, table = [], []
    for objective in OBJECTIVES:
        folder = os.path.join(options.out, objective)
        generator = load_generator(os.path.join(folder, 'wgan_generator.model'))
        losses = pd.read_csv(os.path.join(folder, 'wgan.csv'))
        mean, deviation = slope(os.path.join(folder, 'wgan_critic.model'), generator, faces)
        row = {'objective': objective, 'slope': mean, 'slope_std': deviation,
               'seconds': losses['seconds'].median()}
        if network:
            result = measure(Generated(objective, generator, options.count, 0, Labels([], [])),
                             network, SPLITS, 32)
            row.update(distances(result, real, 0), inception_score=result['inception_score_mean'],
                       inception_score_std=result['inception_score_std'])
        table.append(row)
        latents = draw_latents(COLUMNS * ROWS, generator.arguments[0].shape[0], seed=1)
        images = to_images(generate(generator, latents, 16))
        rows.append((objective, grid(images, COLUMNS, border=1), losses))
    draw(rows, os.path.join(options.out, 'comparison.png'))
    table = pd.DataFrame(table)
    table.to_csv(os.path.join(options.out, 'comparison.csv'), index=False)
    print(table.to_string(index=False, float_format='%.4g'))
    print('wrote %s' % os.path.join(options.out, 'comparison.png'))


if __name__ == '__main__':
    run(main)
