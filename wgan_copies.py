"""Does a generator copy its training images? Compare how well it makes them, and unseen ones.

    python wgan_copies.py runs/faces --out copies.png
    python wgan_copies.py runs/faces --held-out unseen --out copies.png

A run that was trained with --hold-out has unseen images itself.
"""

from wgan.machine.command_line import (
    Parser, UserError, check_outputs, number, one_line, report, run, warn)
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.batches import split
from wgan.datasets.images import ImageSet
from wgan.datasets.labels import WHERE, one_hot
from wgan.generators.files import Generator
from wgan.generators.projection import add_options, as_output, project, psnr, side_of
from wgan.machine.disk import as_path, as_text, write_json
from wgan.pictures.plotting import check_plot
from wgan.scores.recovery import LEAST, compare, plot_recovery, verdict


def parse():
    p = Parser(description='Compare how well a generator makes its training images, and images '
               'that it has not seen.', usage='%(prog)s RUN-OR-MODEL --out FILE [options]')
    p.add_argument('model', metavar='RUN-OR-MODEL', help='run folder, or a generator file, of CNTK '
                   'or .onnx')
    p.add_argument('--out', metavar='FILE', required=True, help='plot to write')
    p.add_argument('--training', metavar='WHERE', help='images that it was trained on: a folder or '
                   'a map file (default: those of the run)')
    p.add_argument('--held-out', metavar='WHERE', help='images of the same kind that it has not '
                   'seen (default: those that the run held out)')
    p.add_argument('--count', type=number(int, LEAST), default=100, help='images of each kind, at '
                   'most; drawn at random')
    p.add_argument('--json', metavar='FILE', help='write all results here')
    add_options(p)
    options = p.parse_args()
    check_plot(options.out)
    return options


def open_images(options, generator):
    """Returns the ImageSets (training images, held-out images), which have no image in common.

    Raises UserError if one of them is not known, or the images of the run have changed.
    """
    config, size = generator.config, side_of(generator)
    source = options.training or data_of(config)
    if source is None:
        raise UserError('the images that %s was trained on are not known; name them with '
                        '--training' % one_line(options.model))
    settings = config['settings'] if isinstance(config.get('settings'), dict) else {}
    hold_out, seed, labels = (settings.get(name) for name in ('hold_out', 'seed', 'labels'))
    knows_parts = isinstance(hold_out, float) and 0 < hold_out < 1 and isinstance(seed, int)
    if not options.held_out and not knows_parts:
        raise UserError('%s held out no images, so there is nothing to compare with: name images '
                        'that it has not seen with --held-out, or train with --hold-out 0.1'
                        % one_line(options.model))
    images = ImageSet(source, size, labels=labels if labels in WHERE else None,
                      option='--training')
    training, held_out = (
        images.part(part, images.noun) for part in split(
            range(len(images)), hold_out if knows_parts else 0, seed if knows_parts else 0,
            images.contents))
    saved = config.get('data_sha256', config.get('images_sha256'))
    if settings.get('processes', 1) != 1:               # then it is of the shares of the processes
        saved = None
    changed = saved not in (None, images.digest, training.digest)
    if options.held_out:
        if changed:
            warn('%s has other images than those that %s was trained on'
                 % (one_line(source), one_line(options.model)))
        training = training if training.digest == saved else images
        return training, unseen(ImageSet(options.held_out, size, option='--held-out'), training)
    if changed:
        raise UserError('%s has other images than those that %s was trained on, so it is not known '
                        'which were held out; name the images with --training, and unseen ones '
                        'with --held-out' % (one_line(source), one_line(options.model)))
    return training, held_out


def data_of(config):
    """Returns the data of a run, from its config.json; None if it does not say."""
    for place in ('paths', 'settings'):
        paths = config.get(place)
        if isinstance(paths, dict) and isinstance(paths.get('data'), str):
            return as_path(paths['data'])
    return None


def unseen(images, training):
    """Returns the images that are no copies of training images. Raises UserError if none is left.
    """
    known = set(training.contents)
    others = [i for i, content in enumerate(images.contents) if content not in known]
    if not others:
        raise UserError('--held-out: all images in %s are training images' % one_line(
            images.source))
    if len(others) < len(images):
        warn('%d of %d images in %s are training images, and are left out' % (
            len(images) - len(others), len(images), one_line(images.source)))
    return images.part(others, images.noun)


def main():
    options = parse()
    check_outputs(options.out, options.json, force=options.force)
    select_device(options.device)
    generator = Generator(options.model, of_text=False)
    sets, rng = open_images(options, generator), np.random.RandomState(options.seed)
    count = min(options.count, *map(len, sets))
    if count < LEAST:
        raise UserError('there are %d training and %d held-out images; the comparison needs %d of '
                        'each' % (*map(len, sets), LEAST))
    chosen = [images.part(sorted(rng.choice(len(images), count, replace=False)), images.noun)
              for images in sets]
    paths = [path for images in chosen for path in images.paths]
    pictures = as_output(np.stack([images[i] for images in chosen for i in range(count)]),
                         generator.network)
    labels = len(generator.labels.names)
    # Without the critic: it has seen the training images, and not the others.
    found = project(generator.network, pictures, labels=one_hot(range(max(labels, 1)), labels),
                    starts=options.starts, steps=options.steps, seed=options.seed,
                    name=options.model)
    training, held_out = np.split(psnr(found.images, pictures), 2)
    result = compare(training, held_out)
    plot_recovery(options.out, training, held_out)
    if options.json is not None:
        write_json(options.json, dict(
            result, generator=as_text(generator.path), starts=options.starts, steps=options.steps,
            seed=options.seed, far_better=[as_text(paths[i]) for i in result['far_better']],
            **{name: [{'file': as_text(path), 'psnr': float(value)}
                      for path, value in zip(some, values)]
               for name, some, values in (('training', paths[:count], training),
                                          ('held_out', paths[count:], held_out))}))
    show(paths, training, held_out, result)
    report('wrote ' + options.out)


def show(paths, training, held_out, result):
    """Prints the result of `compare`."""
    for name, values in (('training', training), ('held out', held_out)):
        print('%s: PSNR of %d images: median %.1f dB, quartiles %.1f and %.1f' % (
            name, len(values), *np.percentile(values, [50, 25, 75])))
    for i in result['far_better']:
        print('%.1f dB  %s' % (training[i], one_line(paths[i])))
    print(verdict(result))


if __name__ == '__main__':
    run(main)
