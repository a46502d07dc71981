"""The objectives: functions from the two networks and their inputs to the two losses.

Each objective builds its equations as CNTK graphs and returns `Losses`. Losses have one number for
each sample; a trainer takes their mean. OBJECTIVES is the table of them.

Arguments of all: generator, critic: functions as in models.py; latent: z, (latent_size,); real: x;
fake: x̃ = G(z), both (3, S, S). They are CNTK variables or Functions with a batch axis. If x̃ is a
Function, its gradient must be stopped.
"""

import inspect
from collections import namedtuple

from wgan.machine.cntk import C
from wgan.training.optimizers import Adam, RmsProp

import numpy as np

# critic_loss, generator_loss: what the two trainers minimise. The second may depend on x too.
# logged: the values to log for a critic update, by name.
# draws: {further input of the losses: function(rng, real images (N, 3, S, S)) that draws it}.
Losses = namedtuple('Losses', 'critic_loss generator_loss logged draws')


def wgan_gp(generator, critic, latent, real, fake, penalty_weight=10.0, one_sided=False):
    """WGAN with gradient penalty: Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028

    critic loss      L = E[C(x̃)] − E[C(x)] + λ E[(‖∇C(x̂)‖₂ − 1)²],  x̂ = εx + (1 − ε)x̃    (eq. 3)
    generator loss  −E[C(G(z))]                                                   (algorithm 1)

    penalty_weight: λ. ε is drawn evenly from [0, 1] for each sample. The norm is that of each
    sample, over all its pixels and colours. The penalty is a graph of the critic's weights
    (symbolic_gradient.py). As a number it would have no gradient and train nothing.

    one_sided: λ E[(‖∇C(x̂)‖₂ − 1)₊²] instead, which lets smaller norms be: section 4 there, and
    Petzka et al. 2018, https://arxiv.org/abs/1709.08894.
    """
    epsilon = C.input_variable((1, 1, 1), name='epsilon')
    wasserstein = critic(real) - critic(fake)
    norm = gradient_norm(critic, epsilon * real + (1 - epsilon) * fake)
    penalty = _penalty(norm, one_sided)
    return Losses(penalty_weight * penalty - wasserstein, -critic(generator(latent)),
                  {'GP': penalty, 'wasserstein': wasserstein, 'grad_norm': norm},
                  {epsilon: _even})


def wgan(generator, critic, latent, real, fake):
    """WGAN with clipped weights: Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875

    critic loss      E[C(x̃)] − E[C(x)]                                   (algorithm 1, line 5)
    generator loss  −E[C(G(z))]                                          (line 10)

    optimizers.RmsProp clips the weights, which bounds the critic's gradient. The difference of the
    scores is the Wasserstein distance times this unknown bound.
    """
    wasserstein = critic(real) - critic(fake)
    return Losses(-wasserstein, -critic(generator(latent)), {'wasserstein': wasserstein}, {})


def gan(generator, critic, latent, real, fake, minimax=False):
    """The original GAN: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661

    D(x) = σ(C(x)), the probability that x is real, with the critic's score as its logit.
    critic loss     −E[log D(x)] − E[log(1 − D(x̃))]                       (eq. 1)
    generator loss  −E[log D(G(z))]; with minimax E[log(1 − D(G(z)))]     (section 3; eq. 1)

    −log σ(s) = log(1 + exp(−s)) is computed as softplus, which neither overflows nor loses digits.
    """
    real_score, fake_score, score = critic(real), critic(fake), critic(generator(latent))
    return Losses(
        C.softplus(-real_score) + C.softplus(fake_score),
        -C.softplus(score) if minimax else C.softplus(-score),
        {'D_real': C.sigmoid(real_score), 'D_fake': C.sigmoid(fake_score)}, {})


def dragan(generator, critic, latent, real, fake, penalty_weight=10.0, minimax=False,
           one_sided=False):
    """DRAGAN: Kodali et al. 2017, https://arxiv.org/abs/1705.07215

    critic loss      that of `gan` + λ E[(‖∇C(x̂)‖₂ − 1)²],  x̂ = x + ε δ         (eq. 1)
    generator loss   that of `gan`

    The penalty acts around the real images: δ is drawn evenly from 0 to half of the minibatch's
    standard deviation, for each number of an image, and ε evenly from [0, 1] for each sample, as
    in the authors' code. penalty_weight: λ. one_sided: as in `wgan_gp`.
    """
    epsilon = C.input_variable((1, 1, 1), name='epsilon')
    delta = C.input_variable(real.shape, name='delta')
    plain = gan(generator, critic, latent, real, fake, minimax)
    norm = gradient_norm(critic, real + epsilon * delta)
    penalty = _penalty(norm, one_sided)
    return Losses(plain.critic_loss + penalty_weight * penalty, plain.generator_loss,
                  dict(plain.logged, GP=penalty, grad_norm=norm),
                  {epsilon: _even, delta: _half_a_deviation})


def gan_r1(generator, critic, latent, real, fake, gamma):
    """The original GAN with the penalty R1: Mescheder et al. 2018, https://arxiv.org/abs/1801.04406

    critic loss      that of `gan` + γ/2 E[‖∇C(x)‖₂²]           (section 4.1, eq. 9)
    generator loss  −E[log D(G(z))]

    Only the real images are penalised, and the gradient is to be 0 there: near the data's
    distribution the critic then stops pushing the generator to and fro. gamma: γ.
    """
    real_score, fake_score = critic(real), critic(fake)
    r1 = squared_gradient_norm(real_score, real)
    return Losses(
        C.softplus(-real_score) + C.softplus(fake_score) + gamma / 2 * r1,
        C.softplus(-critic(generator(latent))),
        {'D_real': C.sigmoid(real_score), 'D_fake': C.sigmoid(fake_score), 'R1': r1}, {})


def r3gan(generator, critic, latent, real, fake, gamma):
    """R3GAN, a relativistic GAN with two penalties: Huang et al. 2024,
    https://arxiv.org/abs/2501.05441

    critic loss      E[log(1 + exp(C(x̃) − C(x)))] + γ/2 E[‖∇C(x)‖₂² + ‖∇C(x̃)‖₂²]
    generator loss   E[log(1 + exp(C(x) − C(G(z))))]               (section 2: RpGAN + R1 + R2)

    Each generated image is compared with a real one, in both losses. gamma: γ.
    """
    real_score, fake_score = critic(real), critic(fake)
    difference = real_score - fake_score
    r1, r2 = squared_gradient_norm(real_score, real), squared_gradient_norm(fake_score, fake)
    # stop_gradient avoids a backward pass for the real image's score.
    lead = critic(generator(latent)) - C.stop_gradient(critic(real))
    return Losses(C.softplus(-difference) + gamma / 2 * (r1 + r2), C.softplus(-lead),
                  {'score_difference': difference, 'R1': r1, 'R2': r2}, {})


def sn_gan(generator, critic, latent, real, fake):
    """SN-GAN: Miyato et al. 2018, https://arxiv.org/abs/1802.05957

    critic loss      E[(1 − C(x))₊] + E[(1 + C(x̃))₊]            (eq. 16)
    generator loss  −E[C(G(z))]                                  (eq. 17)

    What bounds the critic's gradient is the spectral normalisation of its weights: models.py.
    """
    real_score, fake_score = critic(real), critic(fake)
    return Losses(C.relu(1 - real_score) + C.relu(1 + fake_score), -critic(generator(latent)),
                  {'score_difference': real_score - fake_score}, {})


def ls_gan(generator, critic, latent, real, fake, margin_weight=2e-4):
    """Loss-sensitive GAN: Qi 2017, https://arxiv.org/abs/1701.06264

    critic loss      E[(λ‖x − x̃‖₁ + C(x̃) − C(x))₊]     (section 3: S, without its first term)
    generator loss  −E[C(G(z))]                         (section 3: T)

    The paper's loss of an image is −C here. A real image should score higher than a generated one
    by a margin that grows with their distance; pairs that satisfy this have no loss. As in CNTK's
    tutorial 206 C, λ is the weight of the margin (margin_weight), the distance is a sum over all
    numbers of an image, and S lacks its first term, −E[C(x)].
    """
    margin = margin_weight * C.times(C.abs(real - fake), C.constant(1, real.shape + (1,)))
    difference = critic(real) - critic(fake)
    return Losses(C.relu(margin - difference), -critic(generator(latent)),
                  {'score_difference': difference, 'margin': margin}, {})


def _penalty(norm, one_sided):
    return C.square(C.relu(norm - 1) if one_sided else norm - 1)


def gradient_norm(critic, image):
    """‖∇C(image)‖₂ of each sample, (1,), as a graph that can be trained through."""
    # The root has no derivative at 0. 1e-12 is far below what float32 resolves next to 1.
    return C.sqrt(squared_gradient_norm(critic(image), image) + 1e-12)


def squared_gradient_norm(score, image):
    """‖∂score/∂image‖₂² of each sample, (1,), as a graph that can be trained through."""
    from symbolic_gradient import gradient              # here, since it loads CNTK
    grad = gradient(score, image)
    return C.times(C.square(grad), C.constant(1, grad.shape + (1,), grad.dtype))


def _even(rng, real):
    return rng.uniform(0, 1, (len(real), 1, 1, 1)).astype(np.float32)


def _half_a_deviation(rng, real):
    return (0.5 * real.std() * rng.uniform(0, 1, real.shape)).astype(np.float32)


# losses: one of the functions above. normalization: of the critic, as in the papers; by sample
# where its gradient is penalised. optimizer: of both networks. settings: {setting: default}. The
# defaults are the article's for wgan-gp, the WGAN paper's for wgan, those of CNTK's tutorial 206 C
# for ls-gan, StyleGAN2's β1 and β2 where the gradient is to be 0 (https://arxiv.org/abs/1912.04958,
# appendix B), those of the SN-GAN paper's residual networks for sn-gan, DCGAN's for the others
# (https://arxiv.org/abs/1511.06434, section 4). `losses` and `optimizer` get the settings that are
# their parameters; the training loop uses the others. None stands for a default that follows from
# other options: options.py.
class Objective(namedtuple('Objective', 'losses normalization optimizer settings')):

    def build_losses(self, generator, critic, latent, real, fake, settings):
        """Returns the Losses. settings: a dict with at least the settings of this objective."""
        return self.losses(generator, critic, latent, real, fake,
                           **_settings_of(self.losses, settings))

    def build_optimizer(self, parameters, settings):
        """Returns an optimiser of the parameters. settings: as above, and batch_size."""
        return self.optimizer(parameters, **_settings_of(self.optimizer, settings))


def _settings_of(function, settings):
    return {name: settings[name] for name in inspect.signature(function).parameters
            if name in settings}


OBJECTIVES = {
    'wgan-gp': Objective(wgan_gp, 'layer', Adam, dict(
        n_critic=5, learning_rate=1e-4, beta1=0.0, beta2=None, penalty_weight=10.0,
        one_sided=False)),
    'wgan': Objective(wgan, 'batch', RmsProp, dict(
        n_critic=5, n_critic_boost=0, learning_rate=5e-5, clip=0.01)),
    'gan': Objective(gan, 'batch', Adam, dict(
        n_critic=1, learning_rate=2e-4, beta1=0.5, beta2=0.999, minimax=False)),
    'dragan': Objective(dragan, 'layer', Adam, dict(
        n_critic=1, learning_rate=2e-4, beta1=0.5, beta2=0.999, penalty_weight=10.0,
        minimax=False, one_sided=False)),
    'gan-r1': Objective(gan_r1, 'layer', Adam, dict(
        n_critic=1, learning_rate=2e-4, beta1=0.0, beta2=0.99, gamma=None)),
    'r3gan': Objective(r3gan, 'layer', Adam, dict(
        n_critic=1, learning_rate=2e-4, beta1=0.0, beta2=0.99, gamma=None)),
    'sn-gan': Objective(sn_gan, 'spectral', Adam, dict(
        n_critic=5, learning_rate=2e-4, beta1=0.0, beta2=0.9)),
    'ls-gan': Objective(ls_gan, 'batch', Adam, dict(
        n_critic=1, learning_rate=1e-4, beta1=0.5, beta2=0.999, margin_weight=2e-4,
        weight_decay=5e-5)),
}
