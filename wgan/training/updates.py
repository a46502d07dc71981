"""The two updates that train the two networks of a run.

An iteration is n_critic critic updates and one generator update: algorithm 1 of Gulrajani et al.
2017, https://arxiv.org/abs/1704.00028, and of Arjovsky et al. 2017,
https://arxiv.org/abs/1701.07875.
"""

from wgan.machine import processes
from wgan.training.augmentation import Augmentation, Probability, Unchanged
from wgan.machine.cntk import C, quiet
from wgan.generators.evaluation import (
    data_input, evaluate_in_training, label_input, latent_input, running_statistics)
from wgan.datasets.labels import draw_labels
from wgan.training.layers import PowerIteration
from wgan.training.moving_average import MovingAverage

import numpy as np


# Logged values that are also computed for held-out images.
JUDGEMENTS = ('wasserstein', 'D_real', 'score_difference')


class Updates:
    """One training iteration. Only the real images and the random draws come from the host.

    generator, critic: the networks.
    sample_generator: the generator for samples: the moving average, if there is one.
    trainers: CNTK's trainers, by the name of their network.
    columns: names of the numbers that `row` returns.
    """

    def __init__(self, generator, critic, objective, batch_size, rng, *, ema=0.0, augment=False,
                 augment_target=None, augment_probability=None, hold_out=False, label_counts=(),
                 **settings):
        """objective: a row of OBJECTIVES. settings: values for its settings.
        batch_size: of all processes together. rng: the RandomState to draw from. ema: decay of the
        moving average of the generator's weights, per update; 0: none. augment: whether the critic
        sees all images through an Augmentation. augment_target, augment_probability: target and
        value of its Probability; the target needs hold_out. hold_out: whether
        `judge_held_out` will be called in each iteration. label_counts: number of images of each
        label, for networks with labels. Labels of generated images are drawn with these
        frequencies.
        """
        self.generator, self.critic = generator, critic
        self.rng, self.batch_size, self.label_counts = rng, batch_size, label_counts
        self.average = MovingAverage(generator, ema) if ema else None
        self.power_iteration = PowerIteration(critic)
        self.sample_generator = self.average.generator if self.average else generator

        self.latent, self.label = latent_input(generator), label_input(generator)
        judged = data_input(critic)
        self.real = C.input_variable(judged.shape, name='real')
        self.augmented = Probability(augment_target, augment_probability)
        of_real, of_fake = (Augmentation(self.real.shape, self.augmented) if augment
                            else Unchanged() for _ in range(2))
        label_argument = {'label': self.label} if self.label is not None else {}
        # What depends on the critic's parameters only is computed once for all that it judges.
        common = of_parameters(critic)
        if self.label is not None:
            common[label_input(critic)] = self.label

        def generate(latent):
            return of_fake(generator(latent=latent, **label_argument))

        def judge(sample):
            return critic.clone(C.CloneMethod.share, {**common, judged: sample})
        # The critic update generates its own fake images, with the labels of the real ones;
        # stop_gradient avoids a backward pass through the generator.
        fake = C.stop_gradient(generate(self.latent))
        self.losses = objective.build_losses(generate, judge, self.latent, of_real(self.real), fake,
                                             settings)
        self._critic_draws = dict(self.losses.draws)
        self._critic_draws.update(of_real.draws)
        self._critic_draws.update(of_fake.draws)
        needed = self.losses.generator_loss.arguments
        self._generator_draws = {variable: draw for variable, draw in self._critic_draws.items()
                                 if variable in needed}
        self._generator_sees_reals = self.real in needed
        self._reals = ()                    # those of the last critic update, and their labels
        self.logged = list(self.losses.logged.values())
        self._critic_rows = []              # logged values of the iteration's critic updates
        self._iteration_ended = False
        self.columns = ['G_loss', 'C_loss', *self.losses.logged]
        if hold_out:
            self._judged, self._judgement = next(item for item in self.losses.logged.items()
                                                 if item[0] in JUDGEMENTS)
            self.columns.append(self._judged + '_held_out')
        self._held_out_row = []             # and the probability of augmentation, if it adapts
        if self.augmented.target is not None:
            self.columns.append('augmented')

        settings = dict(settings, batch_size=batch_size)
        self._optimizers = {
            'critic': objective.build_optimizer(critic.parameters, settings),
            # Only the critic's weights are clipped.
            'generator': objective.build_optimizer(generator.parameters,
                                                   dict(settings, clip=None))}
        self.trainers = {
            'critic': trainer(self.losses.critic_loss, self.logged, self._optimizers['critic']),
            'generator': trainer(self.losses.generator_loss, [], self._optimizers['generator'])}

    def update_critic(self, reals, labels=None):
        """reals: the minibatch, float32: images (N, 3, S, S) in [-1, 1], or text. labels: one-hot,
        for networks with labels.
        """
        if self._iteration_ended:
            self._critic_rows, self._iteration_ended = [], False
        self.power_iteration.run()
        self._reals = reals, labels
        feed = self._feed(self._critic_draws, reals, labels)
        _, values = self.trainers['critic'].train_minibatch(feed, outputs=self.logged)
        self._critic_rows.append([self.trainers['critic'].previous_minibatch_loss_average]
                                 + [float(np.mean(values[f])) for f in self.logged])

    def judge_held_out(self, reals, labels=None):
        """Logs the critic's Wasserstein estimate, or its probability of being real, for held-out
        images.

        The gap to the training images shows how much the critic has memorised (Gulrajani et al.
        2017, section 5.4). No weight and no running statistic changes. The augmentation adapts, if
        it has a target.
        """
        statistics = running_statistics(self.generator) + running_statistics(self.critic)
        before = [p.value for p in statistics]
        feed = self._feed(self._critic_draws, reals, labels)
        values = evaluate_in_training(self._judgement, {
            variable: feed[variable] for variable in self._judgement.arguments})
        for p, value in zip(statistics, before):
            p.value = value
        self._held_out_row = [float(np.mean(values))]
        if self.augmented.target is not None:
            self._adapt(self._held_out_row[0])
            self._held_out_row.append(self.augmented.value)

    def _adapt(self, held_out):
        """Adapts the augmentation. held_out: the judgement of held-out images."""
        logged = dict(zip(self.losses.logged, np.mean(self._critic_rows, axis=0)[1:]))
        trained = logged[self._judged]
        # wasserstein and score_difference are distances; D_real is a score.
        distance = trained - logged['D_fake'] if 'D_fake' in logged else trained
        self.augmented.adapt(*processes.mean([trained - held_out, distance]), self.batch_size)

    def update_generator(self, step):
        """step: number of this update, counted from 1. A generator loss that needs real images gets
        those of the last critic update.
        """
        reals = self._reals if self._generator_sees_reals else ()
        self.trainers['generator'].train_minibatch(self._feed(self._generator_draws, *reals))
        self._iteration_ended = True
        if self.average:
            self.average.update(step)

    def row(self):
        """Returns the numbers of `columns`. Those of the critic are means over the iteration's
        critic updates. Each number is a mean over the minibatch.
        """
        return [self.trainers['generator'].previous_minibatch_loss_average,
                *np.mean(self._critic_rows, axis=0), *self._held_out_row]

    def arrays(self):
        """Returns the state that the trainers' checkpoints lack, as arrays by name."""
        arrays = self.average.arrays() if self.average else {}
        if self.augmented.target is not None:
            arrays['augmented'] = self.augmented.array()
        for name, optimizer in self._optimizers.items():
            arrays.update({name + '_' + key: value for key, value in optimizer.arrays().items()})
        return arrays

    def restore(self, arrays):
        """Inverse of `arrays`, after the trainers were restored."""
        if self.average:
            self.average.restore(arrays)
        if self.augmented.target is not None:
            self.augmented.restore(arrays['augmented'])
        for name, optimizer in self._optimizers.items():
            optimizer.restore({key[len(name) + 1:]: value for key, value in arrays.items()
                               if key.startswith(name + '_')})

    def networks(self):
        """Returns {file name: network}, without the best generator."""
        networks = {'wgan_generator.model': self.generator, 'wgan_critic.model': self.critic}
        if self.average:
            networks['wgan_generator_average.model'] = self.sample_generator
        return networks

    def _feed(self, draws, reals=None, labels=None):
        """Returns {input: array} for a loss: real images and labels, if any, and drawn values."""
        count = self.batch_size // processes.COUNT if reals is None else len(reals)
        latents = self.rng.standard_normal((count,) + self.latent.shape).astype(np.float32)
        feed = {self.latent: latents} if reals is None else {self.real: reals, self.latent: latents}
        if self.label is not None:
            feed[self.label] = (draw_labels(self.rng, count, self.label_counts) if reals is None
                                else labels)
        feed.update({variable: draw(self.rng, latents if reals is None else reals)
                     for variable, draw in draws.items()})
        return feed


def of_parameters(network):
    """Returns {v: v} for all v in the graph that depend on parameters only, the last ones of each
    path. `clone` copies the rest.
    """
    found, stack, seen = {}, [network.output], set()
    while stack:
        variable = stack.pop()
        if variable.is_output and variable.uid not in seen:
            if C.combine([variable]).arguments:
                stack.extend(variable.owner.inputs)
            else:
                found[variable] = variable
        seen.add(variable.uid)
    return found


def critic_updates(step, n_critic, boost=None):
    """Returns the number of critic updates in the iteration `step`, counted from 1.

    boost: the number in the first 25 iterations and in every 500th after them, as in the code of
    Arjovsky et al. 2017; 0 or None: n_critic.
    """
    return boost if boost and (step <= 25 or step % 500 == 1) else n_critic


def trainer(loss, logged, optimizer):
    """Returns a CNTK Trainer that minimises `loss` with the optimiser's weights only.

    logged: further outputs for its train_minibatch.
    """
    with quiet():                       # CNTK notes that the other network isn't trained
        return C.Trainer(C.combine([loss] + logged), (loss, None),
                         [processes.shared(optimizer.learner)])
