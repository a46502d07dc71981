"""Look at a trained generator, or take it elsewhere.

    python wgan_generate.py runs/faces --out faces.png                      a grid
    python wgan_generate.py runs/faces --out faces --count 1000             single images
    python wgan_generate.py runs/faces --out walk.png --interpolate 4       a walk, as a strip
    python wgan_generate.py runs/faces --out walk.gif --interpolate 6       ... as a loop
    python wgan_generate.py runs/names --out names.txt --count 1000         lines of text
    python wgan_generate.py runs/faces --export-onnx faces.onnx             for other programs

A generator that was trained with labels makes a row for each; --label chooses.
"""

import json
import os

from wgan.machine.command_line import (
    Parser, Progress, UserError, check_output_folder, check_outputs, number, one_line, report, run,
    warn)
from wgan.machine.device import add_device_option, select_device

import numpy as np

from wgan.generators import onnx_file as onnx_generator
from wgan.pictures.animation import check_animation, write_animation
from wgan.machine.disk import remove_left_behind, replacing
from wgan.generators.evaluation import generated, latent_input, makes_text
from wgan.datasets.image_files import counted
from wgan.datasets.images import check_image, grid, write_image
from wgan.generators.files import (
    config_of, find_generator, generator_characters, generator_labels, load_any_generator)
from wgan.pictures.label_grid import label_grid, readable
from wgan.datasets.labels import FIRST_IMAGE, IMAGE_FILE, LABELS_FILE, choose, draw_labels, one_hot
from wgan.generators.latents import draw_latents, read_latents, save_latents, walk
from wgan.datasets.text import decode, generated_codes, unique_lines, write_lines

# Where an option is not given, argparse leaves None, so that one without effect can be refused.
DEFAULTS = {'columns': 8, 'border': 0, 'scale': 1, 'steps': 16, 'linear': False,
            'truncation': 1.0, 'unique': False}
LINES = 64                      # of text, if --count does not say


def default_of(name):
    return ' (default: %s)' % DEFAULTS[name]


def parser():
    p = Parser(description='Make images or lines of text with a trained generator.',
               usage='%(prog)s RUN-OR-MODEL --out FILE [options]')
    count, seed = number(int, 1), number(int, 0, 2 ** 32 - 1)
    p.add_argument('model', metavar='RUN-OR-MODEL', help='run folder (its best generator, if '
                   'it was scored, else the averaged one), or a generator file, of CNTK or .onnx')
    p.add_argument('--force', action='store_true', help='overwrite without asking')
    add_device_option(p)

    g = p.add_argument_group('what to make')
    g.add_argument('--out', help='image of the grid or strip; .gif or .mp4 of a loop; with '
                   '--count a folder. Of text: a .txt file, a line for each')
    g.add_argument('--label', metavar='NAME[,NAME]', help='of which kind, if the generator was '
                   'trained with labels: a grid has rows for each, a walk goes from one to the '
                   'next (default: all)')
    g.add_argument('--rows', type=count, help='rows of the grid; with labels, rows for each '
                   '(default: 8; with labels 1)')
    g.add_argument('--columns', type=count, help='columns of the grid' + default_of('columns'))
    g.add_argument('--border', type=number(int, 0), help='pixels between the images of a grid '
                   'or strip' + default_of('border'))
    g.add_argument('--scale', type=count, help='enlarge each pixel to a square of this width'
                   + default_of('scale'))
    g.add_argument('--count', type=count, help='write this many single images, or lines')
    g.add_argument('--unique', action='store_true', default=None, help='of lines: no two that are '
                   'the same')
    g.add_argument('--interpolate', type=number(int, 2), metavar='K', help='walk through K '
                   'latents: a strip with a row for each leg, or a loop')
    g.add_argument('--steps', type=number(int, 2), help='images on each leg of a walk'
                   + default_of('steps'))
    g.add_argument('--linear', action='store_true', default=None, help='walk straight, not on '
                   'the sphere')
    g.add_argument('--export-onnx', metavar='FILE', help='write the generator as an ONNX file')

    g = p.add_argument_group('from which latents')
    g.add_argument('--seed', type=seed, default=0, help='another seed, other images')
    g.add_argument('--truncation', type=number(float, 0), help='multiplies the latents: '
                   'below 1 more ordinary images and fewer kinds' + default_of('truncation'))
    g.add_argument('--latents', metavar='FILE.npy', help='take these, (N, latent size), instead '
                   'of drawing some; they decide how many images there are')
    g.add_argument('--save-latents', metavar='FILE.npy', help='write the latents down, in '
                   'the .npy format')
    g.add_argument('--batch-size', type=count, default=64, help='images computed at once; they '
                   'are the same for any')
    return p


def read_options():
    """The command line, checked; raises UserError if an option in it would have no effect."""
    p = parser()
    options = p.parse_args()
    if not (options.out or options.save_latents or options.export_onnx):
        p.error('give --out, --export-onnx, --save-latents, or several of them')
    if options.count and options.interpolate:
        p.error('--count and --interpolate exclude each other')
    options.moving = bool(options.out) and options.out.lower().endswith(('.gif', '.mp4'))
    options.lines = bool(options.out) and options.out.lower().endswith('.txt')
    if options.moving and not options.count and not options.interpolate:
        raise UserError('%s would be an animation: say with --interpolate between how many '
                        'latents' % options.out)
    for without_effect, names, why in (
            (not (options.out or options.save_latents),
             ('count', 'interpolate', 'latents', 'label', 'rows', 'columns', 'truncation'),
             'it is for images and latents, and neither --out nor --save-latents is given'),
            (not options.out, ('border', 'scale', 'steps', 'linear'),
             'it is for images, and --out is not given'),
            (options.count, ('rows', 'columns', 'border'), '--count asks for single images'),
            (options.interpolate, ('rows', 'columns'), 'a walk has a row for each of its legs'),
            (not options.interpolate, ('steps', 'linear'), 'it is for a walk: --interpolate'),
            (options.latents, ('rows',), 'there are as many rows as --latents needs'),
            (options.moving, ('border',), 'in an animation no images lie side by side'),
            (options.lines, ('label', 'rows', 'columns', 'border', 'scale'),
             'it is for images, and a .txt file holds lines of text'),
            (not options.lines, ('unique',), 'it is for lines of text: --out FILE.txt'),
            (options.unique, ('interpolate', 'latents', 'save_latents'),
             '--unique draws latents until there are lines enough')):
        for name in names:
            if without_effect and getattr(options, name) is not None:
                p.error('--%s would have no effect: %s' % (name.replace('_', '-'), why))
    for name, value in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def check_before_the_work(options):
    """Raises UserError if an output can't be written, or is not to be overwritten."""
    single = options.count is not None and not options.lines
    if options.out and not single and not options.lines:
        (check_animation if options.moving else check_image)(options.out)
    check_outputs(options.export_onnx, options.save_latents, None if single else options.out,
                  force=options.force)
    if options.out and single:
        check_output_folder(options.out, options.force)


def find_latents(options, generator, kinds):
    """Read or draw the latents that the options ask for: float32 (N, latent size).

    kinds: how many labels a grid shows; 0: the generator takes none.
    Raises UserError if there are none to be had, or --out could not hold the images of them.
    """
    size, asked = latent_input(generator).shape[0], options.count or options.interpolate
    latents = read_latents(options.latents, size) if options.latents else None
    rows = options.rows or (1 if kinds else 8)
    count = len(latents) if options.latents else asked or rows * options.columns
    if asked and asked != count:
        raise UserError('--%s is %d, but %s holds %d latents' % (
            'count' if options.count else 'interpolate', asked, options.latents, count))
    if options.out and not options.lines:
        check_size(options, count, max(generator.output.shape[1:]), max(kinds, 1))
    if latents is None:
        latents = draw_latents(count, size, options.seed)
    with np.errstate(over='ignore'):
        latents = latents * np.float32(options.truncation)
    if not np.isfinite(latents).all():
        raise UserError('--truncation %g makes latents that are NaN or infinite'
                        % options.truncation)
    return latents


def check_size(options, count, size, kinds):
    """Raises UserError if the format of --out allows no image as large.

    count: of latents. size: width and height of an image that the generator makes. kinds: how
    often a grid has them.
    """
    if options.count:
        check_image(os.path.join(options.out, FIRST_IMAGE), size * options.scale,
                    size * options.scale)
    elif options.moving:
        check_animation(options.out, size * options.scale, size * options.scale,
                        count * options.steps)
    else:
        rows, columns = ((count - 1, options.steps) if options.interpolate else
                         (kinds * -(-count // options.columns), options.columns))
        check_image(options.out, *(
            (n * (size + options.border) - options.border) * options.scale
            for n in (rows, columns)))


def labels_for(count, labels, chosen, options):
    """Labels for so many latents, as `one_hot` gives them: the chosen ones in turn; for single
    images, if none was named, as often as the data has them.
    """
    if options.count and options.label is None:
        return draw_labels(np.random.RandomState([options.seed, 1]), count, labels.counts)
    if not chosen:
        return np.zeros((count, 0), np.float32)
    return one_hot(np.resize(chosen, count), len(labels.names))


def enlarge(image, scale):
    """Each pixel as a square of scale × scale: no blur."""
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def write_single_images(generator, latents, labels, names, options):
    """labels: of each, as `one_hot` gives them. names: of all labels; if there are some, a map file
    says which image has which.
    """
    os.makedirs(options.out, exist_ok=True)
    remove_left_behind(options.out)
    progress, files = Progress('generating', len(latents)), []
    for images in generated(generator, latents, options.batch_size, options.model, labels):
        for image in images:
            files.append(IMAGE_FILE % len(files))
            write_image(os.path.join(options.out, files[-1]), enlarge(image, options.scale))
        progress.show(len(files))
    if names:
        with replacing(os.path.join(options.out, LABELS_FILE)) as aside, open(
                aside, 'w', encoding='utf-8', errors='surrogateescape') as file:
            file.writelines('%s\t%s\n' % (name, names[label])
                            for name, label in zip(files, labels.argmax(axis=1)))
    progress.end('%d images in %s' % (len(latents), options.out))
    _report_others(options.out, files + [LABELS_FILE] * bool(names))


def _report_others(folder, written):
    """Say which files were in the folder before, and are still."""
    others = sorted(name for name in set(os.listdir(folder)) - set(written) if name[0] != '.')
    if others:
        warn('%s has %s that this call did not write (%s%s); what reads the folder reads %s too' % (
            one_line(folder), counted(len(others), 'file'), one_line(others[0]),
            *((' …', 'them') if len(others) > 1 else ('', 'it'))))


def write_grid(generator, latents, chosen, names, options):
    """A grid of all latents, or with labels the same latents for each of the chosen ones."""
    columns, blank = options.columns, -len(latents) % options.columns
    labels = one_hot(np.repeat(chosen, len(latents)), len(names)) if chosen else None
    images = np.concatenate(list(generated(
        generator, np.tile(latents, (max(1, len(chosen)), 1)), options.batch_size, options.model,
        labels)))
    images = images.repeat(options.scale, axis=1).repeat(options.scale, axis=2)
    border = options.border * options.scale
    if not chosen:
        write_image(options.out, grid(images, columns, border))
        return
    white = np.full((blank,) + images.shape[1:], 255, np.uint8)
    rows = np.concatenate([part for of_one in np.split(images, len(chosen))
                           for part in (of_one, white)])
    shown = readable(names)
    empty = [''] * (len(rows) // columns // len(chosen) - 1)
    write_image(options.out, label_grid(
        rows, [name for label in chosen for name in [shown[label]] + empty], columns, border))


def write_walk(generator, latents, labels, options):
    """A strip (image file) or a loop (.gif, .mp4); labels: of each latent."""
    latents = walk(latents, options.steps, options.linear, closed=options.moving)
    labels = walk(labels, options.steps, linear=True, closed=options.moving)
    images = np.concatenate(list(generated(
        generator, np.concatenate(latents), options.batch_size, options.model,
        np.concatenate(labels))))
    if options.moving:
        frames = [enlarge(image, options.scale) for image in images]
        write_animation(options.out, frames, seconds=1 / 15)
    else:
        write_image(options.out, enlarge(grid(images, options.steps, options.border),
                                         options.scale))


def write_text(generator, path, options):
    """Lines: of drawn or given latents, all different if asked for, or on the way between some."""
    characters, batch_size = generator_characters(path, generator), options.batch_size
    if options.unique:
        lines = unique_lines(generator, characters, options.count or LINES, options.seed,
                             options.truncation, batch_size, options.model)
    else:
        latents = find_latents(options, generator, 0)
        if options.save_latents:
            save_latents(options.save_latents, latents)
            report('wrote ' + options.save_latents)
        if options.interpolate:
            latents = np.concatenate(walk(latents, options.steps, options.linear, closed=False))
        lines = decode(generated_codes(generator, latents, batch_size, options.model), characters)
    write_lines(options.out, lines)
    report('wrote %s: %d lines' % (options.out, len(lines)))


def describe(path, generator):
    """What an ONNX file says of the generator in the file `path`: dict of str → str."""
    output = ('probabilities of characters' if makes_text(generator) else
              '%s, -1 to 1' % ('RGB' if generator.output.shape[0] == 3 else 'grey'))
    about = {'name': one_line(os.path.basename(path)), 'latent': 'drawn from N(0, 1)',
             'output': output}
    config = config_of(path)
    return dict(about, training=json.dumps(config, sort_keys=True)) if config else about


def main():
    options = read_options()
    check_before_the_work(options)
    select_device(options.device)
    path = find_generator(options.model)
    generator = load_any_generator(path)
    if options.out and makes_text(generator) != options.lines:
        raise UserError('%s is a generator of %s' % (one_line(path), (
            'text: --out takes a .txt file' if makes_text(generator) else
            'images, and a .txt file holds lines of text')))
    labels = generator_labels(path, generator)
    chosen = choose(options.label, labels, options.model)
    if options.export_onnx and path.lower().endswith('.onnx'):
        raise UserError('%s is an ONNX file already: copy it' % one_line(path))
    about = describe(path, generator) if options.export_onnx else None
    if (options.out or options.save_latents) and not options.lines:
        latents = find_latents(options, generator, len(chosen))

    if options.export_onnx:
        report('wrote %s; ONNX Runtime differs from CNTK by at most %.1e' % (
            options.export_onnx, onnx_generator.export(generator, options.export_onnx, about)))
    if options.lines:
        write_text(generator, path, options)
        return
    if options.save_latents:
        save_latents(options.save_latents, latents)
        report('wrote ' + options.save_latents)
    if not options.out:
        return
    if options.count or options.interpolate:
        given = labels_for(len(latents), labels, chosen, options)
    if options.count:
        write_single_images(generator, latents, given, labels.names, options)
        return
    if options.interpolate:
        write_walk(generator, latents, given, options)
    else:
        write_grid(generator, latents, chosen, labels.names, options)
    report('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
