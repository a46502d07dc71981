"""Compute penalties.npz with PyTorch, in float64: what experiments/penalties.py is held against.

    pip install torch numpy          # any current Python
    python tests/make_penalties_reference.py

The gradient of the critic's loss with respect to its
parameters, for each of four penalties. The images differ in contrast, so that the gradient norm is
below 1 for some and above for others.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

from reference_critic import Critic

IMAGE, WIDTH, BATCH, WEIGHT, STEP = 32, 4, 4, 10.0, 0.01

rng = np.random.RandomState(20170720)
contrast = np.array([0.1, 0.5, 1, 2]).reshape(-1, 1, 1, 1)
real, fake = contrast * rng.uniform(-1, 1, (2, BATCH, 3, IMAGE, IMAGE))
inputs = {name: value.astype(np.float32) for name, value in (       # single precision: a small file
    ('real', real), ('fake', fake), ('epsilon', rng.uniform(0, 1, (BATCH, 1, 1, 1))),
    ('direction', rng.standard_normal((BATCH, 3, IMAGE, IMAGE))))}

critic = Critic(IMAGE, WIDTH, rng, 0.1, 0.09)
x, x_fake, e, r = (torch.tensor(value, dtype=torch.float64) for value in inputs.values())
between = (e * x + (1 - e) * x_fake).requires_grad_()
norm = critic.slope(between).flatten(1).norm(dim=1)
difference = (critic(between + STEP * r) - critic(between - STEP * r)) / (2 * STEP)
wasserstein = critic(x).mean() - critic(x_fake).mean()

penalties = {
    'fed as a number': torch.zeros(()),
    'finite difference': ((difference.abs() - 1) ** 2).mean(),
    'exact, two-sided': ((norm - 1) ** 2).mean(),
    'exact, one-sided': (F.relu(norm - 1) ** 2).mean(),
}
results = dict(inputs, norm=norm.detach().numpy())
results.update(('value ' + key, value.detach().numpy()) for key, value in critic.weights.items())
for name, penalty in penalties.items():
    for key, gradient in critic.gradients(WEIGHT * penalty - wasserstein).items():
        results['%s by %s' % (name, key)] = gradient.numpy()

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'penalties.npz')
np.savez_compressed(path, **results)
print('norms %s; wrote %s, %d bytes' % (results['norm'].round(2), path, os.path.getsize(path)))
