"""Compute family.npz with PyTorch, in float64, for training/test_objectives_pytorch.py.

    pip install torch numpy          # any current Python
    python tests/make_family_reference.py

It shares no code with the project. For each objective: one update of the critic, then one of the
generator against the updated critic; the weights before and after both. 'augmented' is wgan-gp
with augmentation of real and generated images; 'labelled …' have networks that take labels.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

from reference_spectral import SpectralNorm

IMAGE, WIDTH, LATENT, BATCH, LABELS, GAMMA, SMALL = 32, 2, 5, 4, 2, 0.5, 0.4
rng = np.random.RandomState(20140610)
results = {
    'real': rng.uniform(-1, 1, (BATCH, 3, IMAGE, IMAGE)),
    'latents': rng.normal(size=(2, BATCH, LATENT)),             # of the critic, of the generator
    'epsilon': rng.uniform(0, 1, (BATCH, 1, 1, 1)),
    'noise': rng.uniform(0, 1, (BATCH, 3, IMAGE, IMAGE)),
}
real, latents, epsilon, noise = (torch.tensor(results[k]) for k in results)


class Network:
    """Weights by (name as in CNTK's layers, shape): no two of one network share both."""

    def __init__(self, name):
        self.name, self.weights = name, {}

    def weight(self, name, shape, mean=0.0):
        key = '%s %s %s' % (self.name, name, 'x'.join(map(str, shape)))
        if key not in results:
            # So small that the gradient norms of a batch lie on both sides of 1.
            small = self.name.startswith('one-sided') and shape[-1] == 1 and len(shape) == 4
            results[key] = rng.normal(mean, 0.2 * (SMALL if small else 1), shape)
        if key not in self.weights:
            self.weights[key] = torch.tensor(results[key], requires_grad=True)
        return self.weights[key]

    def normalized(self, x, how):
        maps = x.shape[1]
        if how == 'batch':
            gain, bias = self.weight('scale', (maps,), 1), self.weight('bias', (maps,))
            return F.batch_norm(x, None, None, gain, bias, training=True, eps=1e-5)
        gain, bias = self.weight('gain', (maps, 1, 1), 1), self.weight('bias', (maps, 1, 1))
        return F.group_norm(x, 1, gain.flatten(), bias.flatten(), eps=1e-5)


class Generator(Network):
    def __call__(self, z):
        maps = WIDTH * IMAGE // 8
        h = F.conv_transpose2d(z[:, :, None, None], self.weight('W', (z.shape[1], maps, 4, 4)))
        while maps > WIDTH:
            h = F.relu(self.normalized(h, 'batch'))
            maps //= 2
            h = self.double(h, self.weight('W', (2 * maps, maps, 5, 5)))
        h = F.relu(self.normalized(h, 'batch'))
        return torch.tanh(self.double(h, self.weight('W', (WIDTH, 3, 5, 5)))
                          + self.weight('b', (3, 1, 1)))

    def double(self, h, w):
        # CNTK pads 2 on the lower side and 1 on the upper when 5 × 5 halves an even size.
        return F.conv_transpose2d(h, w, stride=2, padding=2, output_padding=1)


class Critic(Network):
    def __init__(self, name, normalization):
        super().__init__(name)
        self.normalization, self.layers, self.iterated = normalization, {}, set()

    def weight(self, name, shape, mean=0.0):
        """Spectrally normalised by PyTorch's own function, if so; one power iteration an update."""
        w = super().weight(name, shape, mean)
        if self.normalization != 'spectral' or name != 'W':
            return w
        key = '%s u %s' % (self.name, 'x'.join(map(str, shape)))
        rows = 1 if shape[-1] == 1 else shape[0]
        if key not in results:
            results[key] = rng.normal(size=rows)
        if key not in self.layers:
            self.layers[key] = SpectralNorm(w.numel(), rows, results[key])
        weight = self.layers[key](w, iterate=key not in self.iterated)
        self.iterated.add(key)
        return weight

    def __call__(self, x, labels=None):
        maps, channels = WIDTH, 3
        while maps <= WIDTH * IMAGE // 8:
            w, b = self.weight('W', (maps, channels, 3, 3)), self.weight('b', (maps, 1, 1))
            if channels == 3 and labels is not None:        # one convolution of all planes
                w = torch.cat([w, self.weight('W', (maps, LABELS, 3, 3))], 1)
                planes = labels[:, :, None, None].expand(-1, -1, IMAGE, IMAGE)
                x = torch.cat([x, planes], 1)
            x = F.conv2d(F.pad(x, (1, 0, 1, 0)), w, b.flatten(), stride=2)
            if channels != 3 and self.normalization != 'spectral':
                x = self.normalized(x, self.normalization)
            x = F.leaky_relu(x, 0.2)
            channels, maps = maps, maps * 2
        w, b = self.weight('W', (channels, 4, 4, 1)), self.weight('b', (1,))
        return (x.flatten(1) @ w.flatten(0, 2) + b).flatten()


def draw_change(name):
    """The random numbers of an augmentation, for BATCH images."""
    side = IMAGE // 8
    for key, value in (('brightness', rng.uniform(-0.5, 0.5, (BATCH, 1, 1, 1))),
                       ('saturation', rng.uniform(0, 2, (BATCH, 1, 1, 1))),
                       ('contrast', rng.uniform(0.5, 1.5, (BATCH, 1, 1, 1))),
                       ('moved', rng.randint(-side, side + 1, (BATCH, 2))),     # down, right
                       ('centre', rng.randint(0, IMAGE + 1, (BATCH, 2)))):      # row, column
        results['%s %s' % (name, key)] = value


def colour(x, name):
    b, s, c = (torch.tensor(results['%s %s' % (name, key)])
               for key in ('brightness', 'saturation', 'contrast'))
    x = x + b
    x = torch.lerp(x.mean(1, keepdim=True).expand_as(x), x, s.expand_as(x))
    return torch.lerp(x.mean((1, 2, 3), keepdim=True).expand_as(x), x, c.expand_as(x))


def moved(x, name):
    """Rolled, with what comes in at the other side set to 0."""
    images = []
    for image, (down, right) in zip(x, results[name + ' moved']):
        image = torch.roll(image, (int(down), int(right)), (1, 2))
        rows, columns = np.arange(IMAGE) - down, np.arange(IMAGE) - right
        keep = [torch.tensor((at >= 0) & (at < IMAGE)) for at in (rows, columns)]
        images.append(image * keep[0][:, None] * keep[1])
    return torch.stack(images)


def cut_out(x, name):
    """Without the square of half the width around the centre."""
    keep, half = torch.ones_like(x), IMAGE // 4
    for mask, (row, column) in zip(keep, results[name + ' centre']):
        mask[:, max(row - half, 0):row + half, max(column - half, 0):column + half] = 0
    return x * keep


def changed(x, name):
    return cut_out(moved(colour(x, name), name), name)


def penalty(critic, x, labels):
    x = x.detach().requires_grad_()
    slope, = torch.autograd.grad(critic(x, labels).sum(), x, create_graph=True)
    above = slope.flatten(1).norm(dim=1) - 1
    if 'one-sided' in objective:
        results[objective + ' norms'] = 1 + above.detach().numpy()
        above = F.relu(above)
    return (above ** 2).mean()


def squared_norm(critic, x, labels):
    """The mean of ‖∇C(x)‖²."""
    x = x.detach().requires_grad_()
    slope, = torch.autograd.grad(critic(x, labels).sum(), x, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def cross_entropy(scores, label):
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))


def adam(weights, gradients, rate, beta1, beta2):
    """The first update; ε̂ form, Kingma and Ba, end of section 2."""
    for w, g in zip(weights, gradients):
        m, v = (1 - beta1) * g, (1 - beta2) * g * g
        w.data -= rate * np.sqrt(1 - beta2) / (1 - beta1) * m / (v.sqrt() + 1e-8)


def rmsprop(weights, gradients):
    for w, g in zip(weights, gradients):
        w.grad = g
    torch.optim.RMSprop(weights, lr=5e-5).step()


CASES = (('wgan-gp', 'layer'), ('wgan', 'batch'), ('gan', 'batch'), ('minimax', 'batch'),
         ('dragan', 'layer'), ('augmented', 'layer'))
# New ones come last: what was drawn for the others stays the same.
LATER = (('ls-gan', 'batch'), ('gan-r1', 'layer'), ('labelled gan-r1', 'layer'),
         ('r3gan', 'layer'), ('labelled r3gan', 'layer'),
         ('sn-gan', 'spectral'), ('labelled sn-gan', 'spectral'),
         ('one-sided', 'layer'), ('one-sided-dragan', 'layer'))
for case, normalization in CASES + tuple(
        ('labelled ' + name, how) for name, how in CASES[:5]) + LATER:
    labelled, objective = case.startswith('labelled'), case.split()[-1]
    kind = 'labelled ' if labelled else ''
    if case == 'augmented':
        for name in ('change of real', 'change of fake', 'change of generated'):
            draw_change(name)
    if labelled and 'labels' not in results:
        results['labels'] = np.eye(LABELS)[rng.randint(LABELS, size=(2, BATCH))]
    labels = torch.tensor(results['labels']) if labelled else (None, None)
    generator = Generator(kind + 'generator')
    name = kind + 'one-sided ' * objective.startswith('one-sided')
    critic = Critic('%scritic %s' % (name, normalization), normalization)
    is_gan = objective in ('gan', 'minimax', 'dragan', 'one-sided-dragan', 'gan-r1')

    def generate(i):
        z = latents[i]
        return generator(torch.cat([z, labels[i]], 1) if labelled else z)

    x, fake = real, generate(0).detach()
    if objective == 'augmented':
        x, fake = changed(real, 'change of real'), changed(fake, 'change of fake')
    of_real, of_fake = critic(x, labels[0]), critic(fake, labels[0])
    loss = (cross_entropy(of_real, 1.) + cross_entropy(of_fake, 0.) if is_gan
            else of_fake.mean() - of_real.mean())
    if objective == 'ls-gan':       # a margin weight at which the batch has both kinds of pairs
        distance = (x - fake).abs().flatten(1).sum(1)
        loss = F.relu(0.0005 * distance + of_fake - of_real)
        results['ls-gan hinge'] = loss.detach().numpy()
        loss = loss.mean()
    if objective in ('wgan-gp', 'augmented', 'one-sided'):
        loss = loss + 10 * penalty(critic, epsilon * x + (1 - epsilon) * fake, labels[0])
    if objective in ('dragan', 'one-sided-dragan'):
        deviation = real.std(unbiased=False)
        loss = loss + 10 * penalty(critic, real + epsilon * 0.5 * deviation * noise, labels[0])
    if objective == 'sn-gan':
        loss = F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()
    if objective == 'r3gan':
        loss = F.softplus(of_fake - of_real).mean() + GAMMA / 2 * (
            squared_norm(critic, real, labels[0]) + squared_norm(critic, fake, labels[0]))
    if objective == 'gan-r1':
        loss = loss + GAMMA / 2 * squared_norm(critic, real, labels[0])

    def update(network, loss):
        weights = list(network.weights.values())
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients)]
        if objective == 'wgan':
            rmsprop(weights, gradients)
        elif objective in ('gan-r1', 'r3gan'):
            adam(weights, gradients, 2e-4, 0.0, 0.99)
        elif objective == 'sn-gan':
            adam(weights, gradients, 2e-4, 0.0, 0.9)
        elif is_gan:
            adam(weights, gradients, 2e-4, 0.5, 0.999)
        elif objective == 'ls-gan':
            gradients = [g + 0.01 * w.detach() for w, g in zip(weights, gradients)]
            adam(weights, gradients, 1e-4, 0.5, 0.999)
        else:
            adam(weights, gradients, 1e-4, 0.0, 0.9)

    update(critic, loss)
    for key, norm in critic.layers.items():
        results['%s after %s' % (case, key)] = norm.u.numpy().copy()
    if objective == 'wgan':
        for w in critic.weights.values():
            w.data.clamp_(-0.01, 0.01)
    results[case + ' critic_loss'] = loss.detach().numpy()

    if objective == 'r3gan':        # compared with the same real images, whose labels it has
        labels = (labels[0], labels[0])
    generated = generate(1)
    scores = critic(changed(generated, 'change of generated') if objective == 'augmented'
                    else generated, labels[1])
    loss = (-scores.mean() if not is_gan else -cross_entropy(scores, 0.)
            if objective == 'minimax' else cross_entropy(scores, 1.))
    if objective == 'r3gan':
        loss = F.softplus(critic(real, labels[0]) - scores).mean()
    update(generator, loss)
    results[case + ' generator_loss'] = loss.detach().numpy()
    for network in (critic, generator):
        for key, w in network.weights.items():
            results['%s after %s' % (case, key)] = w.detach().numpy()

# Each part of the augmentation alone, and its gradient, of the sum of its numbers times the noise;
# of two images.
for part in (colour, moved, cut_out):
    x = real.clone().requires_grad_()
    y = part(x, 'change of real')
    slope, = torch.autograd.grad((y * noise).sum(), x)
    results[part.__name__], results[part.__name__ + ' gradient'] = (
        t.detach()[:2].numpy() for t in (y, slope))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'family.npz')
np.savez_compressed(path, **results)
print('wrote %s, %d bytes' % (path, os.path.getsize(path)))
