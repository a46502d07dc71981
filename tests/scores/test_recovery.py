"""Are training images found again better than unseen ones? The rank test, and single copies."""

import itertools

import cv2
import numpy as np
import pytest

from wgan.machine.command_line import UserError
from wgan.scores.recovery import compare, far_better, plot_recovery, rank_test, verdict


@pytest.mark.parametrize('a, b', [
    ([5, 1, 4, 2.5], [3, 2, 0, 1.5, 0.5]), ([1, 1, 2, 2, 3], [0, 1, 1, 2, 0]),
    ([1, 2, 3, 4], [5, 6, 7, 8])])
def test_the_rank_test(a, b):
    """Against all ways to tell which numbers are of the first kind."""
    def pairs(first, second):
        return sum((x > y) + (x == y) / 2 for x in first for y in second)
    share, p = rank_test(a, b)
    assert share == pairs(a, b) / (len(a) * len(b))
    numbers = np.array(a + b, float)
    ways = list(itertools.combinations(range(len(numbers)), len(a)))
    larger = sum(pairs(numbers[list(way)], np.delete(numbers, way)) >= pairs(a, b) for way in ways)
    assert abs(p - larger / len(ways)) < 0.05


def test_equal_numbers():
    assert rank_test([3] * 10, [3] * 12) == (0.5, 1.0)


def test_false_alarms_are_rare():
    """Two sets of the same kind: the p-value is as small as it says, and no image stands out."""
    rng = np.random.RandomState(0)
    results = [compare(*rng.normal(22, 2, (2, 50))) for _ in range(400)]
    assert 0.02 < np.mean([result['p_value'] < 0.05 for result in results]) < 0.08
    assert np.mean([len(result['far_better']) > 0 for result in results]) < 0.03


def test_single_copies():
    training, held_out = np.linspace(20, 24, 40), np.linspace(20, 24, 40)
    assert list(far_better(training, held_out)) == []
    training[[3, 30]] = 40, 26.1
    result = compare(training, held_out)
    assert result['far_better'] == [3, 30]
    assert '2 training images are found far better than all held-out ones' in verdict(result)
    training[30] = 25.9
    assert '1 training image is found far better' in verdict(compare(training, held_out))


@pytest.mark.parametrize('more, said', [
    (0, 'no sign of copies: in 50 % of the pairs'), (1.5, 'the generator has memorised training'),
    (-1.5, 'the comparison says nothing')])
def test_the_sentence(more, said):
    held_out = np.linspace(20, 24, 40)
    assert said in verdict(compare(held_out + more, held_out))


def test_too_few():
    with pytest.raises(UserError, match='19 held-out images: the comparison needs 20 or more'):
        compare(np.arange(20.), np.arange(19.))


@pytest.mark.parametrize('held_out', [np.linspace(20, 23, 12), np.full(12, 22.)])
def test_the_plot(tmp_path, held_out):
    plot_recovery(str(tmp_path / 'x.png'), held_out, held_out)
    assert cv2.imread(str(tmp_path / 'x.png')).shape == (400, 800, 3)
