"""Compute penalties.npz with PyTorch, in float64: what experiments/penalties.py is held against.

    pip install torch numpy          # any current Python
    python tests/make_penalties_reference.py

It shares no code with the project. The gradient of the critic's loss with respect to its
parameters, for each of four penalties. The images differ in contrast, so that the gradient norm is
below 1 for some and above for others.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

IMAGE, WIDTH, BATCH, WEIGHT, STEP = 32, 4, 4, 10.0, 0.01

rng = np.random.RandomState(20170720)
contrast = np.array([0.1, 0.5, 1, 2]).reshape(-1, 1, 1, 1)
real, fake = contrast * rng.uniform(-1, 1, (2, BATCH, 3, IMAGE, IMAGE))
inputs = {name: value.astype(np.float32) for name, value in (       # single precision: a small file
    ('real', real), ('fake', fake), ('epsilon', rng.uniform(0, 1, (BATCH, 1, 1, 1))),
    ('direction', rng.standard_normal((BATCH, 3, IMAGE, IMAGE))))}

# Weights by (name as in CNTK's layers, shape): no two parameters of this critic share both.
weights = {}


def weight(name, shape, mean, deviation):
    value = torch.tensor(rng.normal(mean, deviation, shape), requires_grad=True)
    weights[name + ' ' + 'x'.join(map(str, shape))] = value
    return value


layers, channels = [], 3
for maps in (WIDTH, 2 * WIDTH, 4 * WIDTH):
    layer = {'W': weight('W', (maps, channels, 3, 3), 0, 0.1),
             'b': weight('b', (maps, 1, 1), 0, 0.1)}
    if channels != 3:
        layer.update(gain=weight('gain', (maps, 1, 1), 1, 0.2),
                     bias=weight('bias', (maps, 1, 1), 0, 0.2))
    layers.append(layer)
    channels = maps
head = {'W': weight('W', (channels, 4, 4, 1), 0, 0.09), 'b': weight('b', (1,), 0, 0.2)}


def critic(x):
    for layer in layers:
        # CNTK pads one pixel more on the lower side when it halves an even size.
        x = F.conv2d(F.pad(x, (1, 0, 1, 0)), layer['W'], layer['b'].flatten(), stride=2)
        if 'gain' in layer:
            x = F.group_norm(x, 1, layer['gain'].flatten(), layer['bias'].flatten(), eps=1e-5)
        x = F.leaky_relu(x, 0.2)
    return (x.flatten(1) @ head['W'].flatten(0, 2) + head['b']).flatten()


x, x_fake, e, r = (torch.tensor(value, dtype=torch.float64) for value in inputs.values())
between = (e * x + (1 - e) * x_fake).requires_grad_()
slope, = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
norm = slope.flatten(1).norm(dim=1)
difference = (critic(between + STEP * r) - critic(between - STEP * r)) / (2 * STEP)
wasserstein = critic(x).mean() - critic(x_fake).mean()

penalties = {
    'fed as a number': torch.zeros(()),
    'finite difference': ((difference.abs() - 1) ** 2).mean(),
    'exact, two-sided': ((norm - 1) ** 2).mean(),
    'exact, one-sided': (F.relu(norm - 1) ** 2).mean(),
}
results = dict(inputs, norm=norm.detach().numpy())
results.update(('value ' + key, value.detach().numpy()) for key, value in weights.items())
for name, penalty in penalties.items():
    gradients = torch.autograd.grad(WEIGHT * penalty - wasserstein, list(weights.values()),
                                    retain_graph=True, allow_unused=True)
    for (key, value), gradient in zip(weights.items(), gradients):
        # The score's additive constant has no part in any loss.
        results['%s by %s' % (name, key)] = (
            torch.zeros_like(value) if gradient is None else gradient).numpy()

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'penalties.npz')
np.savez_compressed(path, **results)
print('norms %s; wrote %s, %d bytes' % (results['norm'].round(2), path, os.path.getsize(path)))
