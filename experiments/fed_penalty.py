"""What goes wrong when the gradient penalty is fed in as a number: the same training, both ways.

    .venv/bin/python experiments/fed_penalty.py --data data/drawn --out docs/images/fed_penalty.png

Two runs of the same networks, seed, images and settings. In one the penalty is a graph of the
critic's weights, as wgan_training.py has it. In the other it is a number, as in CNTK code for
WGAN-GP that computes its value first and gives it to the trainer as an input: the loss that is
printed is the same formula, but its gradient has no penalty in it.
"""

import _root  # noqa: F401
from wgan.machine.command_line import Parser, Progress, check_outputs, number, run
from wgan.machine.device import select_device

import numpy as np
import pandas as pd

from wgan.generators.evaluation import generate
import models
from penalties import PENALTIES
from wgan.datasets.images import IMAGE_SIZES, ImageBatches, ImageSet, grid, to_images
from wgan.pictures.plotting import check_plot, new_figure, save_figure
from wgan.training.options import objective_settings, parse
from wgan.training.updates import Updates

GRAPH, NUMBER = 'in the graph', 'fed as a number'
WAYS = {GRAPH: PENALTIES['exact, two-sided'], NUMBER: PENALTIES['fed as a number']}


def train(penalty_form, faces, iterations):
    """Returns the losses as a DataFrame and a grid of images, RGB."""
    options = parse(['--image-size', str(faces.size)])
    rng = np.random.RandomState(0)
    batches = ImageBatches(faces, options.batch_size, rng)
    generator, critic = models.networks(faces.size, options.latent_size, options.width, 'layer',
                                        rng)
    updates = Updates(generator, critic, WAYS[penalty_form], options.batch_size, rng,
                      **objective_settings(options))
    rows, progress = [], Progress(penalty_form, iterations)
    for step in range(1, iterations + 1):
        for _ in range(options.n_critic):
            updates.update_critic(*batches.next())
        updates.update_generator(step)
        row = dict(zip(updates.columns, updates.row()), step=step)
        rows.append(row)
        progress.show(step, 'C_loss %(C_loss).2f |grad C| %(grad_norm).2f' % row)
    latents = rng.standard_normal((64, options.latent_size)).astype(np.float32)
    images = generate(updates.generator, latents, options.batch_size)
    progress.end('%s: done' % penalty_form)
    return pd.DataFrame(rows), grid(to_images(images), columns=8)


def main():
    parser = Parser(description='Compare the penalty in the graph with the penalty as a number.')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--image-size', type=int, choices=IMAGE_SIZES, default=32,
                        help='width and height')
    parser.add_argument('--iterations', type=number(int, 10), default=300, help='of each run')
    parser.add_argument('--out', default='fed_penalty.png', help='image to write')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    options = parser.parse_args()
    check_plot(options.out)
    check_outputs(options.out, force=options.force)
    select_device('auto')
    faces = ImageSet(options.data, options.image_size)

    figure = new_figure(11, 7)
    axes = figure.subplots(2, 2, gridspec_kw={'width_ratios': [2, 1]})
    for row, (penalty_form, colour) in enumerate(((GRAPH, 'tab:blue'), (NUMBER, 'tab:red'))):
        losses, images = train(penalty_form, faces, options.iterations)
        last = losses.tail(options.iterations // 5)
        print('penalty %s: mean of the last %d iterations: C_loss %.2f, |grad C(x̂)| %.2f'
              % (penalty_form, len(last), last['C_loss'].mean(), last['grad_norm'].mean()))
        axes[0, 0].plot(losses['step'], losses['C_loss'], colour, label='penalty ' + penalty_form)
        axes[1, 0].plot(losses['step'], losses['grad_norm'], colour)
        axes[row, 1].imshow(images)
        axes[row, 1].set_title('penalty ' + penalty_form)
        axes[row, 1].axis('off')
    axes[0, 0].set_yscale('symlog', linthresh=10)      # one of them leaves any linear scale
    axes[1, 0].set_yscale('log')
    axes[0, 0].set_ylabel('critic loss')
    axes[0, 0].legend()
    axes[1, 0].set_ylabel('gradient norm ‖∇C(x̂)‖')
    axes[1, 0].axhline(1, color='black', linestyle='--', linewidth=0.8)
    axes[1, 0].set_xlabel('iteration')
    figure.tight_layout()
    save_figure(figure, options.out, dpi=90)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
