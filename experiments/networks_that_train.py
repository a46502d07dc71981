"""Which networks train at all? Eight kinds of networks with several objectives, and their images.

    taskset -c 0 .venv/bin/python experiments/networks_that_train.py --data data/drawn \
        --out networks.png

After figure 2 of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028: all kinds have the same
settings and as much processor time: the objective's defaults, for wgan-gp --preset quick. The
figure has a row for each kind and a column for each objective. Prints the number of iterations and
the logged values of the last. taskset leaves one core to it: on several, the time of all threads
would be counted.
"""

import functools

import _root  # noqa: F401
from wgan.machine.command_line import Parser, check_outputs, number, report, run
from wgan.machine.cntk import C
from wgan.datasets.images import ImageBatches, ImageSet, grid, to_images
from wgan.generators.evaluation import evaluate_in_training
from wgan.generators.latents import draw_latents
from wgan.machine.device import select_device
from wgan.pictures.plotting import check_plot, new_figure, save_figure
from wgan.training.layers import (
    PowerIteration, SETTLED, add_bias, batch_normalization, convolution, layer_normalization,
    spectral_normalization)
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import objective_settings, parse
from wgan.training.updates import Updates
from image_training import train_for
from residual_models import HE, Layers, block
import residual_models

import numpy as np
import pandas as pd

SIZE, WIDTH, LATENT, BATCH, SHOWN = 32, 16, 100, 16, 16
DENSE, DEPTH = 512, 2                   # units of a layer; further blocks at each size


def relu(x):
    return C.relu(x)


def tanh(x):
    return C.tanh(x)


def leaky_relu(x):
    """CNTK's, since that of layers.py needs the arrangement of layers in models.py."""
    return C.leaky_relu(x, 0.2)


def weights(shape, rng):
    return C.parameter(shape, init=rng.normal(0, 0.02, shape), dtype=np.float32)


def generator(rng, width=WIDTH, activation=relu, normalize=batch_normalization, growth=2):
    """A DCGAN generator. growth: factor of the channels from a layer to the smaller one."""
    h = C.input_variable(LATENT, name='latent')
    shapes = [(width * growth ** i, SIZE // 2 ** (i + 1)) for i in (2, 1, 0)] + [(3, SIZE)]
    h = C.times(h, weights((LATENT, shapes[0][0], 4, 4), rng), output_rank=3)
    for channels, size in shapes[1:]:
        kernel = weights((h.shape[0], channels, 5, 5), rng)
        bias = C.parameter((channels, 1, 1), init=0)
        h = activation(normalize(h))
        h = C.convolution_transpose(kernel, h, strides=2, auto_padding=[False, True, True],
                                    output_shape=(channels, size, size)) + bias
    return C.tanh(h, name='image')


def critic(rng, normalization, width=WIDTH, activation=leaky_relu, is_normalized=True):
    """A DCGAN critic. normalization: as in models.py. is_normalized: False for no layer or batch
    normalisation.
    """
    normalize = {'layer': layer_normalization, 'batch': batch_normalization}.get(
        normalization if is_normalized else None, lambda h: h)

    def divided(w, rows):
        return spectral_normalization(w, rows) if normalization == 'spectral' else w

    h = C.input_variable((3, SIZE, SIZE), name='image')
    for channels in (width, 2 * width, 4 * width):
        is_first, kernel = h.shape[0] == 3, weights((channels, h.shape[0], 3, 3), rng)
        h = add_bias(convolution(divided(kernel, channels), h), 'b')
        h = activation(h if is_first else normalize(h))
    score = C.times(h, divided(weights(h.shape + (1,), rng), 1), output_rank=1) + C.parameter(1)
    PowerIteration(score).run(SETTLED)
    return score


def dense_generator(rng):
    """Four dense layers with ReLU, and one to the image."""
    h = C.input_variable(LATENT, name='latent')
    for _ in range(4):
        init = C.initializer.he_normal(seed=rng.randint(2 ** 31))
        h = C.layers.Dense(DENSE, activation=C.relu, init=init)(h)
    init = C.initializer.glorot_uniform(seed=rng.randint(2 ** 31))
    return C.layers.Dense((3, SIZE, SIZE), activation=C.tanh, init=init)(h)


def deep_generator(rng):
    """A residual generator with DEPTH further blocks at each size."""
    layers = Layers(rng.randint(2 ** 31), 'batch', is_exported=True)
    h = layers.dense(C.input_variable(LATENT, name='latent'), (WIDTH, 4, 4))
    for _ in range(3):
        h = block(further_blocks(h, layers), WIDTH, layers, 'up')
    return C.tanh(layers.with_bias(layers.convolution(layers.normalized_relu(h), 3, 3, HE)))


def deep_critic(rng, normalization):
    layers = Layers(rng.randint(2 ** 31), normalization)
    image = C.input_variable((3, SIZE, SIZE), name='image')
    h = layers.with_bias(layers.convolution(image, WIDTH, 3, HE))
    for _ in range(3):
        h = block(further_blocks(h, layers), WIDTH, layers, 'down')
    score = layers.dense(h, (1,))
    PowerIteration(score).run(SETTLED)
    return score


def further_blocks(h, layers):
    for _ in range(DEPTH):
        h = block(h, h.shape[0], layers)
    return h


def of_two(make_generator, make_critic):
    """A function of (rng, normalization of the critic) that returns both networks."""
    return lambda rng, normalization: (make_generator(rng), make_critic(rng, normalization))


def residual(rng, normalization):
    return residual_models.networks(SIZE, LATENT, 2 * WIDTH, normalization, rng)


KINDS = {
    'the usual': of_two(generator, critic),
    'no normalisation\nin the critic': of_two(
        generator, functools.partial(critic, is_normalized=False)),
    'tanh everywhere': of_two(functools.partial(generator, activation=tanh),
                              functools.partial(critic, activation=tanh)),
    'generator: constant\nwidth, no normalisation': of_two(
        functools.partial(generator, normalize=lambda h: h, growth=1), critic),
    'generator: four dense\nlayers of %d' % DENSE: of_two(dense_generator, critic),
    'narrow': of_two(functools.partial(generator, width=WIDTH // 4),
                     functools.partial(critic, width=WIDTH // 4)),
    'residual': residual,
    'deep residual': of_two(deep_generator, deep_critic),
}


def train(kind, objective, faces, seconds):
    """Returns (generated images, logged values of the last iteration, a dict by name).

    seconds: of the processor. It ends before them if a logged value is NaN or infinite.
    """
    row, rng = OBJECTIVES[objective], np.random.RandomState(0)
    settings = objective_settings(parse(
        ['--objective', objective, '--image-size', str(SIZE)]
        + (['--preset', 'quick'] if objective == 'wgan-gp' else [])))
    networks = KINDS[kind](rng, row.normalization)
    batches = ImageBatches(faces, BATCH, rng)
    updates = Updates(*networks, row, BATCH, rng, **settings)
    step = train_for(seconds, updates, batches, settings['n_critic'])
    images = evaluate_in_training(networks[0], {updates.latent: draw_latents(SHOWN, LATENT, 1)})
    logged = dict(zip(updates.columns, updates.row()), iterations=step)
    return to_images(np.nan_to_num(images)), logged


def draw(images, objectives, path):
    figure = new_figure(3.2 * len(objectives) + 1.5, 1.1 * len(KINDS))
    panels = figure.subplots(len(KINDS), len(objectives), squeeze=False)
    for row, kind in zip(panels, KINDS):
        for panel, objective in zip(row, objectives):
            panel.imshow(grid(images[kind, objective], columns=8))
            panel.set_xticks([])
            panel.set_yticks([])
            if kind == next(iter(KINDS)):
                panel.set_title(objective)
        row[0].set_ylabel(kind, rotation=0, ha='right', va='center', fontsize=9)
    figure.tight_layout()
    save_figure(figure, path, dpi=90)


def main():
    parser = Parser(description='Train eight kinds of networks with several objectives.')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--objectives', nargs='+', choices=list(OBJECTIVES),
                        default=['wgan-gp', 'wgan', 'gan'], help='a column for each')
    parser.add_argument('--seconds', type=number(float, 0, above=True), default=60.0,
                        help='processor time of each training')
    parser.add_argument('--out', default='networks_that_train.png', help='image to write')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    options = parser.parse_args()
    check_plot(options.out)
    check_outputs(options.out, force=options.force)
    select_device('auto')
    faces, images, rows = ImageSet(options.data, SIZE), {}, {}
    for kind in KINDS:
        for objective in options.objectives:
            name = kind.replace('\n', ' ')
            report('%s, %s' % (name, objective))
            images[kind, objective], rows[name, objective] = train(
                kind, objective, faces, options.seconds)
    print(pd.DataFrame(rows).T.to_string(float_format='%.3g', na_rep=''))
    draw(images, options.objectives, options.out)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
