"""What speed.py asks for, of PyTorch: the same networks, losses, optimiser and average.

    speed_pytorch.py training|generation|layers SIZE BATCH NETWORK OBJECTIVE DEVICE full|tf32 \
        THREADS ORDER

It shares no code with the project, and needs torch alone. Eager, as most PyTorch code is. Real
images are one fixed minibatch: nothing is read. ORDER, of images in memory: contiguous_format,
PyTorch's default, or channels_last, which is often faster.
"""

import sys

import _root  # noqa: F401
import torch
from torch import nn

from bench.turns import IMAGES, LATENT, WIDTH, serve

F = nn.functional
WEIGHT, STEP = 10.0, 1e-4
GAMMA, MARGIN, CLIP = 0.1, 2e-4, 0.01


def generator(size):
    channels, at = WIDTH * size // 8, 4
    layers = [nn.ConvTranspose2d(LATENT, channels, 4, bias=False), nn.BatchNorm2d(channels),
              nn.ReLU()]
    while at < size // 2:
        layers += [nn.ConvTranspose2d(channels, channels // 2, 5, 2, 2, 1, bias=False),
                   nn.BatchNorm2d(channels // 2), nn.ReLU()]
        channels, at = channels // 2, at * 2
    return nn.Sequential(nn.Unflatten(1, (LATENT, 1, 1)), *layers,
                         nn.ConvTranspose2d(channels, 3, 5, 2, 2, 1), nn.Tanh())


def critic(size, normalization):
    channels, at = WIDTH, size // 2
    layers = [nn.Conv2d(3, channels, 3, 2, 1), nn.LeakyReLU(0.2)]
    while at > 4:
        layers += [nn.Conv2d(channels, channels * 2, 3, 2, 1), normalization(channels * 2),
                   nn.LeakyReLU(0.2)]
        channels, at = channels * 2, at // 2
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 4), nn.Flatten(0))


class Block(nn.Module):
    """A residual block: convolutions, then mean pooling; upsampling, then a convolution."""

    def __init__(self, inputs, outputs, normalization, resample=None, bias=False):
        super().__init__()
        inner = outputs if resample == 'up' else inputs
        before, after = [nn.Upsample(scale_factor=2)], [nn.AvgPool2d(2)]
        if resample != 'up':
            before = []
        if resample != 'down':
            after = []
        self.body = nn.Sequential(
            normalization(inputs), nn.ReLU(), *before, nn.Conv2d(inputs, inner, 3, 1, 1, bias=bias),
            normalization(inner), nn.ReLU(), nn.Conv2d(inner, outputs, 3, 1, 1), *after)
        # With a kernel of 1, both may be in the order with fewer operations.
        self.shortcut = nn.Sequential(
            *after, nn.Conv2d(inputs, outputs, 1), *before) if resample else nn.Identity()

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class FirstBlock(nn.Module):
    """The critic's first block at 32 pixels."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1), nn.ReLU(),
                                  nn.Conv2d(channels, channels, 3, 1, 1), nn.AvgPool2d(2))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, channels, 1))

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def residual_generator(size):
    steps = 3 if size == 32 else (size // 4).bit_length() - 1
    channels = [WIDTH] * (steps + 1) if size == 32 else [
        WIDTH * 2 ** i for i in [steps - 1, *range(steps - 1, -1, -1)]]
    return nn.Sequential(
        nn.Linear(LATENT, channels[0] * 16), nn.Unflatten(1, (channels[0], 4, 4)),
        *[Block(i, o, nn.BatchNorm2d, 'up') for i, o in zip(channels, channels[1:])],
        nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, 3, 3, 1, 1), nn.Tanh())


def residual_critic(size, normalization):
    if size == 32:
        if normalization is layer_norm:
            normalization = nn.Identity                 # it takes the number of channels
        return nn.Sequential(
            FirstBlock(WIDTH), Block(WIDTH, WIDTH, normalization, 'down', bias=True),
            *[Block(WIDTH, WIDTH, normalization, bias=True) for _ in range(2)],
            nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(WIDTH, 1), nn.Flatten(0))
    steps = (size // 4).bit_length() - 1
    channels = [WIDTH * 2 ** i for i in [*range(steps), steps - 1]]
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, 1, 1),
        *[Block(i, o, normalization, 'down') for i, o in zip(channels, channels[1:])],
        nn.Flatten(), nn.Linear(channels[-1] * 16, 1), nn.Flatten(0))


NETWORKS = {'dcgan': (generator, critic), 'resnet': (residual_generator, residual_critic)}


def layer_norm(channels):
    return nn.GroupNorm(1, channels)


def normalize_weights(network):
    """Spectral normalisation of all layers: a power iteration in each forward pass."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.utils.parametrizations.spectral_norm(module)


def gradient(c, x):
    slope, = torch.autograd.grad(c(x).sum(), x, create_graph=True)
    return slope.flatten(1)


def penalty(c, x):
    norm = gradient(c, x).norm(dim=1)
    return ((norm - 1) ** 2).mean(), norm.mean()


def squared_norm(c, x):
    return gradient(c, x.detach().requires_grad_()).square().sum(1).mean()


def evenly(x):
    return torch.rand(len(x), 1, 1, 1, device=x.device)


# The critic's loss, and what is logged beside it.
def wgan(c, real, fake):
    wasserstein = c(real).mean() - c(fake).mean()
    return -wasserstein, wasserstein


def wgan_gp(c, real, fake):
    between = torch.lerp(fake, real, evenly(real)).requires_grad_()
    value, norm = penalty(c, between)
    loss, wasserstein = wgan(c, real, fake)
    return loss + WEIGHT * value, value, wasserstein, norm


def gan(c, real, fake):
    of_real, of_fake = c(real), c(fake)
    return (F.softplus(-of_real).mean() + F.softplus(of_fake).mean(), of_real.sigmoid().mean(),
            of_fake.sigmoid().mean())


def dragan(c, real, fake):
    around = real + evenly(real) * 0.5 * real.std() * torch.rand_like(real)
    value, norm = penalty(c, around.requires_grad_())
    loss, *logged = gan(c, real, fake)
    return (loss + WEIGHT * value, value, norm, *logged)


def gan_r1(c, real, fake):
    r1 = squared_norm(c, real)
    loss, *logged = gan(c, real, fake)
    return (loss + GAMMA / 2 * r1, r1, *logged)


def r3gan(c, real, fake):
    difference, r1, r2 = c(real) - c(fake), squared_norm(c, real), squared_norm(c, fake)
    return F.softplus(-difference).mean() + GAMMA / 2 * (r1 + r2), difference.mean(), r1, r2


def sn_gan(c, real, fake):
    of_real, of_fake = c(real), c(fake)
    return F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean(), (of_real - of_fake).mean()


def ls_gan(c, real, fake):
    margin, difference = MARGIN * (real - fake).abs().flatten(1).sum(1), c(real) - c(fake)
    return F.relu(margin - difference).mean(), difference.mean(), margin.mean()


def highest_score(c, real, fake):
    return -c(fake).mean()


def most_probable(c, real, fake):
    return F.softplus(-c(fake)).mean()


def lead(c, real, fake):
    return F.softplus(c(real).detach() - c(fake)).mean()


# OBJECTIVE: the critic's loss, the generator's, normalisation of the critic, critic updates.
OBJECTIVES = {
    'wgan-gp': (wgan_gp, highest_score, layer_norm, 5),
    'wgan': (wgan, highest_score, nn.BatchNorm2d, 5),
    'gan': (gan, most_probable, nn.BatchNorm2d, 1),
    'dragan': (dragan, most_probable, layer_norm, 1),
    'gan-r1': (gan_r1, most_probable, layer_norm, 1),
    'r3gan': (r3gan, lead, layer_norm, 1),
    'sn-gan': (sn_gan, highest_score, nn.Identity, 5),
    'ls-gan': (ls_gan, highest_score, nn.BatchNorm2d, 1),
}


def finish(device):
    """Wait for what a GPU still computes."""
    if device != 'cpu':
        torch.cuda.synchronize()


def optimizer_of(network, objective):
    if objective == 'wgan':
        return torch.optim.RMSprop(network.parameters(), STEP)
    return torch.optim.Adam(network.parameters(), STEP, (0.0, 0.999))


def training(size, batch, network, objective, device, order):
    make_generator, make_critic = NETWORKS[network]
    critic_loss, generator_loss, normalization, n_critic = OBJECTIVES[objective]
    g, average, c = make_generator(size), make_generator(size), make_critic(size, normalization)
    if objective == 'sn-gan':
        normalize_weights(c)
    for part in (g, average, c):
        part.to(device, memory_format=order)
    critic_optimizer, generator_optimizer = (optimizer_of(n, objective) for n in (c, g))
    real = (torch.rand(batch, 3, size, size) * 2 - 1).to(device, memory_format=order)

    def latents():
        return torch.randn(batch, LATENT).to(device)

    def update_critic():
        with torch.no_grad():
            fake = g(latents())
        logged = critic_loss(c, real, fake)
        critic_optimizer.zero_grad()
        logged[0].backward()
        critic_optimizer.step()
        if objective == 'wgan':
            with torch.no_grad():
                for p in c.parameters():
                    p.clamp_(-CLIP, CLIP)
        [x.item() for x in logged]
        finish(device)

    def update_generator():
        loss = generator_loss(c, real, g(latents()))
        generator_optimizer.zero_grad()
        loss.backward()
        generator_optimizer.step()
        loss.item()
        finish(device)

    def iteration():
        for _ in range(n_critic):
            update_critic()
        update_generator()
        with torch.no_grad():
            for mean, new in zip(average.parameters(), g.parameters()):
                mean.lerp_(new, 0.001)

    return {'critic step': update_critic, 'generator step': update_generator,
            'iteration': iteration}


def generation(size, batch, network, objective, device, order):
    g = NETWORKS[network][0](size).to(device, memory_format=order)
    latents = torch.randn(IMAGES, LATENT)
    g.eval()

    def generate():
        with torch.no_grad():
            for part in latents.split(batch):
                g(part.to(device)).cpu()

    return {'generation': generate}


def single_layers(size, batch, network, objective, device, order):
    """Layers as they occur at this size: forward, and forward with both gradients."""
    def parts(name, layer, *shape):
        layer = layer.to(device, memory_format=order)
        x = torch.randn(batch, *shape, device=device).to(memory_format=order).requires_grad_()
        seed = torch.ones_like(layer(x))

        def forward():
            layer(x)
            finish(device)

        def both_ways():
            torch.autograd.grad(layer(x), [x, *layer.parameters()], seed)
            finish(device)

        return {name + ', forward': forward, name + ', both ways': both_ways}

    cases, channels, at = {}, WIDTH, size // 2
    while at > 4:
        cases.update(parts('convolution %d → %d, %d pixels' % (channels, 2 * channels, at),
                           nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=False),
                           channels, at, at))
        cases.update(parts('transposed %d → %d, %d pixels' % (2 * channels, channels, at // 2),
                           nn.ConvTranspose2d(2 * channels, channels, 5, 2, 2, 1, bias=False),
                           2 * channels, at // 2, at // 2))
        channels, at = 2 * channels, at // 2
    side = size // 4
    for name, layer in (('layer norm', nn.GroupNorm(1, 64)), ('leaky ReLU', nn.LeakyReLU(0.2)),
                        ('ReLU', nn.ReLU())):
        cases.update(parts('%s, 64 channels, %d pixels' % (name, side), layer, 64, side, side))
    return cases


def main():
    mode, size, batch, network, objective, device, precision, threads, order = sys.argv[1:]
    torch.set_num_threads(int(threads))
    # By default PyTorch rounds to TF32 in convolutions, and not in products.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == 'tf32'
    torch.manual_seed(0)
    make = {'training': training, 'generation': generation, 'layers': single_layers}[mode]
    serve(make(int(size), int(batch), network, objective, 'cuda' if device == 'gpu' else 'cpu',
               getattr(torch, order)),
          'PyTorch %s, %s' % (torch.__version__, torch.backends.cpu.get_cpu_capability()
                              if device == 'cpu' else 'TF32' if precision == 'tf32'
                              else 'full single precision'))


if __name__ == '__main__':
    main()
