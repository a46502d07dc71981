"""The parts of a training that are specific to images: data, networks, samples and scores."""

from wgan.machine import processes
from wgan.datasets.batches import nothing_left, split
from wgan.machine.command_line import UserError, note, one_line
from wgan.generators.evaluation import generate
from wgan.scores.image_network import open_network
from wgan.datasets.images import ImageBatches, ImageSet, grid, to_images, write_image
from wgan.pictures.label_grid import ROWS, label_grid, readable
from wgan.datasets.labels import Labels, has_labels, labels_of, one_hot
from wgan.generators.latents import draw_latents
from wgan.training.objectives import OBJECTIVES
from wgan.scores.training_scores import COLUMNS, TrainingScores, training_images

import numpy as np

SHOWN = 20                      # at most this many labels are listed
GRID = 8                        # sample grids are GRID × GRID


class ImageRun:
    """Makes the data, networks, samples and scores of a training on images.

    options: of the training. config: the config.json of a resumed run, or None. make_networks:
    `networks` of models.py or residual_models.py.
    labels: the Labels of the images. score_columns: of scores.csv.
    """

    score_columns = COLUMNS

    def __init__(self, options, config, make_networks):
        self.options, self.config, self.make_networks = options, config, make_networks
        self.labels = labels_of(config or {})

    def memory_needed(self):
        """Estimates the MB that each process needs for training, to 10 or 20 %.

        Measured on a CPU with wgan-gp, without the libraries: so many times the values of a layer
        of image size, and 8 numbers for each weight. A GPU also needs workspace.
        """
        size, width = self.options.image_size, self.options.width
        values = self.options.batch_size // processes.COUNT * width * size ** 2
        # The weights are those of both networks, without small layers.
        if self.options.network == 'dcgan':
            times, weights = 11, 23 * (width * size // 8) ** 2
        elif size == 32:
            times, weights = 43, 121 * width ** 2
        else:
            times, weights = 135, 57 * (width * size // 8) ** 2
        return 4 * (times * values + 8 * weights) // 2 ** 20

    def make_batches(self, rng):
        """Returns this process's (training minibatches, held-out minibatches or None).

        Raises UserError if there are too few images, or the labels can't be used.
        """
        options, share = self.options, self.options.batch_size // processes.COUNT
        images = ImageSet(options.data, options.image_size, labels=options.labels,
                          label_names=self.labels.names)
        parts = split(range(len(images)), options.hold_out, options.seed, images.contents)
        if options.hold_out:
            note_copies(images.contents)
        self.trained_on = images.part(parts[0], 'images to train on')       # in all processes
        training = self._share(images, parts[0], 'images to train on' if options.hold_out
                               else 'images')
        if options.channels is None:                # the images decide, and config.json saves it
            options.channels = 3 if processes.any_of(not training.is_grey()) else 1
        training_batches, held_out = self._batches(training, share, rng), None
        if options.hold_out:
            others = self._share(images, parts[1], 'images to hold out')
            held_out = self._batches(others, min(share, len(others)), rng)
        self.labels = count_labels(training, self.config)
        return training_batches, held_out

    def _share(self, images, numbers, noun):
        """Returns this process's share of the images with these indices."""
        numbers = numbers[processes.RANK::processes.COUNT]
        if not numbers:
            raise nothing_left(self.options.hold_out, len(images), images.item_name, noun)
        return images.part(numbers, noun)

    def _batches(self, images, count, rng):
        options = self.options
        return ImageBatches(images, count, rng, options.brightness, options.contrast,
                            options.saturation, options.mirror, options.channels)

    def networks(self, rng):
        """Returns (generator, critic). The RandomState rng decides the initial weights."""
        options = self.options
        return self.make_networks(
            options.image_size, options.latent_size, options.width,
            OBJECTIVES[options.objective].normalization, rng, len(self.labels.names),
            options.channels)

    @property
    def label_counts(self):
        return self.labels.counts

    @property
    def label_names(self):
        return self.labels.names

    def facts(self):
        """Returns the facts about the data that config.json has to save, a dict."""
        return {'labels': dict(self.labels._asdict()) if self.labels.names else None}

    def make_scores(self, device, csv):
        options = self.options
        images = training_images(self.trained_on, options.score_count)
        return TrainingScores(images, open_network(options, device), options.score_count,
                              options.seed, options.batch_size, csv, self.labels)

    def samples(self):
        return ImageSamples(self.options.latent_size, self.options.seed, self.labels)

    def write_real(self, out, batches):
        """Writes a minibatch of real images into the RunFolder `out`."""
        write_image(out.claim('samples/real.png'), grid(to_images(batches.next()[0]), columns=GRID))


class ImageSamples:
    """Grids of images from the same latents each time: GRID × GRID images, or a row for each label
    with its name, and the same latents in all rows.
    """

    suffix, write = '.png', staticmethod(write_image)

    def __init__(self, latent_size, seed, labels):
        self.names = readable(labels.names[:ROWS])
        rows = len(self.names)
        self.latents = draw_latents(GRID if rows else GRID * GRID, latent_size, seed)
        self.labels = one_hot(np.repeat(np.arange(rows), GRID), len(labels.names))
        if rows:
            self.latents = np.tile(self.latents, (rows, 1))

    def make(self, generator, batch_size):
        """Returns the grid as an image, RGB, uint8."""
        images = to_images(generate(generator, self.latents, batch_size, self.labels))
        return (label_grid(images, self.names, GRID) if self.names else grid(images, GRID))

    def add_to(self, board, sheet, step):
        board.add_image('samples', sheet, step, dataformats='HWC')


def note_copies(contents):
    """Reports how many images are copies of others. `split` does not separate copies."""
    copies = len(contents) - len(set(contents))
    if copies and processes.RANK == 0:
        note('%d of %d images are copies of others; copies are trained on together or held out '
             'together' % (copies, len(contents)))


def count_labels(images, config):
    """Returns the Labels of the images that all processes train on.

    config: the config.json of a resumed run, or None. Raises UserError if a label has no image, or
    the run had other labels.
    """
    names = images.label_names
    if config and names != labels_of(config).names:
        raise UserError('--resume: %s has the labels %s, and the run has %s' % (
            one_line(images.source), *(', '.join(map(one_line, some[:SHOWN])) or 'none'
                                       for some in (names, labels_of(config).names))))
    if not names:
        if has_labels(images.source) and processes.RANK == 0:
            note('the labels of %s are not used; --labels map trains with them'
                 % one_line(images.source))
        return Labels([], [])
    counts = [int(count) for count in processes.total(images.label_counts())]
    for name, count in zip(names, counts):
        if not count:
            raise UserError('of the label %s there is no image to train on: all are unreadable, or '
                            'held out' % one_line(name))
    if processes.RANK == 0:
        note('labels: ' + ', '.join('%s %d' % (one_line(name), count)
                                    for name, count in zip(names[:SHOWN], counts))
             + (', and %d more' % (len(names) - SHOWN) if len(names) > SHOWN else ''))
    return Labels(names, counts)
