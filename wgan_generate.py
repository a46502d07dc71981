"""Make images or lines of text with a trained generator.

    python wgan_generate.py runs/faces --out faces.png                      a grid
    python wgan_generate.py runs/faces --out faces --count 1000             single images
    python wgan_generate.py runs/names --out names.txt --count 1000         lines of text

A generator that was trained with labels makes a row for each label; --label selects some.
"""

import os

from wgan.machine.command_line import (
    Parser, Progress, UserError, check_output_folder, check_outputs, number, one_line, report, run,
    warn)
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.image_files import counted
from wgan.datasets.images import check_image, enlarge, grid, write_image
from wgan.datasets.labels import FIRST_IMAGE, IMAGE_FILE, LABELS_FILE, choose, draw_labels, one_hot
from wgan.datasets.text import decode, write_lines
from wgan.generators.evaluation import generated, generated_codes
from wgan.generators.files import Generator
from wgan.generators.latents import add_options, find_latents
from wgan.machine.disk import remove_left_behind, replacing
from wgan.pictures.label_grid import label_grid, readable

LINES = 64                      # default of --count for text
MOST_DRAWN = 20                 # --unique draws at most this many times --count


def parse():
    """Parses the command line. Raises UserError if an option would have no effect."""
    p = Parser(description='Make images or lines of text with a trained generator.',
               usage='%(prog)s RUN-OR-MODEL --out FILE [options]')
    count = number(int, 1)
    p.add_argument('model', metavar='RUN-OR-MODEL', help='run folder (its best generator, if '
                   'it was scored, else the averaged one), or a generator file, of CNTK or .onnx')
    p.add_argument('--out', required=True, help='image file of a grid; with --count, folder of '
                   'images; for text, a .txt file')
    p.add_argument('--count', type=count, help='number of single images, or of lines')
    p.add_argument('--label', metavar='NAME[,NAME]', help='labels to generate, if the generator '
                   'was trained with labels; a grid has rows for each (default: all)')
    p.add_argument('--rows', type=count, help='rows of the grid; with labels, rows for each '
                   '(default: 8; with labels 1)')
    p.add_argument('--columns', type=count, help='columns of the grid (default: 8)')
    p.add_argument('--border', type=number(int, 0), help='pixels between the images of a grid '
                   '(default: 0)')
    p.add_argument('--scale', type=count, help='enlarge each pixel to a square of this width '
                   '(default: 1)')
    p.add_argument('--unique', action='store_true', default=None, help='no two equal lines')
    add_options(p)
    options = p.parse_args()
    options.of_text = options.out.lower().endswith('.txt')
    for without_effect, names, why in (
            (options.of_text, ('rows', 'columns', 'border', 'scale'),
             'it is for images, and a .txt file holds lines of text'),
            (options.count, ('rows', 'columns', 'border'), '--count asks for single images'),
            (options.latents, ('rows',), 'there are as many rows as --latents needs'),
            (not options.of_text, ('unique',), 'it is for lines of text: --out FILE.txt'),
            (options.unique, ('latents', 'save_latents'),
             '--unique draws latents until there are enough lines')):
        for name in names:
            if without_effect and getattr(options, name) is not None:
                p.error('--%s would have no effect: %s' % (name.replace('_', '-'), why))
    options.columns, options.scale = options.columns or 8, options.scale or 1
    options.border = options.border or 0
    return options


def check_size(options, count, size, labels):
    """Raises UserError if the image would be too large for the format of --out.

    count: number of latents. size: width and height of a generated image. labels: number of labels
    in a grid.
    """
    if options.of_text:
        return
    if options.count:
        check_image(os.path.join(options.out, FIRST_IMAGE), size * options.scale,
                    size * options.scale)
    else:
        rows = max(labels, 1) * -(-count // options.columns)
        check_image(options.out, *(
            (n * (size + options.border) - options.border) * options.scale
            for n in (rows, options.columns)))


def write_single_images(generator, latents, labels, options):
    """Writes numbered image files. If the generator has labels, also writes their map file.

    labels: numbers of the labels to take in turn. If the user named none, labels are drawn with
    the frequencies of the data.
    """
    names, counts = generator.labels
    vectors = (draw_labels(np.random.RandomState([options.seed, 1]), len(latents), counts)
               if options.label is None else one_hot(np.resize(labels, len(latents)), len(names)))
    os.makedirs(options.out, exist_ok=True)
    remove_left_behind(options.out)
    progress, files = Progress('generating', len(latents)), []
    for images in generated(generator.network, latents, options.batch_size, options.model, vectors):
        for image in enlarge(images, options.scale):
            files.append(IMAGE_FILE % len(files))
            write_image(os.path.join(options.out, files[-1]), image)
        progress.show(len(files))
    if names:
        with replacing(os.path.join(options.out, LABELS_FILE)) as aside, open(
                aside, 'w', encoding='utf-8', errors='surrogateescape') as file:
            file.writelines('%s\t%s\n' % (name, names[label])
                            for name, label in zip(files, vectors.argmax(axis=1)))
    progress.end('%d images in %s' % (len(latents), options.out))
    _report_others(options.out, files + [LABELS_FILE] * bool(names))


def _report_others(folder, written):
    """Warns of other files in the folder."""
    others = sorted(name for name in set(os.listdir(folder)) - set(written) if name[0] != '.')
    if others:
        warn('%s has %s that this call did not write (%s%s); what reads the folder reads %s too' % (
            one_line(folder), counted(len(others), 'file'), one_line(others[0]),
            *((' …', 'them') if len(others) > 1 else ('', 'it'))))


def write_grid(generator, latents, labels, options):
    """Writes a grid of all latents; with labels, of the same latents for each label number."""
    columns, border, names = options.columns, options.border * options.scale, generator.labels.names
    vectors = one_hot(np.repeat(labels, len(latents)), len(names))
    images = enlarge(np.concatenate(list(generated(
        generator.network, np.tile(latents, (max(1, len(labels)), 1)), options.batch_size,
        options.model, vectors))), options.scale)
    if not labels:
        write_image(options.out, grid(images, columns, border))
        return
    white = np.full((-len(latents) % columns,) + images.shape[1:], 255, np.uint8)
    rows = np.concatenate([part for of_one in np.split(images, len(labels))
                           for part in (of_one, white)])
    texts, empty = readable(names), [''] * (len(rows) // columns // len(labels) - 1)
    write_image(options.out, label_grid(
        rows, [name for label in labels for name in [texts[label]] + empty], columns, border))


def unique_lines(generator, options):
    """Returns different lines, in the order in which they are drawn.

    Raises UserError if MOST_DRAWN times as many latents do not give enough of them.
    """
    count, lines = options.count or LINES, {}
    rng, characters = np.random.RandomState(options.seed), generator.characters
    progress = Progress('generating', count)
    for _ in range(MOST_DRAWN):
        latents = rng.standard_normal((count, generator.latent_size)) * options.truncation
        for line in decode(generated_codes(generator.network, latents.astype(np.float32),
                                           options.batch_size, options.model), characters):
            lines.setdefault(line)
        progress.show(min(len(lines), count))
        if len(lines) >= count:
            progress.end('%d different lines' % count)
            return list(lines)[:count]
    raise UserError('of %d lines that %s makes, only %d are different; ask for fewer with --count, '
                    'or leave out --unique' % (MOST_DRAWN * count, one_line(options.model),
                                               len(lines)))


def main():
    options = parse()
    single = options.count is not None and not options.of_text
    if not single and not options.of_text:
        check_image(options.out)
    check_outputs(options.save_latents, None if single else options.out, force=options.force)
    if single:
        check_output_folder(options.out, options.force)
    select_device(options.device)
    generator = Generator(options.model, options.of_text)
    labels = choose(options.label, generator.labels, options.model)
    if options.unique:
        lines = unique_lines(generator, options)
    else:
        latents = find_latents(
            options, generator.latent_size,
            LINES if options.of_text else (options.rows or (1 if labels else 8)) * options.columns,
            lambda count: check_size(options, count, generator.network.output.shape[2],
                                     len(labels)))
        if options.of_text:
            lines = decode(generated_codes(generator.network, latents, options.batch_size,
                                           options.model), generator.characters)
    if options.of_text:
        write_lines(options.out, lines)
        report('wrote %s: %d lines' % (options.out, len(lines)))
    elif single:
        write_single_images(generator, latents, labels, options)
    else:
        write_grid(generator, latents, labels, options)
        report('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
