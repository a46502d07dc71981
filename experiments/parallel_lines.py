"""Two parallel lines: what each divergence says of their distance, and what critics learn of it.

    .venv/bin/python experiments/parallel_lines.py --out parallel_lines.png

Example 1 and figure 1 of Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875: real points are
(0, u), generated ones (θ, u). The figure has the closed forms, what a discriminator and two critics
estimate, and a generator whose only parameter is θ, trained by each objective. Prints the numbers.
"""

import points                           # before the others: it lets them be found
from wgan.machine.cntk import C
from wgan.machine.command_line import Progress, run
from wgan.training.objectives import OBJECTIVES, gradient_norm
from wgan.pictures.plotting import new_figure, save_figure
from wgan.training.updates import Updates

import numpy as np
import pandas as pd

BATCH, START = 128, 1.0
DISTANCES = (0, 0.5, 1, 1.5, 2)
ESTIMATED = {'gan': 'JS', 'wgan-gp': 'W', 'wgan': 'W'}
STEPS = dict(learning_rate=4e-3, beta1=0.0, beta2=0.99, clip=0.1, margin_weight=1.0,
             gamma=0.1)


def closed_forms(theta):
    """(KL, JS, W) of the two lines, in nats and in units of θ."""
    return (0.0, 0.0, 0.0) if theta == 0 else (np.inf, np.log(2), abs(theta))


def build_critic(seed, objective):
    return points.network('image', (2, 1, 1), 1, seed, (32, 32), C.tanh, objective)


def lines(rng, theta):
    """A minibatch of each line, (BATCH, 2); sharing the u takes noise out of their difference."""
    u = rng.standard_normal(BATCH)
    return tuple(np.stack([np.full(BATCH, x), u], axis=1) for x in (0, theta))


def estimate(objective, theta, iterations, progress, done, seed=0):
    """(the estimate, the critic's mean gradient norm between the lines), means of the last fifth.

    gan: JS = log 2 − critic loss / 2, since the loss at D* is 2 log 2 − 2 JS (theorem 1 of
    Goodfellow et al. 2014). wgan-gp, wgan: (E[C(x)] − E[C(x̃)]) / ‖∇C‖. With the weight λ of the
    penalty the best gradient norm g is not 1: g θ − λ (g − 1)² is largest at g = 1 + θ / 2λ.
    Clipping allows whichever norm the network can have.
    """
    rng, critic = np.random.RandomState(seed), build_critic(seed, objective)
    held = points.HeldGenerator(objective, critic, BATCH, points.settings_of(objective, **STEPS))
    norm, estimates = gradient_norm(critic, held.real), []
    for step in range(1, iterations + 1):
        real, fake = lines(rng, theta)
        logged = held.update(real, fake, rng)
        if step > 0.8 * iterations:
            part = rng.rand(BATCH, 1)
            between = norm.eval({held.real: points.as_images(part * real + (1 - part) * fake)})
            estimates.append((np.log(2) - logged['C_loss'] / 2 if ESTIMATED[objective] == 'JS'
                              else logged['wasserstein'] / between.mean(), between.mean()))
        progress.show(done + step)
    return np.mean(estimates, axis=0)


def build_generator():
    """(the function u → (θ, u), its parameter θ)."""
    u, theta = C.input_variable(1, name='latent'), C.parameter((1, 1), init=START)
    one = C.reconcile_dynamic_axes(C.constant(1, 1), u)
    along, across = (C.constant(np.float32([row])) for row in ([0, 1], [1, 0]))
    return C.reshape(C.times(u, along) + C.times(C.times(one, theta), across), (2, 1, 1)), theta


def path_of_theta(objective, iterations, progress, done, seed=0, **more):
    """θ before the first and after each of the iterations; it begins at START, and 0 is right."""
    rng, (generator, theta) = np.random.RandomState(seed), build_generator()
    settings = points.settings_of(objective, **STEPS, **more)
    updates = Updates(generator, build_critic(seed, objective), OBJECTIVES[objective], BATCH, rng,
                      **settings)
    path = [START]
    for step in range(1, iterations + 1):
        for _ in range(settings['n_critic']):
            updates.update_critic(points.as_images(lines(rng, 0)[0]))
        updates.update_generator(step)
        path.append(theta.value.item())
        progress.show(done + step)
    return np.array(path)


def draw(figure, estimates, paths):
    left, right = figure.subplots(1, 2)
    theta = np.linspace(-2, 2, 401)
    left.plot(theta, np.abs(theta), 'tab:blue', linewidth=1, label='W = |θ|')
    left.plot(theta, np.where(theta == 0, np.nan, np.log(2)), 'tab:red', linewidth=1,
              label='JS = log 2')
    left.plot([0, 0], [0, 2.2], 'grey', linewidth=1, linestyle=':', label='KL = ∞, except at 0')
    left.plot(0, 0, 'o', color='tab:red', markersize=3)
    for (objective, divergence), marker in zip(ESTIMATED.items(), 'sox'):
        values = [row['estimate'] for row in estimates if row['objective'] == objective]
        left.plot(DISTANCES, values, marker, fillstyle='none',
                  color={'W': 'tab:blue', 'JS': 'tab:red'}[divergence],
                  label='%s estimated by %s' % (divergence, objective))
    left.set_xlabel('θ')
    left.set_ylabel('divergence of the two lines')
    left.legend(fontsize=8, loc='upper center')
    for name, path in paths.items():
        right.plot(path, label=name, linewidth=1.2)
    right.axhline(0, color='black', linestyle='--', linewidth=0.8)
    right.set_xlabel('iteration')
    right.set_ylabel('θ of the generator')
    right.legend(fontsize=8, loc='upper right', bbox_to_anchor=(1, 0.95))
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.tight_layout()


def main():
    options = points.read_options('Two parallel lines: divergences, critics, a generator.',
                                  'parallel_lines.png', 600)
    steps = options.iterations
    progress, done = Progress('critics', len(ESTIMATED) * len(DISTANCES) * steps), 0
    estimates, paths = [], {}
    for objective, divergence in ESTIMATED.items():
        for theta in DISTANCES:
            value, norm = estimate(objective, theta, steps, progress, done)
            exact = dict(zip(('KL', 'JS', 'W'), closed_forms(theta)))[divergence]
            estimates.append({
                'objective': objective, 'divergence': divergence, 'theta': theta, 'exact': exact,
                'estimate': value, 'percent_off': 100 * (value / exact - 1) if exact else np.nan,
                'gradient_norm': norm})
            done += steps
    progress.end('%d critics' % len(estimates))
    print(pd.DataFrame(estimates).to_string(index=False, float_format='%.4f'))

    ways = {name: (name, {}) for name in OBJECTIVES}
    ways.update({'gan, log(1 − D)': ('gan', dict(minimax=True)),
                 'gan, log(1 − D), n_critic 20': ('gan', dict(minimax=True, n_critic=20))})
    progress = Progress('generators', len(ways) * steps)
    for i, (name, (objective, more)) in enumerate(ways.items()):
        paths[name] = path_of_theta(objective, steps, progress, i * steps, **more)
    progress.end('%d generators' % len(ways))
    print(pd.DataFrame([{
        'generator trained by': name, 'first below 0.05': (
            np.flatnonzero(path < 0.05)[0] if path.min() < 0.05 else 'never'),
        'mean |theta| of the last fifth': np.abs(path[-max(1, steps // 5):]).mean()}
        for name, path in paths.items()]).to_string(index=False, float_format='%.3f'))
    figure = new_figure(11, 4)
    draw(figure, estimates, paths)
    save_figure(figure, options.out, dpi=90)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
