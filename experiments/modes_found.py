"""Which modes do the generators of all objectives find? 8 and 25 Gaussians in the plane.

    .venv/bin/python experiments/modes_found.py --out modes_found.png

Modes are counted much as by Srivastava et al. 2017, https://arxiv.org/abs/1705.07761; the data are
those of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, figure 1. Each objective has its
own optimiser, with steps for networks as small as these, and two critic updates where it has more.
"""

import points                           # before the others: it lets them be found
from wgan.machine.command_line import Progress, run
from wgan.training.objectives import OBJECTIVES
from wgan.pictures.plotting import new_figure, save_figure
from wgan.training.optimizers import Adam, RmsProp
from wgan.training.updates import Updates

import numpy as np
import pandas as pd

SETS = {'8 Gaussians': points.EIGHT, '25 Gaussians': points.TWENTY_FIVE}
BATCH, SAMPLES, SEEDS, N_CRITIC = 128, 2500, 3, 2
STEPS = {Adam: dict(learning_rate=1e-3, beta1=0.5, beta2=0.9, penalty_weight=1.0,
                    margin_weight=1.0, gamma=0.1),
         RmsProp: dict(learning_rate=5e-4, clip=0.1)}


def train(objective, centres, seed, iterations, progress, done):
    """Returns SAMPLES points (SAMPLES, 2) of a generator trained on the modes at `centres`."""
    rng, draw = np.random.RandomState(seed), points.gaussians(centres)
    settings = points.settings_of(objective, **STEPS[OBJECTIVES[objective].optimizer])
    generator = points.network('latent', 2, (2, 1, 1), 2 * seed, (128, 128))
    critic = points.network('image', (2, 1, 1), 1, 2 * seed + 1, (128, 128),
                            objective=objective)
    updates = Updates(generator, critic, OBJECTIVES[objective], BATCH, rng, **settings)
    for step in range(1, iterations + 1):
        for _ in range(min(N_CRITIC, settings['n_critic'])):
            updates.update_critic(points.as_images(draw(rng, BATCH)))
        updates.update_generator(step)
        progress.show(done + step)
    latents = rng.standard_normal((SAMPLES, 2)).astype(np.float32)
    return generator.eval(latents).reshape(SAMPLES, 2)


def main():
    options = points.read_options('Count the modes that generators find.', 'modes_found.png', 1500)
    figure, table = new_figure(2.6 * len(OBJECTIVES), 5.6), []
    axes = figure.subplots(2, len(OBJECTIVES), sharex=True, sharey=True)
    total = len(SETS) * len(OBJECTIVES) * SEEDS
    progress, done = Progress('generators', total * options.iterations), 0
    for row, (data, centres) in zip(axes, SETS.items()):
        for axis, objective in zip(row, OBJECTIVES):
            counts = []
            for seed in range(SEEDS):
                samples = train(objective, centres, seed, options.iterations, progress, done)
                done += options.iterations
                counts.append(points.modes_found(samples, centres))
                if seed == 0:
                    axis.scatter(*centres.T, s=60, facecolors='none', edgecolors='tab:orange')
                    axis.scatter(*samples[:1000].T, s=1.5)
                    axis.set_title('%s: %d modes, %.0f %%' % (
                        objective, counts[0][0], 100 * counts[0][1]), fontsize=9)
            modes, parts = zip(*counts)
            table.append({'data': data, 'objective': objective,
                          'modes of each seed': ', '.join(map(str, modes)),
                          'samples on a mode, %': ', '.join('%.0f' % (100 * p) for p in parts)})
        row[0].set_ylabel(data)
    progress.end('%d generators' % total)
    print(pd.DataFrame(table).to_string(index=False))
    axes[0, 0].set_xlim(-1.5, 1.5)
    axes[0, 0].set_ylim(-1.5, 1.5)
    figure.tight_layout()
    save_figure(figure, options.out, dpi=80)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
