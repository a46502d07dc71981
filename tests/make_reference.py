"""Compute reference.npz with PyTorch, in float64, for training/test_objectives.py.

    pip install torch numpy          # any current Python
    python tests/make_reference.py

The penalty is differentiated by PyTorch's double backward.
"""

import os

import numpy as np
import torch

from reference_critic import Critic

IMAGE, WIDTH, BATCH, WEIGHT = 64, 4, 3, 10.0        # a narrow critic keeps the file small

rng = np.random.RandomState(20170331)
real, fake = rng.uniform(-1, 1, (2, BATCH, 3, IMAGE, IMAGE))
epsilon = rng.uniform(0, 1, (BATCH, 1, 1, 1))
critic = Critic(IMAGE, WIDTH, rng, 0.2, 0.2)

x, x_fake, e = torch.tensor(real), torch.tensor(fake), torch.tensor(epsilon)
slope = critic.slope((e * x + (1 - e) * x_fake).requires_grad_())
norm = slope.flatten(1).norm(dim=1)
penalty = ((norm - 1) ** 2).mean()
wasserstein = critic(x).mean() - critic(x_fake).mean()
loss = WEIGHT * penalty - wasserstein

results = {'norm': norm, 'penalty': penalty, 'slope': slope[0],
           'wasserstein': wasserstein, 'loss': loss}
for key, value in critic.weights.items():
    results['value ' + key] = value
for target in ('penalty', 'loss'):
    for key, gradient in critic.gradients(results[target]).items():
        results['%s by %s' % (target, key)] = gradient

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'reference.npz')
np.savez_compressed(path, **{k: v.detach().numpy() for k, v in results.items()})
print('wrote %s, %d bytes' % (path, os.path.getsize(path)))
