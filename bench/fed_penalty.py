"""What goes wrong when the gradient penalty is fed in as a number: the same training, both ways.

    .venv/bin/python bench/fed_penalty.py --data data/drawn --out docs/fed_penalty.png

Two runs of the same networks, seed, pictures and settings. In one the penalty is a graph of the
critic's weights, as wgan_training.py has it. In the other its value is computed first and then
given to the trainer as an input, as CNTK code for WGAN-GP has done: the loss that is printed is
the same formula, but its gradient has no penalty in it.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from command_line import Parser, Progress, number, run      # noqa: E402
from quiet_cntk import C, select_device                     # noqa: E402

import numpy as np                                          # noqa: E402
import pandas as pd                                         # noqa: E402
import matplotlib                                           # noqa: E402
matplotlib.use('Agg')
import matplotlib.pyplot as plt                             # noqa: E402

import models                                               # noqa: E402
import objectives                                           # noqa: E402
from faces import Batches, Faces, grid, to_pictures         # noqa: E402
from training_options import parser as training_parser, set_defaults  # noqa: E402
from wgan_training import trainer                           # noqa: E402

GRAPH, NUMBER = 'in the graph', 'fed as a number'


def train(how, faces, iterations):
    """Returns the losses as a DataFrame and a grid of pictures, RGB."""
    options = training_parser().parse_args([])
    set_defaults(options)
    size, batch = faces.size, options.batch_size
    rng = np.random.RandomState(0)
    batches = Batches(faces, batch, rng)
    generator, critic = models.generator(size, seed=1), models.critic(size, seed=2)
    latent = generator.arguments[0]
    real, fake = C.input_variable((3, size, size)), C.input_variable((3, size, size))
    fed = C.input_variable(1)
    objective = objectives.wgan_gp(generator, critic, latent, real, fake, options.penalty_weight)
    (epsilon, draw), = objective.draws.items()
    slope = objective.logged['grad_norm']
    critic_loss = (objective.critic_loss if how == GRAPH
                   else options.penalty_weight * fed - objective.logged['wasserstein'])
    critic_trainer = trainer(critic_loss, [], critic, 'critic', options, [])
    generator_trainer = trainer(objective.generator_loss, [], generator, 'generator', options, [])

    def latents(count=batch):
        return rng.standard_normal((count, options.latent_size)).astype(np.float32)

    rows, progress = [], Progress(how, iterations)
    for step in range(1, iterations + 1):
        for _ in range(options.n_critic):
            fakes = np.asarray(models.generate_in_training(generator, latents()).asarray())
            reals = batches.next()
            data = {real: reals, fake: fakes.reshape(batch, 3, size, size),
                    epsilon: draw(rng, reals)}
            norm = slope.eval(data)
            if how == NUMBER:
                data[fed] = np.square(norm - 1)
                del data[epsilon]
            critic_trainer.train_minibatch(data)
        generator_trainer.train_minibatch({latent: latents()})
        rows.append((step, critic_trainer.previous_minibatch_loss_average, norm.mean()))
        progress.show(step, 'C_loss %.2f |grad C| %.2f' % rows[-1][1:])
    pictures = models.generate(generator, latents(64), batch)
    progress.end('%s: done' % how)
    return (pd.DataFrame(rows, columns=['step', 'C_loss', 'grad_norm']),
            grid(to_pictures(pictures), columns=8))


def main():
    parser = Parser(description='Compare the penalty in the graph with the penalty as a number.')
    parser.add_argument('--data', default='data/drawn', help='folder of pictures')
    parser.add_argument('--image-size', type=int, choices=models.IMAGE_SIZES, default=32,
                        help='width and height')
    parser.add_argument('--iterations', type=number(int, 10), default=300, help='of each run')
    parser.add_argument('--out', default='docs/fed_penalty.png', help='picture to write')
    options = parser.parse_args()
    select_device('auto')
    os.makedirs(os.path.dirname(options.out) or '.', exist_ok=True)
    faces = Faces(options.data, options.image_size)

    figure, axes = plt.subplots(2, 2, figsize=(11, 7),
                                gridspec_kw={'width_ratios': [2, 1]})
    for row, (how, colour) in enumerate(((GRAPH, 'tab:blue'), (NUMBER, 'tab:red'))):
        losses, pictures = train(how, faces, options.iterations)
        last = losses.tail(options.iterations // 5)
        print('penalty %s: mean of the last %d iterations: C_loss %.2f, |grad C(x̂)| %.2f'
              % (how, len(last), last['C_loss'].mean(), last['grad_norm'].mean()))
        axes[0, 0].plot(losses['step'], losses['C_loss'], colour, label='penalty ' + how)
        axes[1, 0].plot(losses['step'], losses['grad_norm'], colour)
        axes[row, 1].imshow(pictures)
        axes[row, 1].set_title('penalty ' + how)
        axes[row, 1].axis('off')
    axes[0, 0].set_yscale('symlog', linthresh=10)      # one of them leaves any linear scale
    axes[1, 0].set_yscale('log')
    axes[0, 0].set_ylabel('critic loss')
    axes[0, 0].legend()
    axes[1, 0].set_ylabel('slope ‖∇C(x̂)‖')
    axes[1, 0].axhline(1, color='black', linestyle='--', linewidth=0.8)
    axes[1, 0].set_xlabel('iteration')
    figure.tight_layout()
    figure.savefig(options.out, dpi=90)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
