"""Inception Score, Frechet and Kernel Inception Distance, precision, recall, density and coverage,
from features.

Knows neither files nor networks. All sums are in float64; memory does not grow with the number of
images, except for KEPT features.
"""

import numpy as np

KEPT = 5000                 # features kept one by one, for all but Inception Score and FID
KID_SUBSETS, KID_SIZE = 100, 1000
NEAREST = 5                 # neighbours that make a neighbourhood
AT_ONCE = 1000              # rows of a table of distances
NEIGHBOURHOOD_SCORES = ('precision', 'recall', 'density', 'coverage')


class Statistics:
    """What the scores need to know of a set of images; fill it with `add`, batch by batch.

    count: how many images there will be. splits: into how many contiguous parts they fall for
        the Inception Score. rng: chooses which features are kept.
    """

    def __init__(self, count, splits, rng):
        self.splits, self.seen = splits, 0
        # Image i is in split s if s · count // splits <= i < (s + 1) · count // splits.
        self.bounds = np.arange(splits + 1) * count // splits
        self.keep = np.sort(rng.permutation(count)[:KEPT])
        self.kept = []

    def add(self, features, probabilities):
        """features: (N, F). probabilities: p(y|x), (N, K), each row summing to 1."""
        features = features.astype(np.float64)
        p = probabilities.astype(np.float64)
        if not self.seen:
            f, k = features.shape[1], p.shape[1]
            self.sum, self.products = np.zeros(f), np.zeros((f, f))
            self.p_sum = np.zeros((self.splits, k))                 # Σ p(y|x), by split
            self.p_log_p = np.zeros(self.splits)                    # Σ Σ p log p, by split
            self.origin = features[0].copy()    # sums are taken from here: no cancellation
        index = np.arange(self.seen, self.seen + len(p))
        self.kept.append(features[np.isin(index, self.keep)].astype(np.float32))
        centred = features - self.origin
        self.sum += centred.sum(axis=0)
        self.products += centred.T @ centred
        split = np.searchsorted(self.bounds, index, side='right') - 1
        np.add.at(self.p_sum, split, p)
        np.add.at(self.p_log_p, split, (p * np.log(np.maximum(p, 1e-300))).sum(axis=1))
        self.seen += len(p)

    @property
    def mean(self):
        return self.origin + self.sum / self.seen

    @property
    def covariance(self):
        """(F, F), with a divisor of one less than the number of images: two at least."""
        shift = self.sum / self.seen
        return (self.products - self.seen * np.outer(shift, shift)) / (self.seen - 1)

    @property
    def features(self):
        """The kept features, (min(count, KEPT), F)."""
        return np.concatenate(self.kept)

    def inception_score(self):
        """exp(E[KL(p(y|x) ‖ p(y))]): mean and standard deviation over the splits.

        Between 1 (all p(y|x) alike) and the number of classes. Salimans et al. 2016,
        https://arxiv.org/abs/1606.03498, section 4. E[Σ p log p] − Σ p(y) log p(y) is the same
        divergence, and needs sums only.
        """
        sizes = np.diff(self.bounds)
        marginal = self.p_sum / sizes[:, None]
        entropy = (marginal * np.log(np.maximum(marginal, 1e-300))).sum(axis=1)
        scores = np.exp(self.p_log_p / sizes - entropy)
        return scores.mean(), scores.std()


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


def neighbourhood_scores(found, reference):
    """How two sets of images lie among each other: a dict of four numbers.

    found, reference: features (N, F), of two images or more; generated ones, and real ones.
    An image's neighbourhood reaches to its NEAREST-th neighbour in its own set (in a smaller set,
    to the farthest one).

    precision: the part of the generated images that lie in a real image's neighbourhood.
    recall: the part of the real images that lie in a generated image's neighbourhood. Both from 0
        to 1: Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991, equations 1 to 3.
    density: in how many real neighbourhoods a generated image lies, divided by NEAREST: at least
        0, and about 1 for sets alike. A single real image far away does not raise it.
    coverage: the part of the real images whose neighbourhood has a generated image in it, from 0
        to 1: Naeem et al. 2020, https://arxiv.org/abs/2002.09797, equations 3 to 5.
    """
    own_radius, radius = _radii(found), _radii(reference)
    inside, covered, recalled = (np.zeros(n) for n in (
        len(found), len(reference), len(reference)))
    for rows in _slices(len(reference)):
        distances = distances_between(reference[rows], found)
        within = distances < radius[rows, None]
        inside += within.sum(axis=0)
        covered[rows] = within.any(axis=1)
        recalled[rows] = (distances < own_radius).any(axis=1)
    return dict(zip(NEIGHBOURHOOD_SCORES, (
        np.mean(inside > 0), np.mean(recalled), np.mean(inside) / _nearest_in(reference),
        np.mean(covered))))


def _nearest_in(features):
    """Which neighbour of an image, of those in its own set, its neighbourhood reaches to."""
    return min(NEAREST, len(features) - 1)


def _radii(features):
    """How far the neighbourhood of each image reaches."""
    nearest = _nearest_in(features)                  # number 0 is the image itself
    return np.concatenate([
        np.partition(distances_between(features[rows], features), nearest, axis=1)[:, nearest]
        for rows in _slices(len(features))])


def distances_between(a, b):
    """Euclidean distances of each of a (N, F) from each of b (M, F): (N, M)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _slices(count):
    return [slice(i, i + AT_ONCE) for i in range(0, count, AT_ONCE)]
