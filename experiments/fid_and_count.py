"""How does FID depend on the number of images?

    .venv/bin/python experiments/fid_and_count.py runs/faces --data data/faces \\
        --inception inception.onnx --count 20000 --out fid_and_count.png

FID is biased: with fewer images it is larger (Bińkowski et al. 2018,
https://arxiv.org/abs/1801.01401, section 4 and appendix D). The network describes the generator's
images and the data's, cut as for training, once; then FID is computed of ever larger parts of them:

- so many generated images against all real ones;
- all generated images against so many real ones;
- so many real images against as many others: what a perfect generator would get.
"""

import _root  # noqa: F401
from wgan.machine.command_line import Parser, Progress, UserError, check_outputs, number, run
from wgan.machine.device import select_device

import numpy as np

from wgan.datasets.images import ImageSet
from wgan.generators.files import Generator
from wgan.pictures.plotting import check_plot, new_figure, save_figure
from wgan.scores.distances import features_distance
from wgan.scores.image_network import add_network_options, open_network
from wgan.scores.scoring import Generated
from wgan.scores.training_scores import TrainingImages

COUNTS = [50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000]


def features_of(images, network):
    """The features of all images, (N, F), in an order drawn at random."""
    progress, parts = Progress('describing ' + images.name, images.count), []
    for batch in images.batches(32):
        parts.append(network(batch)[0])
        progress.show(sum(map(len, parts)))
    progress.end('%d %s' % (images.count, images.name))
    return np.random.RandomState(0).permutation(np.concatenate(parts).astype(np.float64))


def curves(generated, real):
    """{name: [(number of images, FID), …]}."""
    half = len(real) // 2

    def up_to(most):
        return [n for n in COUNTS if n < most] + [most]
    return {
        'generated, against %d real' % len(real): [
            (n, features_distance(generated[:n], real)) for n in up_to(len(generated))],
        'real, against %d generated' % len(generated): [
            (n, features_distance(generated, real[:n])) for n in up_to(len(real))],
        'real, against as many other real': [
            (n, features_distance(real[:n], real[half:half + n])) for n in up_to(half)]}


def draw(lines, path):
    figure = new_figure(8, 4.5)
    axis = figure.subplots()
    for name, points in lines.items():
        axis.plot(*zip(*points), marker='o', label=name)
    axis.set_xscale('log')
    axis.set_ylim(bottom=0)
    axis.set_xlabel('images')
    axis.set_ylabel('FID')
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    save_figure(figure, path)


def main():
    parser = Parser(description='Compute FID of more and more images.')
    parser.add_argument('what', metavar='RUN', help='run folder or generator file')
    parser.add_argument('--data', required=True, help='folder of the real images, or map file')
    parser.add_argument('--count', type=number(int, 10), default=20000, help='images to generate')
    parser.add_argument('--out', required=True, help='plot to write')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_network_options(parser)
    options = parser.parse_args()
    check_plot(options.out)
    check_outputs(options.out, force=options.force)
    network = open_network(options, select_device('auto'))
    generator = Generator(options.what, of_text=False)
    faces = ImageSet(options.data, generator.network.output.shape[-1])
    if len(faces) < 4:
        raise UserError('%s has %d images, and two halves of two are needed'
                        % (options.data, len(faces)))
    lines = curves(
        features_of(Generated('generated images', generator.network, options.count, 0,
                              generator.labels), network),
        features_of(TrainingImages(faces, len(faces), 'real images'), network))
    for name, points in lines.items():
        print('| %s | %s |' % (name, ' | '.join('%d' % n for n, _ in points)))
        print('| FID | %s |' % ' | '.join('%.1f' % value for _, value in points))
    draw(lines, options.out)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
