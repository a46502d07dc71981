"""What the curves of a run say, in words: each sentence by a rule that is stated beside it."""

from collections import namedtuple

from wgan.scores.score_table import DATA_SINCE, HELD_OUT

PATIENCE = 5000             # iterations without a better value; of a short run a quarter of it
SHORTEST = 40               # iterations of which something can be said
FALL = 0.02                 # of the Wasserstein estimate, between two windows
GAP = 0.1                   # between trained on and held out: of the estimate, or of D(x)
NORMS = (0.5, 1.5)          # gradient norms that are near 1
COLLAPSED = 0.5             # of the largest coverage
FEWEST = 0.05               # a coverage as small says nothing
CERTAIN = 0.95              # D(x) - D(G(z)) of a critic that is sure of all images
HALF, TWICE = 0.5, 2        # of the numbers of the real images
QUARTER = 0.25              # of the real images, with dark corners

# good: whether it is as it should be, or None where that is not known. page: file and heading in
# docs/ that explain it.
Finding = namedtuple('Finding', 'good sentence rule page')


def findings(losses, scores, samples=None):
    """A list of Findings. losses, scores: tables as `read_losses` gives them, or None. samples:
    what `ratios` says of the last sample grid, or None.
    """
    found = []
    if scores is not None:
        # Scores against other data can't be compared.
        scores = scores[scores[DATA_SINCE] == scores[DATA_SINCE].max()]
        found += [_best_score(scores), *_collapse(scores)]
    if losses is not None and len(losses) < SHORTEST:
        found.append(Finding(None, 'With %d iterations it is too early to judge the losses.'
                             % len(losses), 'At least %d iterations.' % SHORTEST,
                             'runs.md#the-columns-of-wgancsv'))
    elif losses is not None:
        window = min(PATIENCE, len(losses) // 4)
        if scores is None:
            found.append(_wasserstein(losses, window))
        found += [_gap(losses.tail(window), column) for column in (
            'wasserstein', 'score_difference', 'D_real')]
        found.append(_gradient_norm(losses.tail(window)))
    found = [finding for finding in found if finding]
    if losses is not None and not found:
        found.append(Finding(None, 'Nothing says how good the images are: the run is not scored.',
                             '--score-every measures the FID during training.',
                             'scores.md#during-training'))
    if samples is not None:
        found = [_samples(samples), _dark_corners(samples['dark_corners'])] + found
    if losses is not None and len(losses) >= SHORTEST:
        found.append(_probabilities(losses.tail(window)))
    return [finding for finding in found if finding]


def _best_score(scores):
    """Whether the FID, or of text the divergence of 4-grams, still falls."""
    column, name = ('fid', 'FID') if 'fid' in scores else ('js_4', 'The divergence of 4-grams')
    values = scores.set_index('step')[column].dropna()
    if len(values) < 2:
        return None
    last, best = values.index[-1], values.idxmin()
    patience = min(PATIENCE, last // 4)
    improving = last - best <= patience
    return Finding(
        improving, '%s: %s was best, %.4g, at iteration %s; the last is %.4g at %s.' % (
            'Still improving' if improving else 'No better for %s iterations' % _count(last - best),
            name, values[best], _count(best), values[last], _count(last)),
        'Still improving if the best score is at most %s iterations old: %s, or a quarter of the '
        'run if that is less.' % (_count(patience), _count(PATIENCE)), 'scores.md#during-training')


def _collapse(scores):
    """Whether the generator makes fewer kinds than before."""
    for column, name in (('coverage', 'coverage'), ('distinct', 'the part of distinct lines')):
        values = scores[column].dropna() if column in scores else []
        if len(values) > 1:
            last, most = values.iloc[-1], values.max()
            good = None if most < FEWEST else last >= COLLAPSED * most
            yield Finding(
                good, '%s: %s is %.3g, and was %.3g at most.' % (
                    {None: 'Too early to tell of mode collapse', True: 'No mode collapse',
                     False: 'Mode collapse'}[good], name, last, most),
                'Mode collapse if the last value is less than half of the largest; too early if '
                'that is below %g.' % FEWEST, 'scores.md#which-score-says-what')


def _wasserstein(losses, window):
    if 'wasserstein' not in losses:
        return None
    values = losses['wasserstein']
    last, before = values[-window:].mean(), values[-2 * window:-window].mean()
    chance = 2 * (values[-2 * window:].var() * 2 / window) ** 0.5
    fall = (before - last) / max(abs(before), 1e-12)
    good = None if fall < -FALL else fall > FALL and before - last > chance
    return Finding(
        good, '%s by the Wasserstein estimate: %.4g on average over the last %s iterations, %.4g '
        'over as many before.' % (
            {True: 'Still improving', None: 'Not better, or at its beginning still,',
             False: 'No better for %s iterations' % _count(window)}[good],
            last, _count(window), before),
        'Still improving if the mean falls by more than %d %%, and by more than two standard '
        'errors. At the beginning of a run the estimate rises, while the critic learns.'
        % (100 * FALL),
        'runs.md#how-to-read-the-losses')


def _gap(losses, column):
    """Whether the critic judges images that it is not trained on as the others."""
    if column + HELD_OUT not in losses or column not in losses:
        return None
    trained, held_out = losses[column].mean(), losses[column + HELD_OUT].mean()
    allowed = GAP * (1 if column == 'D_real' else abs(trained))
    chance = 2 * (losses[column] - losses[column + HELD_OUT]).std() / len(losses) ** 0.5
    good = trained - held_out <= max(allowed, chance)
    return Finding(
        good, '%s: %s is %.4g on images that it is trained on and %.4g on those held out.' % (
            'The critic does not overfit' if good else 'The critic overfits', column, trained,
            held_out),
        'It overfits if the difference of the means over the last %s iterations is more than %s, '
        'and more than two of its standard errors.'
        % (_count(len(losses)), '0.1' if column == 'D_real' else 'a tenth'),
        'runs.md#does-the-critic-overfit')


def _gradient_norm(losses):
    if 'grad_norm' not in losses:
        return None
    norm = losses['grad_norm'].mean()
    good = NORMS[0] <= norm <= NORMS[1]
    return Finding(
        good, 'The gradient norm is %s: %.3g on average over the last %s iterations.' % (
            'near 1' if good else 'not near 1, so the penalty does not work', norm,
            _count(len(losses))),
        'Near 1 is from %g to %g.' % NORMS, 'runs.md#how-to-read-the-losses')


def _probabilities(losses):
    """Whether the critic of a GAN is so sure of all images that the generator learns nothing."""
    if 'D_real' not in losses or 'D_fake' not in losses:
        return None
    real, fake = losses['D_real'].mean(), losses['D_fake'].mean()
    good = real - fake <= CERTAIN
    return Finding(
        good, 'The critic %s: D(x) is %.3g on average and D(G(z)) %.3g over the last %s iterations.'
        % ('does not tell all images apart' if good else 'tells all images apart, so the generator '
           'learns little', real, fake, _count(len(losses))),
        'It tells all apart if they differ by more than %g.' % CERTAIN,
        'looks_wrong.md#losses-that-stand-still')


def _samples(samples):
    """Whether the last sample grid looks like the real images, by its numbers."""
    faults = [(samples['contrast'] < HALF, 'grey', 'looks_wrong.md#grey'),
              (samples['variety'] < HALF, 'all alike', 'looks_wrong.md#one-face'),
              (samples['roughness'] > TWICE, 'rough', 'looks_wrong.md#noise')]
    faults = [(fault, page) for is_so, fault, page in faults if is_so]
    return Finding(
        not faults, 'The last samples are %s: contrast %.2f, variety %.2f, roughness %.2f of those '
        'of real images.' % (
            ' and '.join(fault for fault, _ in faults) + ', as at the beginning of a run' if faults
            else 'not grey, alike or rough',
            samples['contrast'], samples['variety'], samples['roughness']),
        'Grey if the contrast is less than half of that of samples/real.png; all alike if the '
        'variety is less than half; rough if the roughness is more than twice.',
        faults[0][1] if faults else 'looks_wrong.md#the-numbers-of-the-samples')


def _dark_corners(part):
    """What the generator learns of real images with dark corners; None if few have them."""
    return Finding(
        False, 'Of the real images %d %% have four dark corners, and the generator makes them too.'
        % (100 * part), 'Dark corners if more than a quarter of samples/real.png have them.',
        'looks_wrong.md#dark-corners') if part > QUARTER else None


def _count(number):
    return '{:,}'.format(int(number))
