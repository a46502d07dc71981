"""Compute reference.npz with PyTorch, in float64, for training/test_objectives.py.

    pip install torch numpy          # any current Python
    python tests/make_reference.py

It shares no code with the project: the critic of models.py is written again with PyTorch's own
layers, and the penalty is differentiated by PyTorch's double backward.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

IMAGE, WIDTH, BATCH, WEIGHT = 64, 4, 3, 10.0        # a narrow critic keeps the file small

rng = np.random.RandomState(20170331)
real, fake = rng.uniform(-1, 1, (2, BATCH, 3, IMAGE, IMAGE))
epsilon = rng.uniform(0, 1, (BATCH, 1, 1, 1))

# Weights by (name as in CNTK's layers, shape): no two parameters of this critic share both.
weights = {}


def weight(name, shape, mean, deviation):
    value = torch.tensor(rng.normal(mean, deviation, shape), requires_grad=True)
    weights[name + ' ' + 'x'.join(map(str, shape))] = value
    return value


layers, maps, channels = [], WIDTH, 3
while maps <= WIDTH * IMAGE // 8:
    layer = {'W': weight('W', (maps, channels, 3, 3), 0, 0.2),
             'b': weight('b', (maps, 1, 1), 0, 0.2)}
    if channels != 3:
        layer.update(gain=weight('gain', (maps, 1, 1), 1, 0.2),
                     bias=weight('bias', (maps, 1, 1), 0, 0.2))
    layers.append(layer)
    channels, maps = maps, maps * 2
head = {'W': weight('W', (channels, 4, 4, 1), 0, 0.2), 'b': weight('b', (1,), 0, 0.2)}


def critic(x):
    for layer in layers:
        # CNTK pads one pixel more on the lower side when it halves an even size.
        x = F.conv2d(F.pad(x, (1, 0, 1, 0)), layer['W'], layer['b'].flatten(), stride=2)
        if 'gain' in layer:
            x = F.group_norm(x, 1, layer['gain'].flatten(), layer['bias'].flatten(), eps=1e-5)
        x = F.leaky_relu(x, 0.2)
    return (x.flatten(1) @ head['W'].flatten(0, 2) + head['b']).flatten()


x, x_fake, e = torch.tensor(real), torch.tensor(fake), torch.tensor(epsilon)
between = (e * x + (1 - e) * x_fake).requires_grad_()
slope, = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
norm = slope.flatten(1).norm(dim=1)
penalty = ((norm - 1) ** 2).mean()
wasserstein = critic(x).mean() - critic(x_fake).mean()
loss = WEIGHT * penalty - wasserstein

results = {'norm': norm, 'penalty': penalty, 'slope': slope[0],
           'wasserstein': wasserstein, 'loss': loss}
for key, value in weights.items():
    results['value ' + key] = value
for target in ('penalty', 'loss'):
    gradients = torch.autograd.grad(results[target], list(weights.values()), retain_graph=True,
                                    allow_unused=True)
    for key, gradient in zip(weights, gradients):
        # The score's additive constant has no part in the slope.
        results['%s by %s' % (target, key)] = (
            torch.zeros_like(weights[key]) if gradient is None else gradient)

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'reference.npz')
np.savez_compressed(path, **{k: v.detach().numpy() for k, v in results.items()})
print('wrote %s, %d bytes' % (path, os.path.getsize(path)))
