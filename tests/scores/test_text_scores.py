"""n-gram divergences against SciPy and closed cases; invented names against their distribution."""

import collections

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from helpers import call_program
from wgan.datasets.text import characters_of, encode
from wgan.scores.text_scores import ngram_divergence

import make_names


@pytest.mark.parametrize('n', [1, 2, 3, 4])
def test_against_scipy(n):
    rng = np.random.RandomState(n)
    a, b = rng.randint(0, 5, (40, 6)), rng.randint(0, 4, (70, 6)) ** 2 % 5
    grams = [collections.Counter(tuple(row[i:i + n]) for row in codes for i in range(7 - n))
             for codes in (a, b)]
    every = sorted(set(grams[0]) | set(grams[1]))
    expected = jensenshannon(*([g[x] for x in every] for g in grams), base=2) ** 2
    assert ngram_divergence(a, b, n, 5) == pytest.approx(expected, rel=1e-10)


def test_closed_cases():
    a, b = np.zeros((3, 6), int), np.ones((5, 6), int)
    for n in (1, 4):
        assert ngram_divergence(a, a, n, 2) == 0
        assert ngram_divergence(a, b, n, 2) == 1                        # nothing in common: 1 bit
        assert ngram_divergence(a, b, n, 2) == ngram_divergence(b, a, n, 2)
    # Half of the other set is like a: mean of KL(p, m) and KL(q, m), by hand.
    half = np.array([[0] * 6, [1] * 6])
    p, q, m = (np.array(x) for x in ([1, 0], [0.5, 0.5], [0.75, 0.25]))
    expected = sum((x[x > 0] * np.log2(x[x > 0] / m[x > 0])).sum() for x in (p, q)) / 2
    assert ngram_divergence(a, half, 1, 2) == pytest.approx(expected, rel=1e-12)


def test_large_alphabets_do_not_overflow():
    """4-grams of 2,048 characters are numbers up to 2 ** 44."""
    a = np.full((2, 4), 2047, np.uint16)
    b = a.copy()
    b[:, 3] = 2046
    assert ngram_divergence(a, b, 4, 2048) == 1
    assert ngram_divergence(a[:, :3], b[:, :3], 3, 2048) == 0


@pytest.mark.slow
def test_invented_names_have_their_distribution():
    known = make_names.probabilities()
    assert sum(known.values()) == pytest.approx(1, rel=1e-9)
    assert max(map(len, known)) == make_names.LENGTH
    names = make_names.draw_names(20000, 0)
    assert set(names) <= set(known) and names == make_names.draw_names(20000, 0)
    # First letters: expected counts in closed form, within four standard deviations.
    expected = collections.Counter()
    for name, p in known.items():
        expected[name[0]] += p
    counts = collections.Counter(name[0] for name in names)
    for letter, p in expected.items():
        assert abs(counts[letter] - 20000 * p) < 4 * np.sqrt(20000 * p * (1 - p)), letter


def test_floor_falls_with_more_lines():
    names = make_names.draw_names(4000, 0)
    characters = characters_of(names)
    codes = encode(names, characters, 10)
    few, many = (ngram_divergence(codes[:n], codes[2000:], 4, len(characters)) for n in (100, 2000))
    assert 0 < many < few < 1


def test_check_of_lines(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call_program('make_names.py', '--out', 'n.txt', '--count', 50, '--seed', 3) == 0
    (tmp_path / 'n.txt').write_text((tmp_path / 'n.txt').read_text() + 'Xyz\nqq\n')
    assert call_program('make_names.py', '--check', 'n.txt') == 0
    assert '50 of 52 lines (96.2 %) are names' in capfd.readouterr().out
    assert call_program('make_names.py', '--out', 'n.txt') == 2             # not overwritten
    assert call_program('make_names.py') == 2
