"""Walk through the latents of a generator: from each to the next.

    python wgan_walk.py runs/faces --out walk.png --count 4     a strip, with a row for each leg
    python wgan_walk.py runs/faces --out walk.gif               a loop
    python wgan_walk.py runs/faces --out strip.png --directions 3      along directions
    python wgan_walk.py runs/names --out walk.txt --steps 8     lines of text on the way
"""

from wgan.machine.command_line import (
    Parser, UserError, check_outputs, number, one_line, report, run)
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.images import check_image, enlarge, grid, write_image
from wgan.datasets.labels import choose, one_hot
from wgan.datasets.text import decode, write_lines
from wgan.generators.directions import direction_rows, directions
from wgan.generators.evaluation import generated, generated_codes
from wgan.generators.files import Generator
from wgan.generators.latents import add_options, find_latents, walk
from wgan.pictures.animation import check_animation, write_animation
from wgan.pictures.label_grid import label_grid, readable

SECONDS = 1 / 15                # of each frame


def parse():
    p = Parser(description='Walk through the latents of a generator.',
               usage='%(prog)s RUN-OR-MODEL --out FILE [options]')
    p.add_argument('model', metavar='RUN-OR-MODEL', help='run folder, or a generator file, of CNTK '
                   'or .onnx')
    p.add_argument('--out', required=True, help='image file of a strip, .gif or .mp4 file of a '
                   'loop, or .txt file of lines')
    p.add_argument('--count', type=number(int, 2), help='latents to walk through (default: 6)')
    p.add_argument('--steps', type=number(int, 2), default=16, help='images on the way from one '
                   'latent to the next')
    p.add_argument('--directions', type=number(int, 0), metavar='N', help='move each latent along '
                   'the N directions that change the first layer most, and not to the next one; '
                   'with labels also from each label to the next, with the same latent')
    p.add_argument('--linear', action='store_true', help='interpolate linearly, not on the sphere')
    p.add_argument('--label', metavar='NAME[,NAME]', help='labels to walk through, if the '
                   'generator was trained with labels (default: all)')
    p.add_argument('--scale', type=number(int, 1), help='enlarge each pixel to a square of this '
                   'width (default: 1)')
    add_options(p)
    options = p.parse_args()
    options.of_text = options.out.lower().endswith('.txt')
    options.closed = options.out.lower().endswith(('.gif', '.mp4'))
    if options.of_text and options.scale:
        p.error('--scale is for images, and a .txt file holds lines of text')
    if options.directions is not None and (options.of_text or options.closed):
        p.error('--directions makes a strip; name an image file as --out')
    if options.directions is not None and options.linear:
        p.error('--linear has no meaning with --directions: all of them are straight lines')
    return options


def main():
    options = parse()
    check_format = check_animation if options.closed else check_image
    if not options.of_text:
        check_format(options.out)
    check_outputs(options.save_latents, options.out, force=options.force)
    select_device(options.device)
    generator = Generator(options.model, options.of_text)
    labels = choose(options.label, generator.labels, options.model)
    if options.directions is not None:
        return write_directions(options, generator, labels)
    side = generator.network.output.shape[2] * (options.scale or 1)

    def check(count):
        if count < 2:
            raise UserError('%s holds one latent; a walk needs two or more' % options.latents)
        if options.closed:
            check_animation(options.out, side, side, count * options.steps)
        elif not options.of_text:
            check_image(options.out, (count - 1) * side, options.steps * side)

    stops = find_latents(options, generator.latent_size, 6, check)
    latents = np.concatenate(walk(stops, options.steps, options.linear, options.closed))
    if options.of_text:
        codes = generated_codes(generator.network, latents, options.batch_size, options.model)
        write_lines(options.out, decode(codes, generator.characters))
    else:
        label_of_stops = one_hot(np.resize(labels, len(stops)), len(generator.labels.names))
        way = np.concatenate(walk(label_of_stops, options.steps, True, options.closed))
        images = enlarge(np.concatenate(list(generated(
            generator.network, latents, options.batch_size, options.model, way))),
            options.scale or 1)
        if options.closed:
            write_animation(options.out, images, SECONDS)
        else:
            write_image(options.out, grid(images, options.steps))
    report('wrote ' + options.out)


def write_directions(options, generator, labels):
    """Writes a strip with rows for all latents along each direction, and from label to label."""
    names, side = generator.labels.names, generator.network.output.shape[2] * (options.scale or 1)
    vectors = directions(generator.network, options.directions)
    pairs = list(zip(labels, labels[1:]))
    titles = ['direction %d' % (i + 1) for i in range(len(vectors))] + [
        '%s to %s' % (names[a], names[b]) for a, b in pairs]
    if not titles:
        raise UserError('--directions: there is nothing to move along: %s' % (
            'with 0 it takes a generator with labels, and two of them' if not options.directions
            else '%s has no dense layer' % one_line(options.model)))
    latents = find_latents(options, generator.latent_size, 4, lambda count: check_image(
        options.out, len(titles) * count * side, options.steps * side))
    rows = [direction_rows(latent, vectors, label, pairs, options.steps) for latent, label in zip(
        latents, one_hot(np.resize(labels, len(latents)), len(names)))]
    # The rows of a direction stand together, with one for each latent.
    moved, label_vectors = (np.stack(both, axis=1) for both in zip(*rows))
    count = len(titles) * len(latents) * options.steps
    images = enlarge(np.concatenate(list(generated(
        generator.network, moved.reshape(count, generator.latent_size), options.batch_size,
        options.model, label_vectors.reshape(count, len(names))))), options.scale or 1)
    titles = [title for name in readable(titles) for title in [name] + [''] * (len(latents) - 1)]
    write_image(options.out, label_grid(images, titles, options.steps))
    report('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
