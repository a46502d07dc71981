"""Compute what test_scores.py holds precision, recall, density and coverage against: prints them.

    pip install prdc numpy           # any current Python
    python tests/make_neighbourhood_reference.py

prdc is the package of Naeem et al. 2020. The features are drawn as in test_scores.features_of.
"""

import numpy as np
from prdc import compute_prdc

for seed, (real, generated, size, shift) in enumerate([
        (40, 30, 6, 0.5), (200, 300, 16, 0.3), (7, 1200, 3, 0.0), (1100, 60, 40, 0.2)]):
    rng = np.random.RandomState(seed)
    a = rng.standard_normal((real, size)).astype(np.float32)
    b = (shift + 0.9 * rng.standard_normal((generated, size))).astype(np.float32)
    found = compute_prdc(a.astype(np.float64), b.astype(np.float64), nearest_k=5)
    print('    (%r, %r),' % ((real, generated, size, shift), tuple(float(found[name]) for name in (
        'precision', 'recall', 'density', 'coverage'))))
