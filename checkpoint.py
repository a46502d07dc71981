"""The whole state of a run, saved so that it can't be lost and a stopped run goes on exactly.

A checkpoint is a folder `step_00001000`: the two trainers as CNTK saves them (weights, running
statistics, optimiser state), `state_0.npz` (arrays only: random state, position in the data, moving
average; one for each process) and `manifest.json` (settings, versions, a checksum of each file). It
is written under another name, synced to the disk, and renamed when it is whole.
"""

import json
import os
import shutil

import numpy as np

import processes
from command_line import UserError
from disk import make_room, sha256, sync
from quiet_cntk import quiet

KEEP = 2


def save(folder, step, trainers, state, about, best=None):
    """Write folder/step_…, then delete all but the newest KEEP and that of the step `best`.

    trainers: dict of name → cntk.Trainer. state: dict of name → array or number. about: what can
    be written as JSON. All processes call it together, each with its own state.
    Raises OSError if it can't be written; what was there before is left alone then.
    """
    path = os.path.join(folder, 'step_%08d' % step)
    partial = path + '.partial'
    if processes.RANK == 0:
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
    processes.wait_for_all()
    for name, trainer in trainers.items():
        if processes.RANK == 0:
            # The weights of the networks, and Adam's two numbers for each weight.
            make_room(os.path.join(partial, name), 3 * size_of(trainer.model))
        trainer.save_checkpoint(os.path.join(partial, name))        # the first process writes
    np.savez(os.path.join(partial, 'state_%d.npz' % processes.RANK), **state)
    processes.wait_for_all()
    if processes.RANK == 0:
        _write_manifest(partial, step, about)
        shutil.rmtree(path, ignore_errors=True)                     # of a damaged one, if any
        os.replace(partial, path)
        sync(folder)
        for old in _steps(folder)[:-KEEP]:
            if old != best:
                _remove(os.path.join(folder, 'step_%08d' % old))
    processes.wait_for_all()


def latest(folder, say=lambda sentence: None):
    """(path, step) of the newest checkpoint in the folder that is whole, or None.

    say: is told of each newer one that is damaged, and how.
    """
    for step in reversed(_steps(folder)):
        path = os.path.join(folder, 'step_%08d' % step)
        damage = _damage(path)
        if damage is None:
            return path, step
        say('the checkpoint %s is damaged: %s; going on from the one before' % (path, damage))
    return None


def restore(path, trainers):
    """Bring the trainers to the state saved at path; return the state dict of this process.

    Raises UserError if they were other graphs: those of another version of this project.
    """
    for name, trainer in trainers.items():
        with quiet():
            try:
                trainer.restore_from_checkpoint(os.path.join(path, name))
            except ValueError as error:
                if 'isomorphic' not in str(error):
                    raise
                raise UserError('%s was written by another version of this project, and only that '
                                'can go on with it; begin anew with --overwrite (wgan_generate.py '
                                'still makes pictures of it)' % path)
    with np.load(os.path.join(path, 'state_%d.npz' % processes.RANK), allow_pickle=False) as saved:
        return dict(saved)


def size_of(network):
    """About how many bytes its weights and constants take in a file."""
    return sum(4 * int(np.prod(p.shape))
               for p in list(network.parameters) + list(network.constants))


def _write_manifest(folder, step, about):
    digests = {name: sha256(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}
    with open(os.path.join(folder, 'manifest.json'), 'w') as file:
        json.dump(dict(about, step=step, sha256=digests), file, indent=2, sort_keys=True)
    for name in list(digests) + ['manifest.json', '']:
        sync(os.path.join(folder, name))


def _damage(path):
    """What is wrong with a checkpoint; None if nothing is."""
    try:
        with open(os.path.join(path, 'manifest.json')) as file:
            digests = json.load(file)['sha256']
        for name, digest in digests.items():
            if sha256(os.path.join(path, name)) != digest:
                return '%s is not what was written' % name
    except FileNotFoundError as error:
        return '%s is missing' % os.path.basename(error.filename)
    except (ValueError, KeyError, TypeError, AttributeError):
        return 'manifest.json is not what was written'
    return None


def _remove(path):
    """First rename: a checkpoint that is half deleted must not look like one."""
    os.replace(path, path + '.partial')
    shutil.rmtree(path + '.partial')


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
