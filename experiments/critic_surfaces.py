"""Level sets of two critics, one with clipped weights and one with a penalised gradient.

    .venv/bin/python experiments/critic_surfaces.py --out critic_surfaces.png

After figure 1(a) of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028: the generator is held
at the data plus noise, on 8 Gaussians, 25 Gaussians and the Swiss roll. Prints what the figure
shows in numbers: the critic's gradient norm between real and generated points.
"""

import points                           # before the others: it lets them be found
from wgan.machine.command_line import Progress, run
from wgan.training.objectives import gradient_norm
from wgan.pictures.plotting import new_figure, save_figure

import numpy as np

SETS = {'8 Gaussians': points.gaussians(points.EIGHT),
        '25 Gaussians': points.gaussians(points.TWENTY_FIVE), 'Swiss roll': points.swiss_roll}
BATCH, NOISE, EDGE = 128, 0.25, 1.6
STEPS = dict(learning_rate=1e-3, beta1=0.0, beta2=0.9, clip=0.1)


def train(objective, draw, iterations, progress, done, seed=0):
    """Returns the scores on a grid of the plane, and the gradient norms between the two sets."""
    rng = np.random.RandomState(seed)
    critic = points.network('image', (2, 1, 1), 1, seed, (64, 64, 64))
    held = points.HeldGenerator(objective, critic, BATCH, points.settings_of(objective, **STEPS))
    for step in range(1, iterations + 1):
        real, other = draw(rng, BATCH), draw(rng, BATCH)
        held.update(real, other + NOISE * rng.standard_normal((BATCH, 2)), rng)
        progress.show(done + step)
    part = rng.rand(BATCH, 1)
    between = part * draw(rng, BATCH) + (1 - part) * (
        draw(rng, BATCH) + NOISE * rng.standard_normal((BATCH, 2)))
    norms = gradient_norm(critic, held.real).eval({held.real: points.as_images(between)})
    plane = np.stack(np.meshgrid(*[np.linspace(-EDGE, EDGE, 120)] * 2), axis=-1)
    return critic.eval(points.as_images(plane.reshape(-1, 2))).reshape(120, 120), norms


def main():
    options = points.read_options('Level sets of a clipped and of a penalised critic.',
                                  'critic_surfaces.png', 1000)
    figure, table = new_figure(10, 6.9), []
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    progress = Progress('critics', 6 * options.iterations)
    for row, (objective, name) in enumerate((('wgan', 'clipped'), ('wgan-gp', 'penalised'))):
        for column, (data, draw) in enumerate(SETS.items()):
            scores, norms = train(objective, draw, options.iterations, progress,
                                  (3 * row + column) * options.iterations)
            table.append((data, name, norms.mean(), norms.std()))
            axis, line = axes[row, column], np.linspace(-EDGE, EDGE, 120)
            axis.contourf(line, line, scores, 24, cmap='viridis', alpha=0.75)
            axis.contour(line, line, scores, 24, colors='black', linewidths=0.4)
            axis.scatter(*draw(np.random.RandomState(0), 400).T, s=3, c='tab:orange')
            axis.set_title('%s, %s' % (data, name), fontsize=10)
            axis.set_xticks([])
            axis.set_yticks([])
    progress.end('6 critics')
    print('%-13s %-10s gradient norm' % ('data', 'critic'))
    for line in table:
        print('%-13s %-10s %.3f ± %.3f' % line)
    figure.tight_layout()
    save_figure(figure, options.out, dpi=80)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
