"""What the generator still learns from a discriminator that trains on without it.

    .venv/bin/python experiments/vanishing_gradient.py --data data/drawn --out vanishing.png

After figures 2 and 3 of Arjovsky and Bottou 2017, https://arxiv.org/abs/1701.04862: a generator of
faces is trained a little by `gan`, then held, while new critics train against it. The figure has
the norm of the gradient of the generator's loss with respect to all its weights, for log(1 − D),
−log D and WGAN-GP. Prints the numbers.
"""

import points                           # before the others: it lets them be found
from wgan.machine.command_line import Progress, run
from wgan.datasets.images import ImageBatches, ImageSet
from wgan.training.objectives import OBJECTIVES
from wgan.pictures.plotting import new_figure, save_figure
from wgan.training.updates import Updates
import models

import numpy as np
import pandas as pd

SIZE, WIDTH, LATENT, BATCH, BEFORE, MEASURED = 32, 16, 100, 16, 150, 2
WAYS = {'log(1 − D)': ('gan', dict(minimax=True)), '−log D': ('gan', {}),
        'WGAN-GP': ('wgan-gp', dict(beta2=0.9))}


def train_generator(faces, rng):
    """A generator after BEFORE iterations of `gan`."""
    settings, batches = points.settings_of('gan'), ImageBatches(faces, BATCH, rng)
    updates = Updates(*models.networks(SIZE, LATENT, WIDTH, OBJECTIVES['gan'].normalization, rng),
                      OBJECTIVES['gan'], BATCH, rng, **settings)
    progress = Progress('generator', BEFORE)
    for step in range(1, BEFORE + 1):
        updates.update_critic(*batches.next())
        updates.update_generator(step)
        progress.show(step)
    progress.end('a generator of faces')
    return updates.generator


def gradient_norm_of(updates, latents):
    """‖∂ mean loss / ∂ all weights‖ of the generator, for latents (N, LATENT): the gradient that
    its trainer would take, batch normalisation in training mode.
    """
    gradients = updates.losses.generator_loss.grad(
        {updates.latent: latents}, wrt=list(updates.generator.parameters))
    return np.sqrt(sum(np.square(g).sum() for g in gradients.values())) / len(latents)


def train_critic(way, generator, faces, iterations, progress, done):
    """Returns rows (critic updates, gradient norm, critic's loss), at 24 moments at most."""
    objective, more = WAYS[way]
    rng, settings = np.random.RandomState(1), points.settings_of(objective, **more)
    critic = models.critic(SIZE, WIDTH, 1, OBJECTIVES[objective].normalization)
    updates = Updates(generator, critic, OBJECTIVES[objective], BATCH, rng, **settings)
    batches, rows = ImageBatches(faces, BATCH, rng), []
    measured = set(np.unique(np.geomspace(1, iterations, 24).astype(int)))
    latents = rng.standard_normal((MEASURED, BATCH, LATENT)).astype(np.float32)
    for step in range(1, iterations + 1):
        updates.update_critic(*batches.next())
        if step in measured:
            norms = [gradient_norm_of(updates, z) for z in latents]
            loss = updates.trainers['critic'].previous_minibatch_loss_average
            rows.append((step, np.mean(norms), loss))
        progress.show(done + step)
    return np.array(rows)


def main():
    options = points.read_options(
        "The generator's gradient while the critic trains on.", 'vanishing_gradient.png', 500,
        lambda parser: parser.add_argument('--data', default='data/drawn', help='folder of images'))
    faces = ImageSet(options.data, SIZE)
    generator = train_generator(faces, np.random.RandomState(0))
    progress = Progress('critics', len(WAYS) * options.iterations)
    rows = {way: train_critic(way, generator, faces, options.iterations, progress,
                              i * options.iterations) for i, way in enumerate(WAYS)}
    progress.end('%d critics' % len(rows))
    table = pd.DataFrame({way: pd.Series(results[:, 1], results[:, 0].astype(int))
                          for way, results in rows.items()})
    print(table.iloc[::4].to_string(float_format='%.3g'))
    print('critic loss at the end: ' + ', '.join('%s %.3g' % (way, results[-1, 2])
                                                 for way, results in rows.items()))
    figure = new_figure(7, 4)
    axis = figure.add_subplot(1, 1, 1)
    for way in table:
        axis.loglog(table.index, table[way], marker='.', label=way)
    axis.set_xlabel('critic updates, the generator held')
    axis.set_ylabel("norm of the generator's gradient")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.tight_layout()
    save_figure(figure, options.out, dpi=90)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
