"""What is said of curves, by the rules that are said with it."""

import os
import re

import numpy as np
import pandas as pd
import pytest

from helpers import ROOT
from wgan.pictures import findings as module
from wgan.pictures.findings import findings


def losses(count, **columns):
    """A table with these columns: numbers, or functions of the step."""
    step = np.arange(1, count + 1)
    return pd.DataFrame(dict({name: value(step) if callable(value) else np.full(count, value)
                              for name, value in columns.items()}, step=step, C_loss=0.0))


def scores(data_since=0, **columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame(dict(columns, step=1000 * np.arange(1, count + 1), data_since=data_since))


def said(*tables):
    return [(finding.good, finding.sentence) for finding in findings(*tables)]


@pytest.mark.parametrize('fids, good, begins', [
    ([9, 8, 7, 6], True, 'Still improving: FID was best, 6, at iteration 4,000'),
    ([9, 5, 6, 6], False, 'No better for 2,000 iterations: FID was best, 5, at iteration 2,000'),
    ([9, 8, 5, 6], True, 'Still improving'),                    # a quarter of the run
    ([5] + [6] * 20, False, 'No better for 20,000 iterations'),
    ([9] * 15 + [5] + [6] * 5, True, 'Still improving'),        # 5,000, of 21,000
    ([9] * 14 + [5] + [6] * 6, False, 'No better for 6,000 iterations'),
    ([np.nan, 9, 8, np.nan], True, 'Still improving: FID was best, 8, at iteration 3,000')])
def test_the_best_score(fids, good, begins):
    (found, sentence), = said(None, scores(fid=fids))
    assert (found, sentence[:len(begins)]) == (good, begins)


def test_scores_of_text_and_of_other_data():
    (good, sentence), = said(None, scores(js_4=[.5, .4]))
    assert good and 'The divergence of 4-grams was best, 0.4' in sentence
    both = pd.concat([scores(fid=[1.0]), scores(fid=[9.0, 8.0], data_since=500)])
    assert 'best, 8' in said(None, both)[0][1]
    assert said(None, scores(fid=[3.0])) == []                  # one says nothing


@pytest.mark.parametrize('values, good', [
    ([.1, .5, .4], True), ([.1, .5, .2], False), ([0, 0, 0], None), ([0, .04, 0], None)])
def test_mode_collapse(values, good):
    for column in ('coverage', 'distinct'):
        found = said(None, scores(**{'fid': [3, 2, 1], column: values}))
        assert [g for g, sentence in found if 'ode collapse' in sentence] == [good]


@pytest.mark.parametrize('curve, good', [
    (lambda t: 10 - t / 100, True), (lambda t: 5 + 0 * t, False), (lambda t: t / 100, None),
    (lambda t: -10 - t / 100, True), (lambda t: 0 * t, False)])
def test_the_wasserstein_estimate(curve, good):
    (found, sentence), = said(losses(400, wasserstein=curve), None)
    assert found == good and 'over the last 100 iterations' in sentence
    assert '%.4g on average' % curve(np.arange(301, 401)).mean() in sentence


@pytest.mark.parametrize('column, trained, held_out, good', [
    ('wasserstein', 7.3, 4.6, False), ('wasserstein', 9.3, 9.6, True),
    ('wasserstein', 4.0, 3.7, True), ('score_difference', 4.0, 3.5, False),
    ('D_real', 0.8, 0.65, False), ('D_real', 0.8, 0.75, True)])
def test_overfitting(column, trained, held_out, good):
    table = losses(400, **{column: trained, column + '_held_out': held_out})
    assert [g for g, sentence in said(table, scores(fid=[2, 1])) if 'overfit' in sentence] == [good]


def test_chance_is_not_overfitting():
    rng = np.random.RandomState(0)
    table = losses(400, wasserstein=lambda t: 0.5 + rng.randn(len(t)), wasserstein_held_out=lambda
                   t: 0.4 + rng.randn(len(t)))
    assert (True, 'The critic does not') in [(g, s[:19]) for g, s in said(table, None)]


@pytest.mark.parametrize('norm, good', [(1.2, True), (0.9, True), (3.0, False), (0.1, False)])
def test_the_gradient_norm(norm, good):
    (found, sentence), = said(losses(400, grad_norm=norm), None)
    assert found == good and '%.3g on average' % norm in sentence


@pytest.mark.parametrize('real, fake, good', [
    (0.75, 0.26, True), (0.97, 0.03, True), (0.9999, 2e-5, False), (0.5, 0.5, True)])
def test_a_critic_that_is_sure_of_all_images(real, fake, good):
    found = said(losses(400, D_real=real, D_fake=fake), None)
    assert [g for g, sentence in found if 'D(G(z))' in sentence] == [good]
    assert (None, 'Nothing says how good the images are: the run is not scored.') in found


def test_chance_is_no_improvement():
    """The estimate of a learning rate that is too small: it stays where it began."""
    rng = np.random.RandomState(0)
    noise = 0.1 + 0.04 * rng.randn(56)
    noise[-14:] += 0.086 - noise[-14:].mean()
    noise[-28:-14] += 0.1 - noise[-28:-14].mean()               # falls by 14 %
    (good, sentence), = said(losses(56, wasserstein=lambda t: noise), None)
    assert not good and sentence.startswith('No better for 14 iterations')


def test_what_can_not_be_said():
    assert said(None, None) == []
    assert 'too early' in said(losses(5, wasserstein=1.0), None)[0][1]
    assert said(losses(400, D_fake=0.5), None) == [
        (None, 'Nothing says how good the images are: the run is not scored.')]


def test_the_pages_that_explain_are_there():
    with open(module.__file__, encoding='utf-8') as file:
        pages = re.findall(r"'([\w./]+\.md)#([\w-]+)'", file.read())
    assert len(pages) > 5
    for name, heading in pages:
        with open(os.path.join(ROOT, 'docs', name), encoding='utf-8') as file:
            headings = re.findall('(?m)^#+ (.*)$', file.read())
        assert heading in [re.sub(r'[^\w -]', '', text.lower()).replace(' ', '-')
                           for text in headings], (name, heading)
