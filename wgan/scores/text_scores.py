"""Compares generated lines with real ones: Jensen-Shannon divergence of their n-grams."""

from wgan.machine.command_line import note, report
from wgan.generators.evaluation import generated_codes
from wgan.generators.latents import draw_latents
from wgan.scores.score_table import DATA_SINCE, HELD_OUT, ScoreTable
from wgan.datasets.text import decode

import numpy as np

GRAMS = (1, 2, 3, 4)
DIVERGENCES = ['js_%d' % n for n in GRAMS]
DECISIVE = DIVERGENCES[-1]


def ngram_divergence(a, b, n, count):
    """Jensen-Shannon divergence of the n-grams of two sets of lines, in bits: 0 … 1.

    a, b: numbers of characters, (N, length), below `count`. An n-gram is n successive places, also
    after the end of a line. This is the measure of gan_language.py, which the authors of Gulrajani
    et al. 2017, https://arxiv.org/abs/1704.00028, published with the paper.
    """
    (grams_a, p), (grams_b, q) = (_frequencies(codes, n, count) for codes in (a, b))
    everything = np.union1d(grams_a, grams_b)
    both = np.zeros((2, len(everything)))
    both[0, np.searchsorted(everything, grams_a)] = p
    both[1, np.searchsorted(everything, grams_b)] = q
    mean = both.mean(axis=0)
    with np.errstate(divide='ignore', invalid='ignore'):
        terms = np.where(both > 0, both * np.log2(both / mean), 0)
    return max(0.0, terms.sum() / 2)


def _frequencies(codes, n, count):
    """Returns (the different n-grams, each as one number; their frequencies, which sum to 1)."""
    codes = codes.astype(np.int64)
    places = codes.shape[1] - n + 1
    grams = sum(codes[:, i:i + places] * count ** (n - 1 - i) for i in range(n))
    different, counts = np.unique(grams, return_counts=True)
    return different, counts / counts.sum()


class TextScores(ScoreTable):
    """Measures generators with the same latents and the same real lines each time.

    training: the Lines to train on. held_out: held-out Lines, or None. Their scores, in columns
    that end in HELD_OUT, are those of a perfect generator. As many lines are generated, because
    fewer lines have a larger divergence. count: largest number of lines to generate. csv: the file
    that `append` writes rows to.
    """

    def __init__(self, training, held_out, count, latent_size, seed, batch_size, csv):
        self.training, self.training_lines = training, set(training.texts)
        self.count = min(count, len(held_out)) if held_out else count
        self.latents = draw_latents(self.count, latent_size, seed)
        self.batch_size = batch_size
        self.floor = {}
        if held_out:
            result = self._measure(held_out.codes[:self.count])
            self.floor = {name + HELD_OUT: value for name, value in result.items()}
        super().__init__(csv, columns(bool(held_out)), DECISIVE)
        note('scores by %d generated lines against %d; %s' % (
            self.count, len(training), 'as many real lines that are held out: ' + _in_words(result)
            if held_out else 'nothing is held out to compare with'))

    def measure(self, step, generator):
        """Returns the row of the generator after `step`."""
        result = self._measure(generated_codes(generator, self.latents, self.batch_size,
                                               'iteration %d' % step))
        report('iteration %d: %s' % (step, _in_words(result)))
        return dict(result, step=step, **self.floor)

    def described(self):
        """Returns the settings of the scores, for config.json."""
        return dict(self.floor, count=self.count, reference_count=len(self.training))

    def _measure(self, codes):
        lines, count = decode(codes, self.training.characters), len(self.training.characters)
        result = {name: ngram_divergence(codes, self.training.codes, n, count)
                  for n, name in zip(GRAMS, DIVERGENCES)}
        result['in_training'] = np.mean([line in self.training_lines for line in lines])
        result['distinct'] = len(set(lines)) / len(lines)
        return result


def columns(held_out):
    """The columns of scores.csv. held_out: whether there are lines held out."""
    names = DIVERGENCES + ['in_training', 'distinct']
    return ['step'] + names + [name + HELD_OUT for name in names if held_out] + [DATA_SINCE]


def _in_words(result):
    return ('Jensen-Shannon divergence of 1- to 4-grams %s bits; %.1f %% are lines of the training '
            'set, %.1f %% distinct' % (' '.join('%.3f' % result[name] for name in DIVERGENCES),
                                       100 * result['in_training'], 100 * result['distinct']))
