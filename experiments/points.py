"""Points for the objectives: data sets, small networks, a critic against a fixed generator.

The objectives take images. A point is an image of one pixel whose colours are the coordinates:
(2, 1, 1) in the plane, (1, 1, 1) on a line.
"""

import _root  # noqa: F401
from wgan.machine.command_line import Parser, check_outputs, number
from wgan.machine.cntk import C
from wgan.machine.device import select_device
from wgan.generators.evaluation import data_input
from wgan.training.layers import spectral_normalization
from wgan.training.objectives import OBJECTIVES
from wgan.pictures.plotting import check_plot
from wgan.training.updates import trainer

import numpy as np

DEVIATION = 0.05                                # of each mode
EIGHT = np.array([(np.cos(a), np.sin(a)) for a in np.arange(8) * np.pi / 4])
TWENTY_FIVE = np.array([(x, y) for x in np.linspace(-1, 1, 5) for y in np.linspace(-1, 1, 5)])


def gaussians(centres):
    """A function draw(rng, count) → points (count, 2), of modes of equal weight."""
    def draw(rng, count):
        chosen = centres[rng.randint(len(centres), size=count)]
        return chosen + DEVIATION * rng.standard_normal((count, 2))
    return draw


def swiss_roll(rng, count):
    angle = 1.5 * np.pi * (1 + 2 * rng.rand(count))
    return angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) / 15


def as_images(points):
    """(N, K) → float32 (N, K, 1, 1)."""
    return np.asarray(points, np.float32).reshape(len(points), -1, 1, 1)


def modes_found(samples, centres, deviation=DEVIATION, reach=3):
    """(how many modes the samples found, which part of the samples lies on a mode).

    A sample lies on a mode within `reach` deviations of its centre: of the modes' own samples
    1 − exp(−reach² / 2) do, 98.9 % at 3. A mode is found by a tenth of the samples that are its
    share. samples: (N, 2). centres: (K, 2), further apart than 2 · reach deviations.
    """
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    on_mode = distances < reach * deviation
    is_found = on_mode.sum(axis=0) >= 0.1 * len(samples) / len(centres)
    return int(is_found.sum()), on_mode.mean(axis=0).sum()


def network(name, shape, result, seed, hidden=(64, 64, 64), activation=None, objective='gan'):
    """A fully connected network from the input `name`, of the shape `shape`, to `result`.

    objective: the layers have spectral normalisation if its critics do.
    """
    spectral = OBJECTIVES[objective].normalization == 'spectral'
    x, rng = C.input_variable(shape, name=name), np.random.RandomState(seed)
    one = C.reconcile_dynamic_axes(C.constant(1, 1), x)

    def dense(h, size):
        weights = np.sqrt(2 / h.shape[0]) * rng.standard_normal((h.shape[0], size))
        weights = C.parameter(init=weights.astype(np.float32))
        if spectral:
            weights = spectral_normalization(weights, h.shape[0])
        # The bias as a product with 1: CNTK is slow where it adds unequal shapes.
        return (C.times(h, weights)
                + C.times(one, C.parameter((1, size), init=0)))

    h = C.reshape(x, (int(np.prod(shape)),))
    for size in hidden:
        h = (activation or C.relu)(dense(h, size))
    return C.reshape(dense(h, int(np.prod(result))), result)


def settings_of(objective, **settings):
    """The objective's settings, with those of `settings` that it has."""
    return {name: settings.get(name, default)
            for name, default in OBJECTIVES[objective].settings.items()}


class HeldGenerator:
    """Critic updates against a fixed generator: the caller passes both sets of points.

    losses: the objective's, where the generated points stand in for the generator.
    """

    def __init__(self, objective, critic, batch_size, settings):
        shape = data_input(critic).shape
        self.real, self.fake = (C.input_variable(shape, name=name) for name in ('real', 'fake'))
        row = OBJECTIVES[objective]
        self.losses = row.build_losses(lambda x: x, critic, self.fake, self.real, self.fake,
                                       settings)
        self.logged = self.losses.logged
        self.trainer = trainer(
            self.losses.critic_loss, list(self.logged.values()),
            row.build_optimizer(critic.parameters, dict(settings, batch_size=batch_size)))

    def update(self, real, fake, rng):
        """real, fake: points (N, K). Returns the critic's loss and what is logged, by name."""
        real, fake = as_images(real), as_images(fake)
        feed = {variable: draw(rng, real) for variable, draw in self.losses.draws.items()}
        feed.update({self.real: real, self.fake: fake})
        _, values = self.trainer.train_minibatch(feed, outputs=list(self.logged.values()))
        return dict({name: float(np.mean(values[f])) for name, f in self.logged.items()},
                    C_loss=self.trainer.previous_minibatch_loss_average)


def read_options(description, out, iterations, add_options=lambda parser: None):
    """The command line of an experiment that writes one figure."""
    parser = Parser(description=description)
    parser.add_argument('--out', default=out, help='image to write')
    parser.add_argument('--iterations', type=number(int, 1), default=iterations, help='of each')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_options(parser)
    options = parser.parse_args()
    check_plot(options.out)
    check_outputs(options.out, force=options.force)
    options.device = select_device('auto')
    return options
