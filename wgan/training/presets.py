"""Settings of papers and tutorials, and quick ones, by name.

--preset applies those that the user has not set. docs/presets.md lists them with the place in each
source.
"""

# CNTK's default β2 is for one sample (0.999 over 720 samples). A minibatch of N has this ^ N.
CNTK_BETA2_PER_SAMPLE = 0.999 ** (1 / 720)

_UNVARIED = dict(brightness=0.0, contrast=0.0, saturation=0.0, mirror=False, ema=0.0)
_ARTICLE = dict(image_size=256, width=32, latent_size=100, iterations=50000, batch_size=16,
                beta2=CNTK_BETA2_PER_SAMPLE ** 16, brightness=0.2, contrast=0.2, saturation=0.2,
                mirror=False, ema=0.0)
_TUTORIAL = dict(_UNVARIED, image_size=32, width=64, latent_size=100, iterations=20000,
                 batch_size=64)

_WGAN_GP_PAPER = dict(_UNVARIED, objective='wgan-gp', network='resnet', latent_size=128,
                      batch_size=64, n_critic=5, beta1=0.0, beta2=0.9, penalty_weight=10.0)

PRESETS = {
    # This project's own, for a CPU: docs/objectives.md has the measurements
    'quick': dict(objective='wgan-gp', n_critic=1, learning_rate=2e-4, beta1=0.0, beta2=0.99,
                  penalty_weight=10.0),
    # 'GAN: DCGAN Part3 - Understanding Wasserstein GAN', and its Part 2
    'article': dict(_ARTICLE, objective='wgan-gp', n_critic=5, learning_rate=1e-4, beta1=0.0,
                    penalty_weight=10.0),
    'article-part2': dict(_ARTICLE, objective='gan', n_critic=1, learning_rate=1e-4, beta1=0.5),
    # CNTK's tutorial 206 C
    'cntk-206c-wgan': dict(_TUTORIAL, objective='wgan', n_critic=5, n_critic_boost=100,
                           learning_rate=5e-5, clip=0.01),
    'cntk-206c-ls-gan': dict(_TUTORIAL, objective='ls-gan', n_critic=1, learning_rate=1e-4,
                             beta1=0.5, beta2=0.999, margin_weight=2e-4, weight_decay=5e-5),
    # CNTK's tutorial 206 B, with β2 for a minibatch
    'cntk-206b': dict(_TUTORIAL, objective='gan', batch_size=128, n_critic=1, learning_rate=2e-4,
                      beta1=0.5, beta2=0.999),
    # Arjovsky et al. 2017, algorithm 1 and the authors' code
    'wgan-paper': dict(_UNVARIED, objective='wgan', image_size=64, width=64, latent_size=100,
                       batch_size=64, n_critic=5, n_critic_boost=100, learning_rate=5e-5,
                       clip=0.01),
    # Gulrajani et al. 2017, algorithm 1 and the authors' code (gan_64x64.py)
    'wgan-gp-paper': dict(_WGAN_GP_PAPER, image_size=64, width=64, iterations=200000,
                          learning_rate=1e-4),
    # The same for CIFAR-10 (gan_cifar_resnet.py), without labels
    'wgan-gp-cifar10': dict(_WGAN_GP_PAPER, image_size=32, width=128, iterations=100000,
                            learning_rate=2e-4),
    # The same authors' gan_language.py
    'gan-language': dict(text=True, objective='wgan-gp', length=32, long_lines='cut', width=512,
                         latent_size=128, iterations=200000, batch_size=64, n_critic=10,
                         learning_rate=1e-4, beta1=0.5, beta2=0.9, penalty_weight=10.0, ema=0.0),
}
