"""The two networks of a run, and the two updates that train them.

An iteration is n_critic critic updates and one generator update: algorithm 1 of Gulrajani et al.
2017, https://arxiv.org/abs/1704.00028, and of Arjovsky et al. 2017,
https://arxiv.org/abs/1701.07875.
"""

from wgan.cntk import C, quiet

import numpy as np

import models
from wgan import processes
from wgan.learners import RmsProp, adam
from wgan.moving_average import MovingAverage
from wgan.objectives import OBJECTIVES
from wgan.options import SETTINGS

# How the critic is normalised: the articles' way, but by sample where its gradient is penalised.
NORMALIZATION = {'wgan-gp': 'layer', 'wgan': 'batch', 'gan': 'batch', 'dragan': 'layer'}


class Updates:
    """What an iteration does, on the device but for the real pictures and the numbers drawn.

    generator, critic: the networks, as in models.py.
    shown: the generator to show pictures of: its moving average, if the options ask for one.
    trainers: CNTK's trainers, by the name of the network that they train.
    kept: what a checkpoint has to save beside them, each with `arrays` and `restore`.
    columns: names of the numbers that `row` gives.
    """

    def __init__(self, options, rng):
        """options: as wgan/options.py reads them. rng: the RandomState to draw from."""
        self.options, self.rng = options, rng
        # All processes begin with the same weights.
        seeds = rng if processes.COUNT == 1 else np.random.RandomState(options.seed)
        self.generator = models.generator(options.image_size, options.latent_size, options.width,
                                          seed=seeds.randint(2 ** 31))
        self.critic = models.critic(options.image_size, options.width,
                                    seed=seeds.randint(2 ** 31),
                                    normalization=NORMALIZATION[options.objective])
        self.average = MovingAverage(self.generator, options.ema) if options.ema else None
        self.shown = self.average.generator if self.average else self.generator
        self.kept = [self.average] if self.average else []

        self.latent = self.generator.arguments[0]
        self.real = C.input_variable(self.critic.arguments[0].shape, name='real')
        # A critic update makes its pictures, and is spared the generator's gradients.
        fake = C.stop_gradient(self.generator(self.latent))
        self.objective = build_objective(options, self.generator, self.critic, self.real, fake)
        self.logged = list(self.objective.logged.values())
        self._critic_rows = []              # what is logged of the iteration's critic updates
        self._iteration_ended = False
        self.columns = ['G_loss', 'C_loss', *self.objective.logged]
        self.trainers = {
            'critic': trainer(self.objective.critic_loss, self.logged, self.critic, 'critic',
                              options, self.kept),
            'generator': trainer(self.objective.generator_loss, [], self.generator, 'generator',
                                 options, self.kept)}

    def update_critic(self, reals):
        """reals: pictures of the minibatch, float32 (N, 3, S, S) in [-1, 1]."""
        if self._iteration_ended:
            self._critic_rows, self._iteration_ended = [], False
        feed = {self.real: reals, self.latent: self._draw_latents()}
        feed.update({variable: draw(self.rng, reals)
                     for variable, draw in self.objective.draws.items()})
        _, values = self.trainers['critic'].train_minibatch(feed, outputs=self.logged)
        self._critic_rows.append([self.trainers['critic'].previous_minibatch_loss_average]
                                 + [float(np.mean(values[f])) for f in self.logged])

    def update_generator(self, step):
        """step: which update this is, counted from 1."""
        self.trainers['generator'].train_minibatch({self.latent: self._draw_latents()})
        self._iteration_ended = True
        if self.average:
            self.average.update(step)

    def row(self):
        """The generator's loss, and the means over the iteration's critic updates of their loss
        and of what else the objective logs. Each number is a mean of the minibatch.
        """
        return [self.trainers['generator'].previous_minibatch_loss_average,
                *np.mean(self._critic_rows, axis=0)]

    def arrays(self):
        """What a checkpoint has to save beside the trainers, as arrays by name."""
        return {name: value for part in self.kept for name, value in part.arrays().items()}

    def set_learning_rate(self):
        """Take steps of the options' size again: CNTK restores that of a checkpoint.

        That of RMSProp is part of its graph, which a checkpoint does not have.
        """
        rate = self.options.learning_rate
        for learner in [t.parameter_learners[0] for t in self.trainers.values()]:
            if self.options.objective != 'wgan' and learner.learning_rate() != rate:
                learner.reset_learning_rate(C.learning_parameter_schedule(
                    rate, minibatch_size=C.learners.IGNORE))

    def _draw_latents(self):
        shape = self.options.batch_size // processes.COUNT, self.options.latent_size
        return self.rng.standard_normal(shape).astype(np.float32)


def build_objective(options, generator, critic, real, fake):
    """The objective that the options name, with those of its settings that are of the losses."""
    own = {name: getattr(options, name) for name in ('penalty_weight', 'minimax')
           if name in SETTINGS[options.objective]}
    latent = generator.arguments[0]
    return OBJECTIVES[options.objective](generator, critic, latent, real, fake, **own)


def trainer(loss, logged, network, name, options, kept):
    """A CNTK Trainer that makes `loss` small by changing the weights of `network` alone.

    logged: what else its train_minibatch is asked for. What its learner needs to have saved, and
    CNTK does not save, is appended to `kept`.
    """
    if options.objective == 'wgan':
        rmsprop = RmsProp(name, network.parameters, options.learning_rate, options.batch_size,
                          clip=options.clip if name == 'critic' else None)
        kept.append(rmsprop)
        learner = rmsprop.learner
    else:
        learner = adam(network.parameters, options.learning_rate, options.beta1, options.beta2)
    with quiet():                       # CNTK remarks that the other network isn't trained
        return C.Trainer(C.combine([loss] + logged), (loss, None), [processes.shared(learner)])
