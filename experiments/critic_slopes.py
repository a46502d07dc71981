"""Weights clipped against gradient penalised: what becomes of a deep critic.

    .venv/bin/python experiments/critic_slopes.py --out critic_slopes.png

After figure 1(b) of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028: critics with twelve
hidden layers on the Swiss roll, against the same points with noise added. With clipped weights
the gradient explodes or vanishes from layer to layer, and weights gather at the bounds; with the
penalty neither. Prints the norms of the gradient by the first and by the last hidden layer.
"""


import _root  # noqa: F401
from wgan.command_line import Parser, Progress, check_outputs, number, run
from wgan.cntk import C

import numpy as np

from wgan import objectives
from wgan.learners import RmsProp, adam
from wgan.plotting import check_plot, new_figure, save_figure
from symbolic_gradient import gradient

LAYERS, WIDTH, BATCH = 12, 128, 256
CLIPS = (0.1, 0.01, 0.001)


def swiss_roll(rng):
    angle = 1.5 * np.pi * (1 + 2 * rng.rand(BATCH))
    points = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1) / 7.5
    return points.reshape(BATCH, 2, 1, 1).astype(np.float32)


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
    real, fake = C.input_variable((2, 1, 1)), C.input_variable((2, 1, 1))
    make = objectives.wgan if clip else objectives.wgan_gp
    objective = make(lambda z: z, critic, critic.arguments[0], real, fake)
    learner = (RmsProp('critic', critic.parameters, 5e-5, BATCH, clip).learner if clip
               else adam(critic.parameters, 1e-4, 0.0, 0.9))
    trainer = C.Trainer(objective.critic_loss, (objective.critic_loss, None), [learner])
    name = 'clipped to %g' % clip if clip else 'gradient penalty'
    progress = Progress(name, iterations)
    for step in range(1, iterations + 1):
        x = swiss_roll(rng)
        y = x + rng.standard_normal(x.shape).astype(np.float32)
        feed = {variable: draw(rng, x) for variable, draw in objective.draws.items()}
        feed.update({real: x, fake: y})
        trainer.train_minibatch(feed)
        progress.show(step)
    norms = []
    for h in hidden:
        slope = gradient(critic, h).eval({critic.arguments[0]: swiss_roll(rng)})
        norms.append(np.linalg.norm(slope, axis=1).mean())
    progress.end('%-17s slope by the first hidden layer %.3g, by the last %.3g' % (
        name, norms[0], norms[-1]))
    weights = [p.value.ravel() for p in critic.parameters if len(p.shape) == 2]
    return name, np.array(norms), np.concatenate(weights)


def main():
    parser = Parser(description='Gradients in a deep critic, with clipped weights and penalised.')
    parser.add_argument('--out', default='critic_slopes.png', help='image to write')
    parser.add_argument('--iterations', type=number(int, 1), default=600, help='of each critic')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    options = parser.parse_args()
    check_plot(options.out)
    check_outputs(options.out, force=options.force)
    found = [train(clip, options.iterations) for clip in CLIPS + (None,)]

    figure = new_figure(11, 4)
    left = figure.add_subplot(1, 2, 1)
    for name, norms, _ in found:
        norms[norms == 0] = np.nan                          # too small for a number: no point
        left.semilogy(np.arange(1, LAYERS + 1), norms, marker='.', label=name)
    left.set_xlabel('hidden layer')
    left.set_ylabel('‖∂C/∂h‖')
    left.legend()
    left.grid(alpha=0.3)
    for i, (name, _, weights) in enumerate((found[1], found[-1])):
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
