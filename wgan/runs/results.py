"""The results of a run: its networks, plots and the animation of its grids."""

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
from wgan.pictures.page import read_runs, write_page
from wgan.pictures.plotting import plot
from wgan.runs.resuming import data_since
from wgan.runs.tables import continue_table, has_step, loss_columns
from wgan.scores.score_table import rows_since

BEST = 'wgan_generator_best.model'


def attempt(make, source, path, errors=(UserError, OSError, ValueError, cv2.error)):
    """Makes a plot or an animation at `path`. If this fails it warns, and the run continues."""
    try:
        make(source, path)
    except errors as error:
        warn('%s was not made: %s' % (one_line(path), ' '.join(str(error).split())
                                      or type(error).__name__))


def plot_table(out, name):
    """Plots NAME.csv of a run as NAME.png, and wgan.csv as losses.png."""
    image = {'wgan': 'losses'}.get(name, name) + '.png'
    attempt(lambda source, path: plot([source], path), out.path(name + '.csv'),
            out.claim(image))
    gc.collect()            # figures have reference cycles, which hold tens of MB


def animate(out):
    with plain_path(out.folder) as plain:               # OpenCV fails on some file names
        if len(find_grids(plain)) > 1:
            attempt(animate_samples, plain, out.claim('training.gif'))


def page_of(out, call=lambda make: make()):
    """Writes page.html of a run. Whatever fails in it, the run continues.

    call: calls the function that writes it.
    """
    attempt(lambda source, path: call(lambda: write_page(path, read_runs([source]))),
            out.folder, out.claim('page.html'), Exception)


def owes_score(out, config, step):
    """Whether the run in the RunFolder `out` was stopped before it scored `step`, as it had to."""
    settings, path = config['settings'], out.path('scores.csv')
    every, last = settings.get('score_every'), settings.get('iterations')
    if not every or step % every and step != last:
        return False
    if not os.path.exists(path):
        return not os.path.exists(out.path(BEST))           # else the table is lost
    return os.path.isfile(path) and not has_step(path, step)


def continue_tables(out, columns, score_columns, step, since):
    """Removes rows after `step` from wgan.csv and scores.csv, which have these columns.

    since: the iteration of the last change of the data. If the score of the best generator is lost,
    or was measured against other data, that generator is renamed: otherwise the next one would
    replace it, whatever its score.
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


def complete(out, updates, score_columns, config, path, step, page):
    """Writes the results of a run with all iterations again, from its last checkpoint.

    A run that was killed after this checkpoint may have older networks and plots, or none.
    score_columns: of scores.csv. config: the dict in config.json. path, step: the checkpoint. page:
    whether to write page.html.
    """
    updates.restore(checkpoint.restore(path, updates.trainers))
    continue_tables(out, loss_columns(updates), score_columns, step, data_since(config))
    if config.pop('rebuilt', False):
        out.write_config({k: v for k, v in config.items() if k not in ('sha256', 'step')})
    networks = updates.networks()
    outdated = [name for name in networks if not _holds(out.path(name), networks[name])]
    for name in outdated:
        out.save_network(networks[name], name)
    outdated += [name for name in ['losses.png', 'training.gif'] + ['page.html'] * page
                 if not os.path.exists(out.path(name))]
    plot_table(out, 'wgan')
    if os.path.exists(out.path('scores.csv')):
        plot_table(out, 'scores')
    animate(out)
    if page:
        page_of(out)
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
