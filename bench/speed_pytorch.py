"""What speed.py asks for, of PyTorch: the same networks, losses, optimiser and average.

    speed_pytorch.py training|generation|layers SIZE BATCH NETWORK DEVICE full|tf32 THREADS ORDER

It shares no code with the project, and needs torch alone. Eager, as most PyTorch code is. Real
images are one fixed minibatch: nothing is read. ORDER, of images in memory: contiguous_format,
PyTorch's default, or channels_last, which is often faster.
"""

import sys

import _root  # noqa: F401
import torch
from torch import nn

from bench.turns import IMAGES, LATENT, WIDTH, serve

WEIGHT, STEP, N_CRITIC = 10.0, 1e-4, 5


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


def critic(size):
    channels, at = WIDTH, size // 2
    layers = [nn.Conv2d(3, channels, 3, 2, 1), nn.LeakyReLU(0.2)]
    while at > 4:
        layers += [nn.Conv2d(channels, channels * 2, 3, 2, 1), nn.GroupNorm(1, channels * 2),
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


def residual_critic(size):
    if size == 32:
        none = nn.Identity                              # it takes the number of channels
        return nn.Sequential(
            FirstBlock(WIDTH), Block(WIDTH, WIDTH, none, 'down', bias=True),
            *[Block(WIDTH, WIDTH, none, bias=True) for _ in range(2)],
            nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(WIDTH, 1), nn.Flatten(0))
    steps = (size // 4).bit_length() - 1
    channels = [WIDTH * 2 ** i for i in [*range(steps), steps - 1]]
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, 1, 1),
        *[Block(i, o, lambda n: nn.GroupNorm(1, n), 'down')
          for i, o in zip(channels, channels[1:])],
        nn.Flatten(), nn.Linear(channels[-1] * 16, 1), nn.Flatten(0))


NETWORKS = {'dcgan': (generator, critic), 'resnet': (residual_generator, residual_critic)}


def finish(device):
    """Wait for what a GPU still computes."""
    if device != 'cpu':
        torch.cuda.synchronize()


def training(size, batch, network, device, order):
    make_generator, make_critic = NETWORKS[network]
    g, c, average = (make(size).to(device, memory_format=order)
                     for make in (make_generator, make_critic, make_generator))
    critic_adam, generator_adam = (torch.optim.Adam(n.parameters(), STEP, (0.0, 0.999))
                                   for n in (c, g))
    real = (torch.rand(batch, 3, size, size) * 2 - 1).to(device, memory_format=order)

    def latents():
        return torch.randn(batch, LATENT).to(device)

    def update_critic():
        with torch.no_grad():
            fake = g(latents())
        epsilon = torch.rand(batch, 1, 1, 1).to(device)
        between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
        slope, = torch.autograd.grad(c(between).sum(), between, create_graph=True)
        norm = slope.flatten(1).norm(dim=1)
        penalty = ((norm - 1) ** 2).mean()
        wasserstein = c(real).mean() - c(fake).mean()
        loss = WEIGHT * penalty - wasserstein
        critic_adam.zero_grad()
        loss.backward()
        critic_adam.step()
        [x.item() for x in (loss, penalty, wasserstein, norm.mean())]       # what is logged
        finish(device)

    def update_generator():
        loss = -c(g(latents())).mean()
        generator_adam.zero_grad()
        loss.backward()
        generator_adam.step()
        loss.item()
        finish(device)

    def iteration():
        for _ in range(N_CRITIC):
            update_critic()
        update_generator()
        with torch.no_grad():
            for mean, new in zip(average.parameters(), g.parameters()):
                mean.lerp_(new, 0.001)

    return {'critic step': update_critic, 'generator step': update_generator,
            'iteration': iteration}


def generation(size, batch, network, device, order):
    g = NETWORKS[network][0](size).to(device, memory_format=order)
    latents = torch.randn(IMAGES, LATENT)
    g.eval()

    def generate():
        with torch.no_grad():
            for part in latents.split(batch):
                g(part.to(device)).cpu()

    return {'generation': generate}


def single_layers(size, batch, _, device, order):
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
    mode, size, batch, network, device, precision, threads, order = sys.argv[1:]
    torch.set_num_threads(int(threads))
    # By default PyTorch rounds to TF32 in convolutions, and not in products.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == 'tf32'
    torch.manual_seed(0)
    make = {'training': training, 'generation': generation, 'layers': single_layers}[mode]
    serve(make(int(size), int(batch), network, 'cuda' if device == 'gpu' else 'cpu',
               getattr(torch, order)),
          'PyTorch %s, %s' % (torch.__version__, torch.backends.cpu.get_cpu_capability()
                              if device == 'cpu' else 'TF32' if precision == 'tf32'
                              else 'full single precision'))


if __name__ == '__main__':
    main()
