"""A trained discriminator against the optimal one, which is known in closed form.

    .venv/bin/python experiments/optimal_discriminator.py --out optimal_discriminator.png

Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661: proposition 1, D*(x) = p_r / (p_r + p_g),
and theorem 1, whose value at D* is −log 4 + 2 JS(p_r, p_g). Two Gaussians on a line; then two
equal ones. Prints the largest deviation from D* where there is data, and the values.
"""

import points                           # before the others: it lets them be found
from wgan.machine.cntk import C
from wgan.machine.command_line import Progress, run
from wgan.pictures.plotting import new_figure, save_figure

import numpy as np

BATCH = 1024
REAL = (-1.0, 1.0)                      # mean and deviation
FAKES = {'two Gaussians': (1.5, 0.7), 'equal': REAL}
X = np.linspace(-6, 6, 1201)


def density(x, mean, deviation):
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def jensen_shannon(p, q, width):
    """Divergence in nats of two densities on a line, from values at points `width` apart."""
    def kl_to_middle(p, q):
        return np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / np.maximum((p + q) / 2, 1e-300)),
                        0).sum() * width
    return (kl_to_middle(p, q) + kl_to_middle(q, p)) / 2


def train(name, fake, iterations, seed=0):
    """Returns D at X, from the mean of the scores in the last fifth of the training, and the mean
    value V = −critic loss of that fifth.
    """
    rng = np.random.RandomState(seed)
    critic = points.network('image', (1, 1, 1), 1, seed, (32, 32), C.tanh)
    settings = points.settings_of('gan', learning_rate=3e-3, beta1=0.9)
    held = points.HeldGenerator('gan', critic, BATCH, settings)
    progress, values, scores = Progress(name, iterations), [], []
    for step in range(1, iterations + 1):
        real, fake_points = (mean + deviation * rng.standard_normal((BATCH, 1))
                             for mean, deviation in (REAL, fake))
        logged = held.update(real, fake_points, rng)
        if step > 0.8 * iterations:
            values.append(-logged['C_loss'])
            if step % 10 == 0 or step == iterations:
                scores.append(critic.eval(points.as_images(X[:, None])).ravel())
        progress.show(step)
    progress.end(name)
    return 1 / (1 + np.exp(-np.mean(scores, axis=0))), np.mean(values)


def main():
    options = points.read_options('A trained discriminator against the optimal one.',
                                  'optimal_discriminator.png', 1500)
    figure = new_figure(10, 3.6)
    p = density(X, *REAL)
    print('%-14s %10s %12s %10s %12s' % ('', 'max |D−D*|', '−log 4 + 2JS', 'trained', 'D at x = 0'))
    for i, (name, fake) in enumerate(FAKES.items(), 1):
        q = density(X, *fake)
        best, there = p / (p + q), (p + q) / 2 > 0.01
        trained, value = train(name, fake, options.iterations)
        expected = -np.log(4) + 2 * jensen_shannon(p, q, X[1] - X[0])
        print('%-14s %10.4f %12.4f %10.4f %12.4f' % (
            name, np.abs(trained - best)[there].max(), expected, value, trained[len(X) // 2]))
        axis = figure.add_subplot(1, 2, i)
        axis.fill_between(X, p, alpha=0.2, label='real')
        axis.fill_between(X, q, alpha=0.2, label='generated')
        axis.plot(X, best, 'black', linewidth=3, alpha=0.35, label='D* = p_r / (p_r + p_g)')
        axis.plot(X, trained, 'tab:red', linewidth=1.2, label='trained')
        for edge in X[there][[0, -1]]:
            axis.axvline(edge, color='grey', linestyle=':', linewidth=0.8)
        axis.set_title('%s: V = %.3f, theorem 1: %.3f' % (name, value, expected), fontsize=10)
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.tight_layout()
    save_figure(figure, options.out, dpi=90)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
