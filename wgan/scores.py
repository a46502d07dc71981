"""Inception Score, Frechet Inception Distance and Kernel Inception Distance, from features.

Knows neither files nor networks. All sums are in float64; memory does not grow with the number of
images, except for KEPT features.
"""

import numpy as np

KEPT = 5000                 # features kept one by one, for the kernel distance
KID_SUBSETS, KID_SIZE = 100, 1000


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
