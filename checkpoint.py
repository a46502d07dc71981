"""The whole state of a run, saved so that a stopped run goes on exactly.

A checkpoint is a folder `step_00001000`: the two trainers as CNTK saves them (weights, running
statistics, optimiser state) and `state.npz` (arrays only: random state, position in the data). It
is written under another name and renamed when it is whole.
"""

import os
import shutil

import numpy as np

from quiet_cntk import quiet

KEEP = 2


def save(folder, step, trainers, state):
    """Write folder/step_…, then delete all but the newest KEEP.

    trainers: dict of name → cntk.Trainer. state: dict of name → array or number.
    """
    path = os.path.join(folder, 'step_%08d' % step)
    partial = path + '.partial'
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    for name, trainer in trainers.items():
        trainer.save_checkpoint(os.path.join(partial, name))
    np.savez(os.path.join(partial, 'state.npz'), **state)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)
    for old in _steps(folder)[:-KEEP]:
        shutil.rmtree(os.path.join(folder, 'step_%08d' % old))


def latest(folder):
    """(path, step) of the newest checkpoint in the folder, or None."""
    steps = _steps(folder)
    return (os.path.join(folder, 'step_%08d' % steps[-1]), steps[-1]) if steps else None


def restore(path, trainers):
    """Bring the trainers to the state saved at path; return the state dict."""
    for name, trainer in trainers.items():
        with quiet():
            trainer.restore_from_checkpoint(os.path.join(path, name))
    with np.load(os.path.join(path, 'state.npz'), allow_pickle=False) as saved:
        return dict(saved)


def _steps(folder):
    if not os.path.isdir(folder):
        return []
    return sorted(int(name[5:]) for name in os.listdir(folder)
                  if name.startswith('step_') and name[5:].isdigit())


def random_state(rng):
    """A numpy.random.RandomState as a dict of arrays and numbers, for `save`."""
    _, keys, position, has_gauss, gauss = rng.get_state()
    return {'rng_keys': keys, 'rng_position': position, 'rng_has_gauss': has_gauss,
            'rng_gauss': gauss}


def set_random_state(rng, state):
    """The way back."""
    rng.set_state(('MT19937', state['rng_keys'], int(state['rng_position']),
                   int(state['rng_has_gauss']), float(state['rng_gauss'])))
