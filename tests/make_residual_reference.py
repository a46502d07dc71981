"""Compute residual.npz with PyTorch, in float64, for test_residual_models.py.

    pip install torch numpy          # any current Python
    python tests/make_residual_reference.py

It shares no code with the project: the residual networks are written as their authors publish them
(gan_cifar_resnet.py, gan_64x64.py), with upsampling, convolutions and mean pooling one after the
other. For each case: one update of the critic, then one of the generator against the updated
critic; the weights before, and the steps, in the order in which the networks use them.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

from reference_spectral import SpectralNorm

WIDTHS, LATENT, BATCH, LABELS = {32: 4, 64: 2}, 5, 3, 2
OBJECTIVES = {'wgan-gp': 'layer', 'gan': 'batch', 'sn-gan': 'spectral'}
rng = np.random.RandomState(20170705)
results = {'latents': rng.normal(size=(2, BATCH, LATENT)),      # of the critic, of the generator
           'epsilon': rng.uniform(0, 1, (BATCH, 1, 1, 1)),
           'labels': np.eye(LABELS)[rng.randint(LABELS, size=(2, BATCH))]}
for size in WIDTHS:
    results['real %d' % size] = rng.randint(0, 256, (BATCH, 3, size, size)).astype(np.uint8)
latents, epsilon, labels = (torch.tensor(results[k]) for k in ('latents', 'epsilon', 'labels'))


class Network:
    """Weights in the order of their first use."""

    def __init__(self, name, normalization):
        self.name, self.normalization = name, normalization
        self.weights, self.norms, self.has_iterated = [], {}, False

    def __call__(self, *inputs):
        self.used = 0
        result = self.forward(*inputs)
        self.has_iterated = True
        return result

    def weight(self, shape, mean=0.0, rows=None):
        """rows: of the matrix whose spectral norm divides the weight."""
        if self.used == len(self.weights):
            key = '%s %d' % (self.name, self.used)
            if key not in results:
                results[key] = rng.normal(mean, 0.3, shape).astype(np.float32)
            self.weights.append(torch.tensor(results[key], dtype=torch.float64,
                                             requires_grad=True))
        w = self.weights[self.used]
        self.used += 1
        return w if rows is None or self.normalization != 'spectral' else self.divided(w, rows)

    def divided(self, w, rows):
        number = self.used - 1
        if number not in self.norms:
            key = '%s u %d' % (self.name, number)
            results[key] = rng.normal(size=rows)
            self.norms[number] = SpectralNorm(w.numel(), rows, results[key])
        return self.norms[number](w, iterate=not self.has_iterated)

    def normalized(self, x):
        if self.normalization == 'batch':
            gain, bias = self.weight((x.shape[1],), 1), self.weight((x.shape[1],))
            return F.batch_norm(x, None, None, gain, bias, training=True, eps=1e-5)
        if self.normalization == 'layer':
            gain, bias = self.weight((x.shape[1], 1, 1), 1), self.weight((x.shape[1], 1, 1))
            return F.group_norm(x, 1, gain.flatten(), bias.flatten(), eps=1e-5)
        return x

    def kernel(self, x, channels, size):
        return self.weight((channels, x.shape[1], size, size), rows=channels)

    def convolution(self, x, channels, size):
        return F.conv2d(x, self.kernel(x, channels, size), padding=size // 2)

    def upsampled(self, x, channels, size):
        """Nearest neighbours, then a transposed convolution, whose kernel is (I, O, K, K)."""
        w = self.weight((x.shape[1], channels, size, size))
        return F.conv_transpose2d(F.interpolate(x, scale_factor=2), w, padding=size // 2)

    def bias(self, channels):
        return self.weight((channels, 1, 1))

    def block(self, x, channels, resample):
        h = F.relu(self.normalized(x))
        if resample == 'up':
            h = self.upsampled(h, channels, 3)
        else:
            h = self.convolution(h, x.shape[1], 3)
        if self.normalization not in ('batch', 'layer'):
            h = h + self.bias(h.shape[1])
        h = self.convolution(F.relu(self.normalized(h)), channels, 3)
        if resample is None:
            return x + h + self.bias(channels)
        if resample == 'up':
            shortcut = self.upsampled(x, channels, 1)
        else:
            h = F.avg_pool2d(h, 2)
            shortcut = self.convolution(F.avg_pool2d(x, 2), channels, 1)
        return shortcut + h + self.bias(channels) + self.bias(channels)

    def dense(self, x, shape):
        """A matrix for each output, as in CNTK: inputs first."""
        rows = int(np.prod(shape))
        w = self.weight((*x.shape[1:], *shape), rows=rows)
        return (x.flatten(1) @ w.reshape(-1, rows)).reshape(-1, *shape) + self.weight(shape)


class Generator(Network):
    def __init__(self, name, size):
        super().__init__(name, 'batch')
        self.size = size

    def forward(self, z):
        width = WIDTHS[self.size]
        if self.size == 32:
            h, all_channels = self.dense(z, (width, 4, 4)), [width] * 3
        else:
            h = self.dense(z, (8 * width, 4, 4))
            all_channels = [8 * width, 4 * width, 2 * width, width]
        for channels in all_channels:
            h = self.block(h, channels, 'up')
        return torch.tanh(self.convolution(F.relu(self.normalized(h)), 3, 3) + self.bias(3))


class Critic(Network):
    def __init__(self, name, size, normalization):
        super().__init__(name, None if size == 32 and normalization == 'layer' else normalization)
        self.size = size

    def forward(self, x, label=None):
        width = WIDTHS[self.size]
        h = self.convolution(x, width, 3)
        if label is not None:                   # one plane for each label
            h = h + self.convolution(
                label[:, :, None, None].expand(-1, -1, self.size, self.size), width, 3)
        h = h + self.bias(width)
        if self.size == 32:
            h = F.avg_pool2d(self.convolution(F.relu(h), width, 3), 2)
            h = h + self.convolution(F.avg_pool2d(x, 2), width, 1)
            h = h + self.bias(width) + self.bias(width)
            for resample in ('down', None, None):
                h = self.block(h, width, resample)
            h = F.relu(h).mean((2, 3))
        else:
            for channels in (2 * width, 4 * width, 8 * width, 8 * width):
                h = self.block(h, channels, 'down')
        return self.dense(h, (1,))[:, 0]


def adam(weights, gradients, rate, beta1, beta2):
    """The first update; ε̂ form, Kingma and Ba, end of section 2."""
    for w, g in zip(weights, gradients):
        m, v = (1 - beta1) * g, (1 - beta2) * g * g
        w.data -= rate * np.sqrt(1 - beta2) / (1 - beta1) * m / (v.sqrt() + 1e-8)


def update(case, network, loss):
    results[case + '_loss'] = loss.detach().numpy()
    gradients = torch.autograd.grad(loss, network.weights)
    adam(network.weights, gradients, *{'wgan-gp': (1e-4, 0.0, 0.9), 'gan': (2e-4, 0.5, 0.999),
                                       'sn-gan': (2e-4, 0.0, 0.9)}[case.split()[1]])
    for i, w in enumerate(network.weights):
        step = w.detach().numpy() - results['%s %d' % (network.name, i)]
        results['%s step %d' % (case, i)] = step.astype(np.float32)
    for i, norm in network.norms.items():
        results['%s after u %d' % (case, i)] = norm.u.numpy().copy()


def penalty(critic, x, label):
    x = x.detach().requires_grad_()
    slope, = torch.autograd.grad(critic(x, label).sum(), x, create_graph=True)
    norm = slope.flatten(1).norm(dim=1)
    assert norm.min() > 0.01, 'all ReLUs of a critic are 0: take another seed'
    return ((norm - 1) ** 2).mean()


for size in WIDTHS:
    for objective, labelled in [(name, False) for name in OBJECTIVES] + [('wgan-gp', True)]:
        case = '%d %s%s' % (size, objective, ' labelled' if labelled else '')
        label = labels if labelled else (None, None)
        real = torch.tensor(results['real %d' % size] / 127.5 - 1)
        generator = Generator('%d %sgenerator' % (size, 'labelled ' if labelled else ''), size)
        critic = Critic(case + ' critic', size, OBJECTIVES[objective])
        z = [torch.cat([latents[i], labels[i]], 1) if labelled else latents[i] for i in (0, 1)]
        fake = generator(z[0]).detach()
        of_real, of_fake = critic(real, label[0]), critic(fake, label[0])
        if objective == 'wgan-gp':
            loss = of_fake.mean() - of_real.mean() + 10 * penalty(
                critic, epsilon * real + (1 - epsilon) * fake, label[0])
        elif objective == 'gan':
            loss = F.softplus(-of_real).mean() + F.softplus(of_fake).mean()
        else:
            loss = F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()
        update(case + ' critic', critic, loss)
        scores = critic(generator(z[1]), label[1])
        loss = F.softplus(-scores).mean() if objective == 'gan' else -scores.mean()
        update(case + ' generator', generator, loss)

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'residual.npz')
np.savez_compressed(path, **results)
print('wrote %s, %d bytes' % (path, os.path.getsize(path)))
