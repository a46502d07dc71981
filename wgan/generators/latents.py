"""Latent vectors: drawn, read, written, interpolated."""

import os
import tokenize

from wgan.machine.command_line import UserError, number, report
from wgan.machine.device import add_device_option
from wgan.machine.disk import replacing

import numpy as np

# Exceptions of NumPy for a .npy file with a damaged header, or with too little data.
DAMAGED = (ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError,
           tokenize.TokenError)


def add_options(parser):
    """Adds the options of all programs that generate: those of `find_latents`, --force, --device.
    """
    g = parser.add_argument_group('latents')
    g.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0,
                   help='seed for drawing the latents')
    g.add_argument('--truncation', type=number(float, 0), default=1.0, help='factor of the '
                   'latents: below 1, images are more typical and less varied')
    g.add_argument('--latents', metavar='FILE.npy', help='read N latents, (N, latent size), from '
                   'this file instead of drawing them')
    g.add_argument('--save-latents', metavar='FILE.npy', help='write the latents to this file')
    g.add_argument('--batch-size', type=number(int, 1), default=64, help='batch size; does not '
                   'change the images')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_device_option(parser)


def find_latents(options, size, default, check):
    """Reads or draws the latents that the options ask for, float32 (N, size), and saves them.

    default: their number if neither --count nor --latents decides it. check: a function of their
    number, called before they are drawn, which raises UserError if there are too many.
    Raises UserError if they can't be read, or are not finite.
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
    """Draws latents from N(0, 1): float32 (count, size)."""
    latents = np.random.RandomState(seed).standard_normal((count, size))
    return latents.astype(np.float32)


def read_latents(path, size):
    """Reads latents from a .npy file: float32 (N, size). Raises UserError for any other file."""
    if not os.path.isfile(path):
        raise UserError('%s is not a regular file; latents are read from a .npy file' % path
                        if os.path.exists(path) else '%s does not exist' % path)
    with open(path, 'rb') as file:
        if file.read(6) != b'\x93NUMPY':
            raise UserError('%s is no .npy file: numpy.save writes one, numpy.savez does not'
                            % path)
    try:
        # With mmap, NumPy compares the size in the header with the size of the file.
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
    """Writes latents in the .npy format to a file of exactly this name."""
    with replacing(path) as aside, open(aside, 'wb') as file:
        np.save(file, latents)


def walk(latents, steps, linear, closed):
    """Interpolates from each latent to the next; float32 (legs, steps, N).

    closed: a last leg leads back to the first latent, and no leg includes its end, so that the legs
        are a loop without a pause. Otherwise each leg includes both ends.
    Interpolation is spherical unless linear: latents of a normal distribution lie near a sphere,
    and a straight line leaves it, to where the generator was not trained (White 2016, 'Sampling
    Generative Networks', https://arxiv.org/abs/1609.04468, section 2).
    """
    ends = np.roll(latents, -1, axis=0) if closed else latents[1:]
    t = np.linspace(0, 1, steps, endpoint=not closed)[:, None]
    return np.stack([_between(a, b, t, linear) for a, b in zip(latents.astype(float), ends)]
                    ).astype(np.float32)


def _between(a, b, t, linear):
    cosine = np.dot(a, b) / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))
    if linear or np.sin(angle) < 1e-6:          # in line with the origin: no great circle
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
