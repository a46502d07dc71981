"""Does the critic's loss say how good the images are? Each objective's loss beside a distance.

    .venv/bin/python experiments/loss_and_quality.py --data data/drawn --out loss_and_quality.png

After figures 3 and 4 of Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, in numbers: at some
points of each training the mean of minus the critic's loss, since it was last measured, and the
distance of generated images from real ones: the Fréchet distance of their 8 × 8 pixels, and FID
with --inception. Prints Spearman's rank correlation of the two: 1 where the loss tells the order.
"""

import points                           # before the others: it lets them be found
from wgan.machine.command_line import Progress, number, run
from wgan.generators.evaluation import generated
from wgan.scores.image_network import add_network_options, open_network
from wgan.datasets.images import ImageSet, shrunk
from wgan.generators.latents import draw_latents
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import parse
from wgan.pictures.plotting import new_figure, save_figure
from wgan.scores.distances import frechet_distance
from image_training import begin

import numpy as np
import pandas as pd

SIZE, WIDTH, POINTS, AT_ONCE = 32, 16, 8, 50
PIXELS = 'Fréchet distance of 8 × 8 pixels'


def pixels(images):
    """RGB images, uint8 (N, S, S, 3), shrunk to 8 × 8: (N, 192), in 0 … 1."""
    return shrunk(images, 8).reshape(len(images), -1) / 255


def statistics(images, features):
    """(mean, covariance) of the features of images (N, S, S, 3), uint8."""
    values = np.concatenate([features(images[i:i + AT_ONCE])
                            for i in range(0, len(images), AT_ONCE)]).astype(np.float64)
    return values.mean(axis=0), np.cov(values, rowvar=False)


def spearman(a, b):
    """The rank correlation of two columns; NaN if one of them does not change."""
    return a.rank().corr(b.rank())


def train(objective, faces, measures, options, progress, done):
    """A DataFrame with a row for each point: step, minus_loss, what else is logged, and each of the
    distances from real images. measures: by their names, (features, statistics of real images).
    """
    o = parse(['--objective', objective, '--image-size', str(SIZE), '--width', str(WIDTH)])
    updates, batches = begin(o, faces)
    latents, rows, since = draw_latents(options.count, o.latent_size, 1), [], []
    ends = set(np.linspace(0, options.iterations, POINTS + 1).astype(int))
    for step in range(1, options.iterations + 1):
        for _ in range(o.n_critic):
            updates.update_critic(*batches.next())
        updates.update_generator(step)
        since.append(updates.row())
        if step in ends:
            images = np.concatenate(list(generated(updates.generator, latents, AT_ONCE, objective)))
            row = dict(zip(updates.columns, np.mean(since, axis=0)), step=step)
            row.update({name: frechet_distance(*real, *statistics(images, features))
                        for name, (features, real) in measures.items()})
            rows.append(dict(row, minus_loss=-row['C_loss']))
            since = []
        progress.show(done + step)
    return pd.DataFrame(rows)


def draw(figure, tables, name):
    """The two curves of each objective; name: of the distance."""
    for i, (objective, table) in enumerate(tables.items(), 1):
        left = figure.add_subplot(1, len(tables), i)
        left.plot(table['step'], table['minus_loss'], 'tab:blue', marker='.')
        left.set_title('%s: rank correlation %.2f' % (
            objective, spearman(table['minus_loss'], table[name])), fontsize=9)
        left.set_xlabel('iteration')
        left.tick_params(axis='y', colors='tab:blue', labelsize=7)
        right = left.twinx()
        right.plot(table['step'], table[name], 'tab:orange', marker='.')
        right.tick_params(axis='y', colors='tab:orange', labelsize=7)
    figure.text(0.01, 0.01, 'blue: −C_loss; orange: ' + name, fontsize=8)
    figure.tight_layout(rect=(0, 0.04, 1, 1))


def add_options(parser):
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--count', type=number(int, 2), default=300, help='images of each distance')
    add_network_options(parser, required=False)


def main():
    options = points.read_options("Each objective's loss beside the distance of its images.",
                                  'loss_and_quality.png', 400, add_options)
    network = open_network(options, options.device) if options.inception else None
    faces = ImageSet(options.data, SIZE)
    chosen = np.random.RandomState(2).permutation(len(faces))[:options.count]
    real = np.stack([faces[i] for i in chosen])
    measures = {PIXELS: (pixels, statistics(real, pixels))}
    if network:
        def features(images):
            return network(images)[0]
        measures['FID'] = (features, statistics(real, features))

    progress = Progress('trainings', len(OBJECTIVES) * options.iterations)
    tables = {objective: train(objective, faces, measures, options, progress,
                               i * options.iterations) for i, objective in enumerate(OBJECTIVES)}
    progress.end('%d trainings' % len(tables))
    print(pd.concat(tables)[['step', 'minus_loss', *measures]].to_string(float_format='%.4g'))
    correlations = pd.DataFrame({
        objective: {'%s, %s' % (loss, name): spearman(table[loss], table[name])
                    for loss in ('minus_loss', 'wasserstein') if loss in table
                    for name in measures} for objective, table in tables.items()})
    print('rank correlations:\n' + correlations.to_string(float_format='%.2f'))
    figure = new_figure(3 * len(tables), 3.4)
    draw(figure, tables, list(measures)[-1])
    save_figure(figure, options.out, dpi=90)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
