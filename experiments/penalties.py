"""Four ways to write the gradient penalty of WGAN-GP in CNTK, as rows like those of OBJECTIVES.

Each is written as a user of CNTK would write it; only the exact ones are those of the suite.
"""

import _root  # noqa: F401
from wgan.machine.cntk import C
from wgan.training.objectives import OBJECTIVES

import numpy as np

WGAN_GP = OBJECTIVES['wgan-gp']
STEP = 0.01                     # of the difference; https://arxiv.org/abs/2501.08316, for images


def fed_as_number(generator, critic, latent, real, fake, penalty_weight):
    """The penalty is a number: its value counts, its gradient is zero."""
    losses = WGAN_GP.losses(generator, critic, latent, real, fake, penalty_weight)
    penalty = C.stop_gradient(losses.logged['GP'])
    return losses._replace(
        critic_loss=penalty_weight * penalty - losses.logged['wasserstein'])


def finite_difference(generator, critic, latent, real, fake, penalty_weight):
    """The norm is estimated from two scores, as CNTK's maintainers advise (CNTK issue 2140):

    d = (C(x̂ + hr) − C(x̂ − hr)) / 2h,  r ~ N(0, I),  penalty (|d| − 1)²

    d is r·∇C(x̂), and E[d²] = ‖∇C(x̂)‖². One r is drawn for each sample.
    """
    losses = WGAN_GP.losses(generator, critic, latent, real, fake, penalty_weight)
    (epsilon, _), = losses.draws.items()
    direction = C.input_variable(real.shape, name='direction')
    between = epsilon * real + (1 - epsilon) * fake
    difference = critic(between + STEP * direction) - critic(between - STEP * direction)
    penalty = C.square(C.abs(difference / (2 * STEP)) - 1)
    wasserstein = losses.logged['wasserstein']
    return losses._replace(
        critic_loss=penalty_weight * penalty - wasserstein,
        logged={'GP': penalty, 'wasserstein': wasserstein},
        draws={**losses.draws,
               direction: lambda rng, real: rng.standard_normal(real.shape).astype('f')})


def one_sided(generator, critic, latent, real, fake, penalty_weight):
    """--one-sided, whatever the options say."""
    return WGAN_GP.losses(generator, critic, latent, real, fake, penalty_weight, one_sided=True)


PENALTIES = {
    'fed as a number': WGAN_GP._replace(losses=fed_as_number),
    'finite difference': WGAN_GP._replace(losses=finite_difference),
    'exact, two-sided': WGAN_GP,
    'exact, one-sided': WGAN_GP._replace(losses=one_sided),
}


def loss_gradients(row, critic, shape):
    """A function: data → the gradient of the critic's loss, the mean of a minibatch, by parameter.

    data: by name, the real and generated images, and what the loss draws (epsilon, direction).
    shape: of an image.
    """
    with C.default_options(dtype=critic.output.dtype):
        real, fake = (C.input_variable(shape, name=name) for name in ('real', 'fake'))
        loss = row.losses(lambda x: x, critic, fake, real, fake, 10.0).critic_loss

    def gradients(data):
        feed = {x: data[x.name].astype(x.dtype) for x in loss.arguments}
        found = loss.grad(feed, wrt=list(critic.parameters))
        return {p: gradient / np.float64(len(data['real'])) for p, gradient in found.items()}
    return gradients
