"""Scores a generator while it trains, against the training images."""

from wgan.machine.command_line import report
from wgan.scores.score_table import DATA_SINCE, ScoreTable
from wgan.scores.distances import NEIGHBOURHOOD_SCORES
from wgan.scores.scoring import (
    Generated, check_count, distances, made_with, measure, warn_of_copies, warn_of_few)

import numpy as np

COLUMNS = ['step', 'inception_score_mean', 'inception_score_std', 'fid', 'kid_mean', 'kid_std',
           *NEIGHBOURHOOD_SCORES, DATA_SINCE]
SPLITS = 10


class TrainingImages:
    """Up to `count` of the training images, a fixed random choice, cropped as for training.
    (Evenly spaced images could all be of one class.)
    """

    def __init__(self, images, count, name):
        """images: a sequence of images, RGB, uint8. name: for messages."""
        self.images, self.count, self.name = images, min(count, len(images)), name

    def batches(self, size):
        chosen = np.sort(np.random.RandomState(0).permutation(len(self.images))[:self.count])
        for i in range(0, self.count, size):
            yield [self.images[k] for k in chosen[i:i + size]]


def training_images(images, count):
    """TrainingImages of an ImageSet. Raises UserError if there are too few for a score."""
    images = TrainingImages(images, count, 'the training images (%s)' % images.source)
    check_count(images, SPLITS, '--score-every (an Inception Score of %d parts)' % SPLITS)
    return images


class TrainingScores(ScoreTable):
    """Measures generators with the same latents and the same reference each time.

    images: the reference. network: an ImageNetwork. count: number of images to generate for a
    score. seed: of the latents. labels: the Labels of the data; labels of generated images are
    drawn with their frequencies. csv: the file that `append` writes rows to; it may have rows.
    It uses its own random numbers, so the training is the same with and without scores.
    """

    def __init__(self, images, network, count, seed, batch_size, csv, labels):
        super().__init__(csv, COLUMNS, 'fid')
        self.network, self.count, self.seed, self.batch_size = network, count, seed, batch_size
        self.labels = labels
        self.reference = self._measure(images)
        warn_of_few(min(self.reference['count'], count), self.reference)
        warn_of_copies(images.name, self.reference)

    def measure(self, step, generator):
        """Returns the row of the generator after `step`."""
        result = self._measure(Generated(
            'iteration %d' % step, generator, self.count, self.seed, self.labels))
        result.update(distances(result, self.reference, self.seed), step=step)
        report('iteration %d: Inception Score %.3f (training images %.3f), FID %.2f' % (
            step, result['inception_score_mean'], self.reference['inception_score_mean'],
            result['fid']))
        return result

    def described(self):
        """Returns the settings of the scores, for config.json."""
        return dict(made_with(self.network), engine=self.network.engine, splits=SPLITS,
                    reference_count=self.reference['count'],
                    reference_inception_score_mean=self.reference['inception_score_mean'],
                    reference_inception_score_std=self.reference['inception_score_std'])

    def _measure(self, images):
        return measure(images, self.network, SPLITS, self.batch_size)
