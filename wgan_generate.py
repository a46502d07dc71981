"""Look at a trained generator, or take it elsewhere.

    python wgan_generate.py runs/faces --out faces.png                      a grid
    python wgan_generate.py runs/faces --out faces --count 1000             single pictures
    python wgan_generate.py runs/faces --out walk.png --interpolate 4       a walk, as a strip
    python wgan_generate.py runs/faces --out walk.gif --interpolate 6       ... as a loop
    python wgan_generate.py runs/faces --export-onnx faces.onnx             for other programs
"""

import json
import os

from command_line import Parser, Progress, UserError, check_outputs, number, run
from quiet_cntk import C, quiet, select_device

import cv2
import numpy as np

import models
import onnx_generator
from animation import write_animation
from faces import grid, to_pictures, write_picture

# What a run folder calls its generators, best first: the one of the lowest FID, if the run was
# scored; then averaged weights, which make steadier pictures.
GENERATORS = ('wgan_generator_best.model', 'wgan_generator_average.model', 'wgan_generator.model')


def find_generator(path):
    """The model file that `path`, a run folder or a file, stands for. Raises UserError."""
    if os.path.isfile(path):
        return path
    for name in GENERATORS:
        if os.path.isfile(os.path.join(path, name)):
            return os.path.join(path, name)
    raise UserError('there is no model in %s; training writes %s with each checkpoint'
                    % (path, GENERATORS[-1]))


def load_generator(path):
    """The generator in a CNTK or ONNX file. Raises UserError if there is none in it."""
    is_onnx = path.lower().endswith('.onnx')
    with quiet():
        try:
            model = onnx_generator.load(path) if is_onnx else C.Function.load(path)
        except Exception as error:              # of several types, depending on the content
            raise UserError('%s is no %s model that can be read (%s)' % (
                path, 'ONNX' if is_onnx else 'CNTK', str(error).split('\n')[0]))
    shapes = [x.shape for x in model.arguments], [y.shape for y in model.outputs]
    if not (len(shapes[0]) == len(shapes[1]) == 1 and len(shapes[0][0]) == 1
            and len(shapes[1][0]) == 3 and shapes[1][0][0] == 3):
        raise UserError('%s is a model, but no generator: it makes %s from %s, not one picture '
                        '(3, S, S) from one latent (N,)' % (path, shapes[1], shapes[0]))
    return model


def read_latents(path, size):
    """Latents from a .npy file, float32 (N, size). Raises UserError if they are something else."""
    try:
        latents = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise UserError('%s is no .npy file of numbers' % path)
    if latents.ndim != 2 or latents.shape[1] != size or not len(latents):
        raise UserError('%s holds an array of shape %s; this generator takes (N, %d)'
                        % (path, latents.shape, size))
    if not (np.issubdtype(latents.dtype, np.floating) and np.isfinite(latents).all()):
        raise UserError('%s holds something else than finite floating-point numbers' % path)
    return latents.astype(np.float32)


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


def enlarge(picture, scale):
    """Each pixel as a square of scale × scale: no blur."""
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)


def write_single_pictures(generator, latents, options):
    os.makedirs(options.out, exist_ok=True)
    if os.listdir(options.out) and not options.force:
        raise UserError('the folder %s is not empty; --force writes into it' % options.out)
    progress = Progress('generating', len(latents))
    for first in range(0, len(latents), options.batch_size):
        batch = latents[first:first + options.batch_size]
        pictures = to_pictures(models.generate(generator, batch, options.batch_size))
        for i, picture in enumerate(pictures, first):
            write_picture(os.path.join(options.out, '%06d.png' % i),
                          enlarge(picture, options.scale))
        progress.show(first + len(pictures))
    progress.end('%d pictures in %s' % (len(latents), options.out))


def write_one_file(generator, latents, options):
    """A grid, or with --interpolate a strip (picture file) or a loop (.gif, .mp4)."""
    columns = options.columns
    moving = options.out.lower().endswith(('.gif', '.mp4'))
    if moving and not options.interpolate:
        raise UserError('%s would be an animation: say with --interpolate between how many '
                        'latents' % options.out)
    if options.interpolate:
        legs = walk(latents, options.steps, options.linear, closed=moving)
        latents, columns = legs.reshape(-1, legs.shape[2]), options.steps
    pictures = to_pictures(models.generate(generator, latents, options.batch_size))
    if moving:
        frames = [enlarge(picture, options.scale) for picture in pictures]
        write_animation(options.out, frames, seconds=1 / 15)
    else:
        write_picture(options.out, enlarge(grid(pictures, columns, options.border),
                                           options.scale))
    print('wrote ' + options.out)


def export_onnx(generator, path, options):
    settings = {'name': os.path.basename(path), 'output': 'RGB, -1 to 1',
                'latent': 'drawn from N(0, 1)'}
    config = os.path.join(os.path.dirname(path), 'config.json')
    if os.path.isfile(config):                  # a model file may have left its run folder
        with open(config) as file:
            settings['training'] = json.dumps(json.load(file), sort_keys=True)
    deviation = onnx_generator.export(generator, options.export_onnx, settings)
    print('wrote %s; ONNX Runtime differs from CNTK by at most %.1e'
          % (options.export_onnx, deviation))


def parse():
    p = Parser(description='Make pictures with a trained generator.', usage='%(prog)s '
               'RUN-OR-MODEL --out FILE [options]')
    count, seed = number(int, 1), number(int, 0, 2 ** 32 - 1)
    p.add_argument('model', metavar='RUN-OR-MODEL', help='run folder (its best generator, if '
                   'it was scored, else the averaged one), or a generator file, of CNTK or .onnx')
    p.add_argument('--force', action='store_true', help='overwrite without asking')
    p.add_argument('--device', choices=('auto', 'cpu', 'gpu'), default='auto',
                   help='auto takes a GPU if CNTK finds one')

    g = p.add_argument_group('what to make')
    g.add_argument('--out', help='picture of the grid or strip; .gif or .mp4 of a loop; with '
                   '--count a folder')
    g.add_argument('--rows', type=count, default=8, help='rows of the grid')
    g.add_argument('--columns', type=count, default=8, help='columns of the grid')
    g.add_argument('--border', type=number(int, 0), default=0, help='pixels between the pictures '
                   'of a grid or strip')
    g.add_argument('--scale', type=count, default=1, help='enlarge each pixel to a square of this '
                   'width')
    g.add_argument('--count', type=count, help='write this many single pictures')
    g.add_argument('--interpolate', type=number(int, 2), metavar='K', help='walk through K '
                   'latents: a strip with a row for each leg, or a loop')
    g.add_argument('--steps', type=number(int, 2), default=16, help='pictures on each leg of a '
                   'walk')
    g.add_argument('--linear', action='store_true', help='walk straight, not on the sphere')
    g.add_argument('--export-onnx', metavar='FILE', help='write the generator as an ONNX file')

    g = p.add_argument_group('from which latents')
    g.add_argument('--seed', type=seed, default=0, help='another seed, other pictures')
    g.add_argument('--truncation', type=number(float, 0), default=1.0, help='multiplies the '
                   'latents: below 1 more ordinary pictures and fewer kinds, 1 is off')
    g.add_argument('--latents', metavar='FILE.npy', help='take these, (N, latent size), instead '
                   'of drawing some; they decide how many pictures there are')
    g.add_argument('--save-latents', metavar='FILE.npy', help='write the latents down')
    g.add_argument('--batch-size', type=count, default=64, help='pictures computed at once; they '
                   'are the same for any')
    options = p.parse_args()
    if not (options.out or options.export_onnx):
        p.error('give --out, --export-onnx or both')
    if options.count and options.interpolate:
        p.error('--count and --interpolate exclude each other')
    return options


def main():
    options = parse()
    select_device(options.device)
    path = find_generator(options.model)
    generator = load_generator(path)
    check_outputs(options.export_onnx, options.save_latents,
                  None if options.count else options.out, force=options.force)
    if options.export_onnx:
        export_onnx(generator, path, options)
    if not options.out:
        return

    size = generator.arguments[0].shape[0]
    if options.latents:
        latents = read_latents(options.latents, size)
    else:
        count = options.count or options.interpolate or options.rows * options.columns
        latents = np.random.RandomState(options.seed).standard_normal((count, size))
        latents = latents.astype(np.float32)
    latents = latents * np.float32(options.truncation)
    if options.save_latents:
        np.save(options.save_latents, latents)
    if options.count:
        write_single_pictures(generator, latents, options)
    else:
        write_one_file(generator, latents, options)


if __name__ == '__main__':
    run(main)
