"""From the two networks and their inputs to the two losses.

Each objective is a function that writes its equations down as CNTK graphs and returns an
`Objective`. All of its numbers are one for each sample; a trainer takes their mean.
"""

from collections import namedtuple

import cntk as C

from symbolic_gradient import gradient

# critic_loss, generator_loss: what the two trainers make small.
# penalty, wasserstein, gradient_norm: what is logged of a critic update.
Objective = namedtuple('Objective',
                       'critic_loss generator_loss penalty wasserstein gradient_norm')


def wgan_gp(generator, critic, latent, real, fake, epsilon, penalty_weight=10.0):
    """WGAN with gradient penalty: Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028

    critic loss      L = E[C(x̃)] − E[C(x)] + λ E[(‖∇C(x̂)‖₂ − 1)²],  x̂ = εx + (1 − ε)x̃    (eq. 3)
    generator loss  −E[C(G(z))]                                                   (algorithm 1)

    generator, critic: functions as in models.py.
    latent: z, (latent_size,). real: x, fake: x̃ = G(z), both (3, S, S). epsilon: ε, (1, 1, 1),
        drawn uniformly from [0, 1] for each sample. All are CNTK variables with a batch axis.
    penalty_weight: λ.

    The norm is taken for each sample, over all its pixels and colours. x̃ is an input, already
    computed, and the same in all terms: a critic update does no work for the generator. The
    penalty is a graph of the critic's weights (symbolic_gradient.py), which is what trains them
    to keep the slope at 1; fed in as a number it would train nothing.
    """
    wasserstein = critic(real) - critic(fake)
    between = epsilon * real + (1 - epsilon) * fake
    norm = gradient_norm(critic, between)
    penalty = C.square(norm - 1)
    return Objective(critic_loss=penalty_weight * penalty - wasserstein,
                     generator_loss=-critic(generator(latent)),
                     penalty=penalty, wasserstein=wasserstein, gradient_norm=norm)


def gradient_norm(critic, image):
    """‖∇C(image)‖₂ of each sample, (1,), as a graph that can be trained through."""
    slope = gradient(critic(image), image)
    squares = C.reduce_sum(C.square(slope), axis=(0, 1, 2))
    # The root has no derivative at 0. 1e-12 is far below what float32 resolves next to 1.
    return C.sqrt(C.reshape(squares, (1,)) + 1e-12)
