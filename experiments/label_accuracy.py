"""Do generated images show what their labels say? A classifier that saw only real images tells.

    python experiments/label_accuracy.py runs/labels --data data/drawn/hair.txt --labels map

It is trained on nine tenths of the images, and tried on the others first: generated images can't be
recognised more often than those.
"""

import _root  # noqa: F401
from wgan.machine.cntk import C
from wgan.machine.command_line import Parser, Progress, UserError, number, one_line, run
from wgan.machine.device import select_device
from wgan.generators.evaluation import generated
from wgan.generators.files import Generator
from wgan.datasets.batches import split
from wgan.datasets.images import ImageBatches, ImageSet, to_network
from wgan.datasets.labels import WHERE, one_hot
from wgan.generators.latents import draw_latents

import numpy as np

BATCH = 32


def classifier(shape, labels):
    """RGB image (3, S, S) in [-1, 1] → a number for each label, the logits."""
    with C.layers.default_options(activation=C.relu, pad=True):
        return C.layers.Sequential([
            C.layers.For(range(3), lambda i: [
                C.layers.Convolution2D((3, 3), 32 << i), C.layers.MaxPooling((2, 2), strides=2)]),
            C.layers.Dense(64), C.layers.Dense(labels, activation=None)])(
                C.input_variable(shape, name='image'))


def train(model, images, iterations, rng):
    label = C.input_variable(model.shape)
    loss = C.cross_entropy_with_softmax(model, label)
    learner = C.adam(model.parameters, lr=1e-3, momentum=0.9, minibatch_size=C.learners.IGNORE)
    trainer = C.Trainer(model, (loss, None), [learner])
    batches = ImageBatches(images, BATCH, rng, brightness=0, contrast=0, saturation=0)
    progress = Progress('training', iterations)
    for step in range(1, iterations + 1):
        pixels, labels = batches.next()
        trainer.train_minibatch({model.arguments[0]: pixels, label: labels})
        progress.show(step)
    progress.end('%d iterations on %d real images' % (iterations, len(images)))


def recognised(model, images):
    """Which label the classifier gives each of the images (N, S, S, 3), uint8."""
    return np.concatenate([model.eval(to_network(images[i:i + BATCH])).argmax(axis=1)
                           for i in range(0, len(images), BATCH)])


def main():
    p = Parser(description='Classify generated images by their labels.')
    p.add_argument('run', help='run folder, trained with labels')
    p.add_argument('--data', required=True, help='the labelled images it was trained on')
    p.add_argument('--labels', choices=WHERE, default='map')
    p.add_argument('--count', type=number(int, 1), default=400, help='images of each label')
    p.add_argument('--iterations', type=number(int, 1), default=1500, help='of the classifier')
    p.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0)
    options = p.parse_args()
    select_device('auto')
    generator = Generator(options.run, of_text=False)
    labels, size = generator.labels, generator.network.output.shape[1]
    labelled = ImageSet(options.data, size, labels=options.labels, label_names=labels.names,
                        report=False)
    real, tried = (labelled.part(numbers, labelled.noun) for numbers in split(
        range(len(labelled)), 0.1, options.seed, labelled.contents))
    if labels.names != real.label_names:
        raise UserError('%s has the labels %s, and %s has %s' % (
            one_line(options.run), ', '.join(labels.names) or 'none', one_line(options.data),
            ', '.join(real.label_names)))
    model = classifier((3, size, size), len(labels.names))
    train(model, real, options.iterations, np.random.RandomState(options.seed))

    right = recognised(model, np.stack(tried.images)) == tried.labels
    latents = draw_latents(options.count, generator.latent_size, options.seed)
    print('%-12s %s' % ('label', 'of real images, of generated ones'))
    for i, name in enumerate(labels.names):
        label = one_hot([i] * options.count, len(labels.names))
        images = np.concatenate(list(generated(
            generator.network, latents, BATCH, options.run, label)))
        print('%-12s %5.1f %%  %5.1f %%' % (
            name, 100 * right[np.equal(tried.labels, i)].mean(),
            100 * (recognised(model, images) == i).mean()))


if __name__ == '__main__':
    run(main)
