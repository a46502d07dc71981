"""What a run leaves when it has ended: its networks, plots and the animation of its grids."""

import gc
import os

import cv2
import numpy as np

from wgan.runs import checkpoint
from wgan.pictures.animation import animate_samples, find_grids
from wgan.machine.cntk import quiet
from wgan.machine.cntk_files import load_model, plain_path
from wgan.machine.command_line import UserError, one_line, report, warn
from wgan.machine.disk import keep_aside
from wgan.pictures.plotting import plot
from wgan.runs.resuming import data_since
from wgan.runs.tables import continue_table, has_step
from wgan.scores.score_table import rows_since

BEST = 'wgan_generator_best.model'


def attempt(make, source, path):
    """Make a plot or an animation at `path`; a run does not fail for want of one."""
    try:
        make(source, path)
    except (UserError, OSError, ValueError, cv2.error) as error:
        warn('%s was not made: %s' % (one_line(path), ' '.join(str(error).split())))


def plot_table(out, name):
    """Plot NAME.csv of a run, as NAME.png; that of wgan.csv is losses.png."""
    image = {'wgan': 'losses'}.get(name, name) + '.png'
    attempt(lambda source, path: plot([source], path), out.path(name + '.csv'),
            out.claim(image))
    gc.collect()            # a figure is full of circles: tens of MB that Python may keep for hours


def animate(out):
    with plain_path(out.folder) as plain:               # OpenCV too fails on some names of files
        if len(find_grids(plain)) > 1:
            attempt(animate_samples, plain, out.claim('training.gif'))


def owes_score(out, config, step):
    """Whether the run in the RunFolder `out` was to score `step`, and was stopped before it had."""
    settings, path = config['settings'], out.path('scores.csv')
    every, last = settings.get('score_every'), settings.get('iterations')
    if not every or step % every and step != last:
        return False
    if not os.path.exists(path):
        return not os.path.exists(out.path(BEST))           # else the table is lost
    return os.path.isfile(path) and not has_step(path, step)


def continue_tables(out, columns, score_columns, step, since):
    """Bring wgan.csv and scores.csv, with these columns, back to the checkpoint of `step`.

    since: the iteration after which the data are what they are now. A best generator whose
    score is lost, or was measured against other data, gets another name: the next one, whatever
    its score, would replace it.
    """
    continue_table(out.path('wgan.csv'), columns, step, every_step=True)
    lost = True
    if os.path.lexists(out.path('scores.csv')):
        lost = continue_table(out.path('scores.csv'), score_columns, step, every_step=False)
    if os.path.exists(out.path(BEST)) and (
            lost or rows_since(out.path('scores.csv'), since).empty):
        warn('%s; it is now %s' % (
            'the scores of %s are lost' % one_line(out.path(BEST)) if lost else
            '%s is the best by the data up to iteration %d, and the search begins again' % (
                one_line(out.path(BEST)), since),
            one_line(keep_aside(out.path(BEST)))))


def complete(out, updates, score_columns, config, path, step):
    """For a run that has all its iterations: bring its results to what its last checkpoint holds.

    score_columns: of scores.csv. config: what config.json says. path, step: the checkpoint. A run
    that was killed after it may have older networks and plots, or none.
    """
    updates.restore(checkpoint.restore(path, updates.trainers))
    continue_tables(out, ['step', *updates.columns, 'seconds'], score_columns, step,
                    data_since(config))
    if config.pop('rebuilt', False):
        out.write_config({k: v for k, v in config.items() if k not in ('sha256', 'step')})
    networks = updates.networks()
    outdated = [name for name in networks if not _holds(out.path(name), networks[name])]
    for name in outdated:
        out.save_network(networks[name], name)
    outdated += [name for name in ('losses.png', 'training.gif')
                 if not os.path.exists(out.path(name))]
    plot_table(out, 'wgan')
    animate(out)
    rewritten = [name for name in outdated if os.path.exists(out.path(name))]
    report('%s is complete: it has its %d iterations (--iterations takes it further)%s' % (
        out.name, step, '; made again: ' + ', '.join(rewritten) if rewritten else ''))


def _holds(path, network):
    """Whether a file has the weights of a network."""
    try:
        with quiet():
            saved = load_model(path)
    except (OSError, RuntimeError, ValueError):
        return False
    pairs = list(zip(*(list(f.parameters) + list(f.constants) for f in (saved, network))))
    return all(a.shape == b.shape and np.array_equal(a.value, b.value) for a, b in pairs)
