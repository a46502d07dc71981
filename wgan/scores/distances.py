"""Inception Score, Frechet and Kernel Inception Distance, precision, recall, density and coverage,
from features.

All sums are in float64. The class probabilities of all images, and the features of KEPT images,
stay in memory.
"""

import numpy as np

KEPT = 5000                 # feature vectors to keep, for all scores except Inception Score and FID
KID_SUBSETS, KID_SIZE = 100, 1000
NEAREST = 5                 # a neighbourhood reaches to the neighbour with this number
AT_ONCE = 1000              # rows of a table of distances
SAME = 1e-10                # squared distances below this part of the squared lengths are rounding
NEIGHBOURHOOD_SCORES = ('precision', 'recall', 'density', 'coverage')


class Statistics:
    """Statistics of a set of images for the scores. Fill it with `add`, batch by batch.

    splits: number of equal parts for the Inception Score.
    Each image has a key, a number. Images are split in the order of their keys, and the features of
    those with the lowest keys are kept. With random keys, both do not depend on the order of the
    set.
    """

    def __init__(self, splits):
        self.splits, self.seen = splits, 0
        self.keys, self.probabilities, self.p_log_p = [], [], []
        self._kept = []

    def add(self, features, probabilities, keys):
        """features: (N, F). probabilities: p(y|x), (N, K), each row summing to 1. keys: N numbers,
        no two the same in the set.
        """
        features = features.astype(np.float64)
        if not self.seen:
            f = features.shape[1]
            self.sum, self.products = np.zeros(f), np.zeros((f, f))
            self.origin = features[0].copy()    # sums are taken from here: no cancellation
        self._kept += [(key, self.seen + i, features[i].astype(np.float32))
                       for i, key in enumerate(keys)]
        if len(self._kept) > 2 * KEPT:
            self._keep_lowest()
        centred = features - self.origin
        self.sum += centred.sum(axis=0)
        self.products += centred.T @ centred
        p = probabilities.astype(np.float32)
        self.probabilities += list(p)
        self.p_log_p += list(_sum_of_x_log_x(p))
        self.keys += list(keys)
        self.seen += len(p)

    @property
    def mean(self):
        return self.origin + self.sum / self.seen

    @property
    def covariance(self):
        """(F, F), with a divisor of one less than the number of images: two at least."""
        shift = self.sum / self.seen
        return (self.products - self.seen * np.outer(shift, shift)) / (self.seen - 1)

    def selection(self):
        """(numbers, features) of the images with the lowest keys, in the order of their keys.

        numbers: counted from 0 in the order in which they were added. features: (min(count, KEPT),
        F), float32.
        """
        self._keep_lowest()
        _, numbers, features = zip(*self._kept)
        return np.array(numbers), np.stack(features)

    def _keep_lowest(self):
        self._kept = sorted(self._kept, key=lambda entry: entry[0])[:KEPT]

    def inception_score(self):
        """exp(E[KL(p(y|x) ‖ p(y))]): mean and standard deviation over the splits.

        Between 1 (all p(y|x) alike) and the number of classes. Salimans et al. 2016,
        https://arxiv.org/abs/1606.03498, section 4. E[Σ p log p] − Σ p(y) log p(y) is the same
        divergence.
        """
        order = sorted(range(self.seen), key=self.keys.__getitem__)
        bounds = np.arange(self.splits + 1) * self.seen // self.splits
        scores = [self._inception_score_of(order[start:last])
                  for start, last in zip(bounds, bounds[1:])]
        return np.mean(scores), np.std(scores)

    def _inception_score_of(self, numbers):
        marginal = np.mean([self.probabilities[i] for i in numbers], axis=0, dtype=np.float64)
        return np.exp(np.mean([self.p_log_p[i] for i in numbers]) - _sum_of_x_log_x(marginal))


def _sum_of_x_log_x(x):
    """Σ x log x over the last axis, in float64, with 0 log 0 = 0."""
    x = x.astype(np.float64)
    return (x * np.log(np.maximum(x, 1e-300))).sum(axis=-1)


def frechet_distance(mean_a, covariance_a, mean_b, covariance_b):
    """‖μa − μb‖² + tr(Σa + Σb − 2 (Σa Σb)^½): Heusel et al. 2017, https://arxiv.org/abs/1706.08500,
    equation 6.

    (Σa Σb)^½ has the trace of (Σa^½ Σb Σa^½)^½, which is symmetric: its eigenvalues are real and
    not negative except for rounding, also where a covariance is singular. Nor is the distance: that
    of two equal sets is 0.
    """
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance_b @ root)
    return max(0.0, np.square(mean_a - mean_b).sum() + np.trace(covariance_a)
               + np.trace(covariance_b) - 2 * np.sqrt(np.maximum(cross, 0)).sum())


def features_distance(a, b):
    """The Fréchet distance of two sets of features, (N, F) and (M, F)."""
    return frechet_distance(*(statistic for features in (a, b) for statistic in (
        features.mean(axis=0), np.cov(features, rowvar=False))))


def kernel_distance(a, b, rng):
    """The squared maximum mean discrepancy with the kernel (x·y / F + 1)³, unbiased: mean and
    standard deviation over KID_SUBSETS random subsets of KID_SIZE (or all that there are).

    a, b: features (N, F), of two images or more. Bińkowski et al. 2018,
    https://arxiv.org/abs/1801.01401, equation 4.
    """
    size = min(KID_SIZE, len(a), len(b))
    distances = []
    for _ in range(KID_SUBSETS):
        x = a[rng.choice(len(a), size, replace=False)].astype(np.float64)
        y = b[rng.choice(len(b), size, replace=False)].astype(np.float64)
        xx, yy, xy = (np.power(u @ v.T / x.shape[1] + 1, 3) for u, v in ((x, x), (y, y), (x, y)))
        within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (size * (size - 1))
        distances.append(within - 2 * xy.mean())
    return np.mean(distances), np.std(distances)


def neighbourhood_scores(generated, reference):
    """Returns precision, recall, density and coverage, a dict.

    generated, reference: features (N, F) of generated and of real images, two or more each.
    An image's neighbourhood reaches to its NEAREST-th neighbour in its own set (in a smaller set,
    to the farthest one), which is excluded. The image's own position is always included: for an
    image with NEAREST copies, it is the whole neighbourhood.

    precision: the part of the generated images that lie in a real image's neighbourhood.
    recall: the part of the real images that lie in a generated image's neighbourhood. Both from 0
        to 1: Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991, equations 1 to 3.
    density: in how many real neighbourhoods a generated image lies, divided by NEAREST: at least
        0, and about 1 for sets alike. A single real image far away does not raise it.
    coverage: the part of the real images whose neighbourhood has a generated image in it, from 0
        to 1: Naeem et al. 2020, https://arxiv.org/abs/2002.09797, equations 3 to 5.
    """
    own_radius, radius = _radii(generated), _radii(reference)
    inside, covered, recalled = (np.zeros(n) for n in (
        len(generated), len(reference), len(reference)))
    for rows in _slices(len(reference)):
        distances = distances_between(reference[rows], generated)
        within = _is_within(distances, radius[rows, None])
        inside += within.sum(axis=0)
        covered[rows] = within.any(axis=1)
        recalled[rows] = _is_within(distances, own_radius).any(axis=1)
    return dict(zip(NEIGHBOURHOOD_SCORES, (
        np.mean(inside > 0), np.mean(recalled), np.mean(inside) / _nearest_in(reference),
        np.mean(covered))))


def _is_within(distances, radius):
    return (distances < radius) | (distances == 0)


def count_of_copies(features):
    """The number of images with NEAREST copies or more in their own set: their radius is 0."""
    return int(np.sum(_radii(features) == 0)) if len(features) > NEAREST else 0


def _nearest_in(features):
    """The number of the neighbour that a neighbourhood reaches to."""
    return min(NEAREST, len(features) - 1)


def _radii(features):
    """The radius of each image's neighbourhood."""
    nearest = _nearest_in(features)                  # number 0 is the image itself
    return np.concatenate([
        np.partition(distances_between(features[rows], features), nearest, axis=1)[:, nearest]
        for rows in _slices(len(features))])


def distances_between(a, b):
    """Euclidean distances between all rows of a (N, F) and b (M, F): (N, M).

    Distances of features that are equal up to rounding are exactly 0.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    squares = lengths - 2 * a @ b.T
    return np.sqrt(np.where(squares > SAME * lengths, squares, 0))


def _slices(count):
    return [slice(i, i + AT_ONCE) for i in range(0, count, AT_ONCE)]
