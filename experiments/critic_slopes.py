"""Weights clipped against gradient penalised: what becomes of a deep critic.

    .venv/bin/python experiments/critic_slopes.py --out critic_slopes.png

After figure 1(b) of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028: critics with twelve
hidden layers on the Swiss roll, against the same points with noise added. With clipped weights
the gradient explodes or vanishes from layer to layer, and weights gather at the bounds; with the
penalty neither. Prints the norms of the gradient by the first and by the last hidden layer.
"""

import points                           # before the others: it lets them be found
from wgan.machine.cntk import C
from wgan.machine.command_line import Progress, run
from wgan.pictures.plotting import new_figure, save_figure

import numpy as np

LAYERS, WIDTH, BATCH = 12, 128, 256
CLIPS = (0.1, 0.01, 0.001)


def swiss_roll(rng):
    return points.as_images(2 * points.swiss_roll(rng, BATCH))


def build_critic():
    """A function of points (2, 1, 1), as the objectives take images; its hidden layers too."""
    point = C.input_variable((2, 1, 1))
    h, hidden = C.reshape(point, (2,)), []
    for i in range(LAYERS):
        h = C.layers.Dense(WIDTH, C.relu, init=C.initializer.he_normal(seed=i + 1))(h)
        hidden.append(h)
    return C.layers.Dense(1, init=C.initializer.he_normal(seed=99))(h), hidden


def train(clip, iterations):
    """Returns the mean norm of the gradient by each hidden layer, and all weights of matrices."""
    rng = np.random.RandomState(0)
    critic, hidden = build_critic()
    objective = 'wgan' if clip else 'wgan-gp'
    held = points.HeldGenerator(objective, critic, BATCH,
                                points.settings_of(objective, clip=clip, beta2=0.9))
    name = 'clipped to %g' % clip if clip else 'gradient penalty'
    progress = Progress(name, iterations)
    for step in range(1, iterations + 1):
        x = swiss_roll(rng)
        held.update(x, x + rng.standard_normal(x.shape).astype(np.float32), rng)
        progress.show(step)
    from symbolic_gradient import gradient              # here, since it loads CNTK
    norms = []
    for h in hidden:
        slope = gradient(critic, h).eval({critic.arguments[0]: swiss_roll(rng)})
        norms.append(np.linalg.norm(slope, axis=1).mean())
    progress.end('%-17s slope by the first hidden layer %.3g, by the last %.3g' % (
        name, norms[0], norms[-1]))
    weights = [p.value.ravel() for p in critic.parameters if len(p.shape) == 2]
    return name, np.array(norms), np.concatenate(weights)


def main():
    options = points.read_options('Gradients in a deep critic, with clipped weights and penalised.',
                                  'critic_slopes.png', 600)
    results = [train(clip, options.iterations) for clip in CLIPS + (None,)]

    figure = new_figure(11, 4)
    left = figure.add_subplot(1, 2, 1)
    for name, norms, _ in results:
        norms[norms == 0] = np.nan                          # too small for a number: no point
        left.semilogy(np.arange(1, LAYERS + 1), norms, marker='.', label=name)
    left.set_xlabel('hidden layer')
    left.set_ylabel('‖∂C/∂h‖')
    left.legend()
    left.grid(alpha=0.3)
    for i, (name, _, weights) in enumerate((results[1], results[-1])):
        axis = figure.add_subplot(2, 2, 2 + 2 * i)
        axis.hist(weights, bins=60)
        axis.set_yticks([])
        axis.locator_params(axis='x', nbins=5)
        axis.set_title('weights, ' + name, fontsize=9)
    figure.tight_layout()
    save_figure(figure, options.out, dpi=90)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
