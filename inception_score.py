"""Score generated images: Inception Score; against real ones FID, KID, precision, recall, density
and coverage.

    python inception_score.py runs/faces --inception inception.onnx --reference photographs
    python inception_score.py folder --inception inception.onnx

Compare scores only if network, resize, scale, number of images and splits are the same. The
program prints all of them.
"""

import io
import platform

from wgan.machine.cntk import C
from wgan.machine.command_line import Parser, UserError, check_outputs, number, one_line, run
from wgan.machine.device import add_device_option, select_device
from wgan.machine.disk import replacing, write_json
from wgan.scores.image_network import add_network_options, open_network
from wgan.datasets.images import check_image, write_image
from wgan.datasets.labels import WHERE
from wgan.scores.neighbours import neighbours_sheet
from wgan.scores.distances import NEIGHBOURHOOD_SCORES
from wgan.scores.scoring import (
    check_count, distances, label_distances, made_with, source, warn_of_copies, warn_of_few,
    warn_of_sizes)

import numpy as np
import onnxruntime


def parse():
    p = Parser(description='Inception Score; against real images FID, KID, precision, recall, '
               'density and coverage.',
               usage='%(prog)s WHAT --inception FILE [options]')
    count = number(int, 1)
    p.add_argument('what', metavar='WHAT', help='folder of images, map file, run folder, or '
                   'generator file; transparent pixels become white')
    p.add_argument('--reference', help='real images: the same, or a file of --save-statistics')
    p.add_argument('--labels', choices=WHERE, help='also compute FID for each label; where to read '
                   'the labels of --reference. Labels of images in WHAT are read from its map '
                   'file, its labels.txt (from wgan_generate.py) or its folders')
    p.add_argument('--json', metavar='FILE', help='write all results here')
    p.add_argument('--save-statistics', metavar='FILE', help='save the statistics of WHAT, for '
                   'later use as --reference')
    p.add_argument('--neighbours', metavar='FILE', help='write an image: some images of WHAT, each '
                   'beside its nearest images of --reference')
    p.add_argument('--force', action='store_true', help='overwrite without asking')

    g = p.add_argument_group('number of images')
    g.add_argument('--count', type=count, default=50000, help='images to generate')
    g.add_argument('--splits', type=count, default=10, help='parts for the Inception Score')
    g.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0, help='of the latents')
    g.add_argument('--batch-size', type=count, default=32, help='images in a batch')
    g.add_argument('--skip-unreadable', action='store_true', help='skip unreadable images')

    add_network_options(p)
    add_device_option(p)
    return p.parse_args()


def main():
    options = parse()
    check_outputs(options.json, options.save_statistics, options.neighbours, force=options.force)
    if options.labels and options.reference is None:
        raise UserError('--labels needs a --reference with labels')
    if options.neighbours is not None:
        check_image(options.neighbours)
        if options.reference is None:
            raise UserError('--neighbours needs a --reference: the images to search')
    network = open_network(options, select_device(options.device))
    real, images = open_sources(options, network)

    reference = real and real.measured(network, options.splits, options.batch_size)
    statistics = images.measured(network, options.splits, options.batch_size)
    results = dict(made_with(network), what=options.what, count=statistics['count'],
                   splits=statistics['splits'], engine=network.engine,
                   inception_score_mean=statistics['inception_score_mean'],
                   inception_score_std=statistics['inception_score_std'],
                   versions={'python': platform.python_version(), 'cntk': C.__version__,
                             'numpy': np.__version__, 'onnxruntime': onnxruntime.__version__})
    if reference is not None:
        results.update(
            distances(statistics, reference, options.seed), reference=options.reference,
            reference_count=int(reference['count']),
            reference_inception_score_mean=float(reference['inception_score_mean']),
            reference_inception_score_std=float(reference['inception_score_std']))
    if options.labels:
        results['fid_of_labels'] = label_distances(images, statistics, real, reference)
    sheet = (neighbours_sheet(images, statistics, real, reference)
             if options.neighbours is not None else None)
    write(options, dict(statistics, **made_with(network)), results, sheet)
    if reference is not None:
        warn_of_few(min(statistics['count'], results['reference_count']), statistics)
        warn_of_sizes((options.what, statistics), (options.reference, reference))
        for name, measured in {options.reference: reference, options.what: statistics}.items():
            warn_of_copies(name, measured)
    show(results)


def open_sources(options, network):
    """Opens --reference (or None) and WHAT, as `source` returns them.

    Raises UserError if one of them can't be scored. Nothing has been scored then.
    """
    reference = (None if options.reference is None else
                 source(options.reference, '--reference', options, network))
    images = source(options.what, 'WHAT', options)
    has_images = reference is None or reference.label_names is not None
    for one in (reference, images) if reference and has_images else (images,):
        check_count(one, options.splits, '--splits %d' % options.splits)
        if reference is not None:
            check_count(one, 2, 'a distance (FID, KID)')
    if options.save_statistics is not None:
        check_count(images, 2, '--save-statistics')
    for option, why in (('neighbours', ' to show'), ('labels', ', whose labels could be known')):
        if getattr(options, option) is not None and not has_images:
            raise UserError('--%s: %s has statistics, and no images%s; name the images as '
                            '--reference' % (option, one_line(options.reference), why))
    if options.labels and not all(images.label_names):
        raise UserError('--labels: %s was trained without labels' % one_line(options.what))
    return reference, images


def write(options, statistics, results, neighbours):
    """Writes the files that the options ask for."""
    if options.save_statistics is not None:
        content = io.BytesIO()                      # on a full disk zipfile prints tracebacks
        np.savez(content, **statistics)
        with replacing(options.save_statistics) as aside, open(aside, 'wb') as file:
            file.write(content.getbuffer())
    if options.json is not None:
        write_json(options.json, results)
    if options.neighbours is not None:
        write_image(options.neighbours, neighbours)


def show(results):
    """Prints a table of the results."""
    rows = [('Inception Score', plus_minus('%.4f', results, 'inception_score'))]
    if 'fid' in results:
        rows += [('... of the reference', plus_minus('%.4f', results,
                                                     'reference_inception_score')),
                 ('FID', '%.4f' % results['fid']), ('KID', plus_minus('%.6f', results, 'kid'))]
        rows += [(name, '%.4f' % results[name]) for name in NEIGHBOURHOOD_SCORES]
        rows += [('FID of ' + one_line(name), '%.4f' % fid)
                 for name, fid in results.get('fid_of_labels', {}).items()]
    rows += [(name.replace('_', ' '), str(results[name])) for name in (
        'count', 'splits', 'resize', 'scale', 'engine', 'features_output', 'classes_output',
        'network_sha256')]
    for name, value in rows:
        print('%-22s %s' % (name, value))


def plus_minus(form, results, name):
    """Formats '1.2000 ± 0.1000'. A number that rounds to zero has no minus sign."""
    digits = int(form[2])
    return ' ± '.join(form % (round(float(results[name + part]), digits) + 0.0)
                      for part in ('_mean', '_std'))


if __name__ == '__main__':
    run(main)
