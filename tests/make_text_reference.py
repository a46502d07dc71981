"""Compute text.npz with PyTorch, in float64: what test_text_models.py holds the networks against.

    pip install torch numpy          # any current Python
    python tests/make_text_reference.py

It shares no code with the project: both networks forward, then one update of the critic, with the
gradient penalty by double backward, and one of the generator against the updated critic.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

CHARACTERS, LENGTH, WIDTH, LATENT, BATCH = 5, 6, 4, 7, 3
rng = np.random.RandomState(20170400)
results = {
    'real': np.eye(CHARACTERS)[rng.randint(CHARACTERS, size=(BATCH, LENGTH))],
    'latents': rng.normal(size=(2, BATCH, LATENT)),             # of the critic, of the generator
    'epsilon': rng.uniform(0, 1, (BATCH, 1, 1)),
}
real = torch.tensor(results['real']).transpose(1, 2)            # (N, characters, length)
latents, epsilon = torch.tensor(results['latents']), torch.tensor(results['epsilon'])


def weights(name, *shapes):
    """Tensors in the order in which the networks use them: a weight, its bias …"""
    tensors = []
    for i, shape in enumerate(shapes):
        results['%s %02d' % (name, i)] = rng.normal(0, 0.3, shape)
        tensors.append(torch.tensor(results['%s %02d' % (name, i)], requires_grad=True))
    return tensors


block = [(WIDTH, WIDTH, 5), (WIDTH,)]
blocks = block * 10
of_generator = weights('generator', (LATENT, WIDTH * LENGTH), (WIDTH * LENGTH,), *blocks,
                       (CHARACTERS, WIDTH, 1), (CHARACTERS,))
of_critic = weights('critic', (WIDTH, CHARACTERS, 1), (WIDTH,), *blocks, (WIDTH * LENGTH, 1), (1,))


def residual(h, tensors):
    for i in range(0, len(tensors), 4):
        inner = F.conv1d(F.relu(h), tensors[i], tensors[i + 1], padding=2)
        inner = F.conv1d(F.relu(inner), tensors[i + 2], tensors[i + 3], padding=2)
        h = h + 0.3 * inner
    return h


def generator(z):
    h = (z @ of_generator[0] + of_generator[1]).reshape(-1, WIDTH, LENGTH)
    h = residual(h, of_generator[2:-2])
    return F.softmax(F.conv1d(h, of_generator[-2], of_generator[-1]), dim=1)


def critic(x):
    h = residual(F.conv1d(x, of_critic[0], of_critic[1]), of_critic[2:-2])
    return (h.flatten(1) @ of_critic[-2] + of_critic[-1]).flatten()


def update(name, tensors, loss):
    """The first step of Adam, 1e-4, β1 0.5, β2 0.9; ε̂ form, Kingma and Ba, end of section 2."""
    results[name + ' loss'] = loss.detach().numpy()
    for i, (w, g) in enumerate(zip(tensors, torch.autograd.grad(loss, tensors))):
        m, v = 0.5 * g, 0.1 * g * g
        w.data -= 1e-4 * np.sqrt(0.1) / 0.5 * m / (v.sqrt() + 1e-8)
        results['%s after %02d' % (name, i)] = w.detach().numpy()


fake = generator(latents[0]).detach()
results['text'], results['scores'] = fake.numpy(), critic(real).detach().numpy()
x = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
slope, = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
update('critic', of_critic, critic(fake).mean() - critic(real).mean() + 10 * penalty)
update('generator', of_generator, -critic(generator(latents[1])).mean())

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'text.npz')
np.savez_compressed(path, **results)
print('wrote %s, %d bytes' % (path, os.path.getsize(path)))
