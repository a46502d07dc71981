"""The numbers that a generator makes its images from: drawn, read, written, walked through."""

import os
import tokenize

from wgan.machine.command_line import UserError, number, report
from wgan.machine.device import add_device_option
from wgan.machine.disk import replacing

import numpy as np

# What NumPy raises if the head of a .npy file is damaged, or claims more than there is.
DAMAGED = (ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError,
           tokenize.TokenError)


def add_options(parser):
    """The options that all programs have that make something of latents: those that say which, for
    `find_latents`, --force and --device.
    """
    g = parser.add_argument_group('from which latents')
    g.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0,
                   help='another seed, other images')
    g.add_argument('--truncation', type=number(float, 0), default=1.0, help='multiplies the '
                   'latents: below 1 more ordinary images and fewer kinds')
    g.add_argument('--latents', metavar='FILE.npy', help='take these, (N, latent size), instead '
                   'of drawing some; they decide how many there are')
    g.add_argument('--save-latents', metavar='FILE.npy', help='write the latents down, in '
                   'the .npy format')
    g.add_argument('--batch-size', type=number(int, 1), default=64, help='images computed at once; '
                   'they are the same for any')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_device_option(parser)


def find_latents(options, size, default, check):
    """Read or draw the latents that the options ask for, float32 (N, size), and save them.

    default: how many, where neither --count nor --latents says it. check: is told how many there
    will be before they are drawn, and raises UserError if these are too many.
    Raises UserError if there are none to be had.
    """
    latents = read_latents(options.latents, size) if options.latents else None
    count = options.count or (default if latents is None else len(latents))
    if latents is not None and count != len(latents):
        raise UserError('--count is %d, but %s holds %d latents' % (
            count, options.latents, len(latents)))
    check(count)
    if latents is None:
        latents = draw_latents(count, size, options.seed)
    with np.errstate(over='ignore'):
        latents = latents * np.float32(options.truncation)
    if not np.isfinite(latents).all():
        raise UserError('--truncation %g makes latents that are NaN or infinite'
                        % options.truncation)
    if options.save_latents:
        save_latents(options.save_latents, latents)
        report('wrote ' + options.save_latents)
    return latents


def draw_latents(count, size, seed):
    """count latents from N(0, 1): float32 (count, size)."""
    latents = np.random.RandomState(seed).standard_normal((count, size))
    return latents.astype(np.float32)


def read_latents(path, size):
    """Latents from a .npy file, float32 (N, size). Raises UserError if they are something else."""
    if not os.path.isfile(path):
        raise UserError('%s is not a regular file; latents are read from a .npy file' % path
                        if os.path.exists(path) else '%s does not exist' % path)
    with open(path, 'rb') as file:
        if file.read(6) != b'\x93NUMPY':
            raise UserError('%s is no .npy file: numpy.save writes one, numpy.savez does not'
                            % path)
    try:
        # Mapped: a head that claims terabytes is held against the length of the file.
        latents = np.load(path, mmap_mode='r', allow_pickle=False)
    except DAMAGED:
        raise UserError('%s is no .npy file of numbers, or is damaged' % path)
    if latents.ndim != 2 or latents.shape[1] != size or not len(latents):
        raise UserError('%s holds an array of shape %s; this generator takes (N, %d)'
                        % (path, latents.shape, size))
    with np.errstate(over='ignore'):
        if np.issubdtype(latents.dtype, np.floating):
            latents = latents.astype(np.float32)
            if np.isfinite(latents).all():
                return latents
    raise UserError('%s holds something else than finite floating-point numbers' % path)


def save_latents(path, latents):
    """Write latents in the .npy format to a file of exactly this name."""
    with replacing(path) as aside, open(aside, 'wb') as file:
        np.save(file, latents)


def walk(latents, steps, linear, closed):
    """Latents on the way from each to the next; float32 (legs, steps, N).

    closed: a last leg leads back to the first, and no leg includes its end, so that the legs in
        a row are a loop without a stop. Otherwise each leg includes both its ends.
    Spherical unless linear: latents of a normal distribution lie near a sphere, and the straight
    way between two leaves it for where the generator was never trained (White 2016, 'Sampling
    Generative Networks', https://arxiv.org/abs/1609.04468, section 2).
    """
    ends = np.roll(latents, -1, axis=0) if closed else latents[1:]
    t = np.linspace(0, 1, steps, endpoint=not closed)[:, None]
    return np.stack([_between(a, b, t, linear) for a, b in zip(latents.astype(float), ends)]
                    ).astype(np.float32)


def _between(a, b, t, linear):
    cosine = np.dot(a, b) / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))
    if linear or np.sin(angle) < 1e-6:          # in line with the origin: no sphere to follow
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
