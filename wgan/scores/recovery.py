"""Does a generator copy? Its training images would then be found again better than unseen ones.

Webster, Rabin, Simon, Jurie 2019, 'Detecting Overfitting of Deep Generative Networks via Latent
Recovery', https://arxiv.org/abs/1901.03396: latents are searched whose images are nearest to
training images, and to images that the generator has not seen. If nothing is memorised, the errors
have the same distribution. Here the error is a PSNR: larger is nearer.
"""

import math

from wgan.datasets.image_files import counted
from wgan.machine.command_line import UserError
from wgan.pictures.plotting import new_figure, save_figure

import numpy as np

LEAST = 20                      # images of each kind: with fewer, one stands out by chance
SIGNIFICANT = 0.01
BINS = 30


def rank_test(training, held_out):
    """Mann-Whitney U test: are the numbers of the first array larger?

    Returns (share of pairs in which that of the first is larger, where equal ones count half;
    one-sided p-value by the normal approximation, corrected for ties and for continuity). Mann and
    Whitney 1947, 'On a Test of Whether one of Two Random Variables is Stochastically Larger than
    the Other'.
    """
    n, m = len(training), len(held_out)
    u = (np.sign(np.subtract.outer(training, held_out)) + 1).sum() / 2
    _, ties = np.unique(np.concatenate([training, held_out]), return_counts=True)
    total = n + m
    variance = n * m / 12 * (total + 1 - (ties ** 3 - ties).sum() / (total * (total - 1)))
    if variance <= 0:                                           # all numbers are equal
        return 0.5, 1.0
    deviation = (u - n * m / 2 - 0.5) / math.sqrt(variance)
    return u / (n * m), math.erfc(deviation / math.sqrt(2)) / 2


def far_better(training, held_out):
    """Returns the indices of training images that are found far better than any held-out one: the
    distance to the best of these is larger than its distance to their median. For two normal
    distributions that are equal it happens in 4 % of cases with 20 images each, 1 % with 50 and
    0.1 % with 100.
    """
    best = np.max(held_out)
    return np.flatnonzero(np.asarray(training) - best > best - np.median(held_out))


def compare(training, held_out):
    """Compares PSNRs. Returns a dict: medians, result of `rank_test`, and the indices in
    `far_better`. Raises UserError if there are fewer than LEAST of one kind.
    """
    for values, noun in ((training, 'training'), (held_out, 'held-out')):
        if len(values) < LEAST:
            raise UserError('%s: the comparison needs %d or more'
                            % (counted(len(values), noun + ' image'), LEAST))
    share, p = rank_test(training, held_out)
    return {'median_training': float(np.median(training)),
            'median_held_out': float(np.median(held_out)),
            'share_of_pairs': float(share), 'p_value': float(p),
            'far_better': [int(i) for i in far_better(training, held_out)]}


def verdict(result):
    """Returns a sentence on a result of `compare`."""
    share = ('in %.0f %% of the pairs the training image is found better than the held-out one '
             '(50 %% if nothing is memorised; p = %.2g)'
             % (100 * result['share_of_pairs'], result['p_value']))
    if result['far_better']:
        return '%s found far better than all held-out ones: look whether the generator copies ' \
            '%s; %s' % (counted(len(result['far_better']), 'training image') + (
                ' is' if len(result['far_better']) == 1 else ' are'),
                'it' if len(result['far_better']) == 1 else 'them', share)
    if result['p_value'] < SIGNIFICANT:
        return 'the generator has memorised training images: ' + share
    if result['p_value'] > 1 - SIGNIFICANT:
        return ('the held-out images are found better, so they are of another kind, and the '
                'comparison says nothing: ' + share)
    return 'no sign of copies: ' + share


def plot_recovery(path, training, held_out):
    """Draws the two distributions of PSNRs, with their medians, into an image file."""
    figure = new_figure(8, 4)
    axis = figure.subplots()
    edges = np.histogram_bin_edges(np.concatenate([training, held_out]), BINS)
    for values, name, colour in ((training, 'training', 'C1'), (held_out, 'held out', 'C0')):
        axis.hist(values, edges, color=colour, alpha=0.5,
                  label='%s (%d), median %.1f dB' % (name, len(values), np.median(values)))
        axis.axvline(np.median(values), color=colour, linestyle='--')
    axis.set_xlabel('PSNR of the nearest generated image, dB')
    axis.set_ylabel('images')
    axis.legend()
    axis.grid(alpha=0.3)
    figure.tight_layout()
    save_figure(figure, path)
