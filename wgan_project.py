"""Project pictures: find the latents whose images are nearest to them.

    python wgan_project.py runs/faces photo.jpg --out found
    python wgan_project.py runs/faces photographs --out found

The folder then has pairs.png (each picture, with the image that was found to its right),
latents.npy (for --latents of other programs) and projection.json.
"""

import os

from wgan.machine.command_line import (
    Parser, UserError, check_output_folder, number, one_line, report, run)
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.image_decoder import ImageReader, UnreadableImage, decode, read_file
from wgan.datasets.image_files import counted, find_images
from wgan.datasets.images import centre_square, check_image, enlarge, grid, to_images, write_image
from wgan.datasets.labels import choose, one_hot
from wgan.generators.files import Generator
from wgan.generators.latents import save_latents
from wgan.generators.projection import (
    add_options, as_output, find_critic, project, psnr, side_of)
from wgan.machine.disk import as_text, remove_left_behind, write_json

PAIRS, LATENTS, RESULTS = 'pairs.png', 'latents.npy', 'projection.json'
BORDER = 2                      # white pixels between the images of pairs.png


def parse():
    p = Parser(description='Find the latents whose images are nearest to given pictures.',
               usage='%(prog)s RUN-OR-MODEL PICTURE [PICTURE ...] --out FOLDER [options]')
    p.add_argument('model', metavar='RUN-OR-MODEL', help='run folder, or a generator file, of CNTK '
                   'or .onnx; a critic beside it compares the pictures too')
    p.add_argument('pictures', metavar='PICTURE', nargs='+', help='image file, or folder of images')
    p.add_argument('--out', metavar='FOLDER', required=True, help='folder to write %s, %s and %s '
                   'to' % (PAIRS, LATENTS, RESULTS))
    p.add_argument('--label', metavar='NAME[,NAME]', help='labels to try, if the generator was '
                   'trained with labels (default: all)')
    p.add_argument('--scale', type=number(int, 1), default=1, help='enlarge each pixel of %s to a '
                   'square of this width' % PAIRS)
    add_options(p)
    return p.parse_args()


def read_pictures(sources, size):
    """Reads files and folders. Returns (paths, pictures): centre squares, uint8 (N, S, S, 3).

    Raises UserError for a file that can't be read; those in folders are named and skipped.
    """
    paths, pictures, reader = [], [], ImageReader()
    for source in sources:
        for path in find_images(source, 'PICTURE') if os.path.isdir(source) else [source]:
            image = reader.read(path) if os.path.isdir(source) else read_named(path, reader)
            if image is None:
                continue
            height, width = image.shape[:2]
            if height != width:
                reader.remark(path, {'square': 'of %d × %d pixels, the centre square is taken'
                                     % (width, height)})
            paths.append(path)
            pictures.append(centre_square(image, size))
    reader.warn()
    if not paths:
        raise UserError('none of the images in %s can be read' % ', '.join(map(one_line, sources)))
    return paths, np.stack(pictures)


def read_named(path, reader):
    """Reads a file that the user named. Raises UserError."""
    if not os.path.isfile(path):
        raise UserError('%s %s; name an image file, or a folder of images' % (
            one_line(path) or "''", 'is not a regular file' if os.path.exists(path)
            else 'does not exist'))
    try:
        image, remarks = decode(read_file(path))
    except UnreadableImage as error:
        raise UserError('%s can not be read: %s' % (one_line(path), error))
    reader.remark(path, remarks)
    return image


def columns_of(count):
    """The number of columns of pairs.png for so many pairs: about as wide as high."""
    return 2 * int(np.ceil(np.sqrt(count / 2)))


def check_size(folder, count, side):
    """Raises UserError if pairs.png would be too large. side: of an image, in pixels."""
    columns = columns_of(count)
    check_image(os.path.join(folder, PAIRS), *(n * (side + BORDER) for n in (
        -(-2 * count // columns), columns)))


def write(folder, pictures, found, scale, results):
    """Writes the three files into the folder. found: a Projection of the pictures."""
    os.makedirs(folder, exist_ok=True)
    remove_left_behind(folder)
    pairs = np.stack([pictures, to_images(found.images)], axis=1)
    write_image(os.path.join(folder, PAIRS), grid(
        enlarge(pairs.reshape((-1,) + pictures.shape[1:]), scale), columns_of(len(pictures)),
        BORDER))
    save_latents(os.path.join(folder, LATENTS), found.latents)
    write_json(os.path.join(folder, RESULTS), results)


def main():
    options = parse()
    check_output_folder(options.out, options.force)
    select_device(options.device)
    generator = Generator(options.model, of_text=False)
    names, size = generator.labels.names, side_of(generator)
    chosen = choose(options.label, generator.labels, options.model)
    critic = find_critic(generator)
    paths, pictures = read_pictures(options.pictures, size)
    check_size(options.out, len(paths), size * options.scale)
    targets = as_output(pictures, generator.network)
    found = project(generator.network, targets, labels=one_hot(chosen or [0], len(names)),
                    starts=options.starts, steps=options.steps, seed=options.seed,
                    name=options.model, critic=critic)
    values = psnr(found.images, targets)
    labels = [names[i] if names else None for i in found.labels]
    write(options.out, pictures, found, options.scale, {
        'generator': as_text(generator.path), 'critic': critic is not None,
        'starts': options.starts, 'steps': options.steps, 'seed': options.seed,
        'pictures': [{'file': as_text(path), 'psnr': float(value), 'label': label}
                     for path, value, label in zip(paths, values, labels)]})
    for path, value, label in zip(paths, values, labels):
        print('%5.1f dB  %s%s' % (value, one_line(path), ', ' + one_line(label) if label else ''))
    report('wrote %s; PSNR of %s: median %.1f dB, quartiles %.1f and %.1f' % (
        options.out, counted(len(paths), 'picture'), *np.percentile(values, [50, 25, 75])))


if __name__ == '__main__':
    run(main)
