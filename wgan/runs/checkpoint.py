"""Saves the complete state of a run, so that a stopped run continues exactly.

A checkpoint is a folder `step_00001000` with the two trainers as CNTK saves them (weights, running
statistics, optimiser state), `state_0.npz` for each process (random state, position in the data,
moving average) and `manifest.json` (settings, versions, a checksum of each file). It is written
under another name, synced to the disk, and renamed when it is complete.
"""

import io
import json
import os
import re
import zipfile

import numpy as np

from wgan.machine import processes
from wgan.machine.cntk_files import plain_path, size_of
from wgan.machine.command_line import UserError, one_line
from wgan.machine.disk import keep_aside, check_space, read_json, sha256, sync
from wgan.machine.cntk import quiet

KEEP = 2
NETWORKS = ('critic', 'generator')              # each has a trainer
# Files that this module writes. CNTK first writes to names that end in .tmp.
FILES = re.compile(r'(%s)(\.ckp)?(\.tmp)?|state_[0-9]+\.npz|manifest\.json' % '|'.join(NETWORKS))


def name_of(step):
    return 'step_%08d' % step


def save(folder, step, trainers, state, about, best=None):
    """Writes folder/step_…, then deletes all but the newest KEEP and the one of the step `best`.

    trainers: dict of name → cntk.Trainer. state: dict of name → array or number. about: a dict
    for manifest.json.
    All processes call it together, each with its own state.
    Raises OSError if it can't be written. Existing checkpoints then stay unchanged.
    """
    path = os.path.join(folder, name_of(step))
    partial = path + '.partial'
    if processes.RANK == 0:
        remove(partial)
        os.makedirs(partial)
    processes.wait_for_all()
    with plain_path(partial) as plain:
        for name, trainer in trainers.items():
            if processes.RANK == 0:
                # Each weight, and Adam's two numbers for it.
                check_space(os.path.join(partial, name), 3 * size_of(trainer.model))
            trainer.save_checkpoint(os.path.join(plain, name))      # the first process writes
    _save_state(os.path.join(partial, 'state_%d.npz' % processes.RANK), state)
    processes.wait_for_all()
    if processes.RANK == 0:
        _write_manifest(partial, step, about)
        remove(path)                                                # it may be a damaged one
        os.rename(partial, path)
        sync(folder)
        for old in [s for s in _steps(folder) if s <= step][:-KEEP]:
            doomed = os.path.join(folder, name_of(old))
            if old != best and os.path.isfile(os.path.join(doomed, 'manifest.json')):
                remove(doomed)
    processes.wait_for_all()


def remove(path):
    """Deletes a checkpoint, and renames anything else at this path.

    The checkpoint is renamed first: a half deleted folder must not look like a checkpoint.
    """
    if not os.path.lexists(path):
        return
    if os.path.isdir(path) and not os.path.islink(path):
        doomed = path + '.removed'
        if os.path.lexists(doomed):
            _empty(doomed)                              # left by a killed process
        os.rename(path, doomed)
        _empty(doomed)
    else:
        keep_aside(path)


def _empty(folder):
    """Deletes a checkpoint's files and its folder. If other files are in it, it is renamed."""
    for name in os.listdir(folder):
        if FILES.fullmatch(name) and not os.path.isdir(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    if os.listdir(folder):
        keep_aside(folder)
    else:
        os.rmdir(folder)


def latest(folder, say=lambda sentence: None):
    """Returns (path, step) of the newest complete checkpoint in the folder, or None.

    say: a function that gets a sentence on each newer checkpoint that is damaged.
    """
    for step in reversed(_steps(folder)):
        path = os.path.join(folder, name_of(step))
        damage = _damage(path, step)
        if damage is None:
            return path, step
        say('the checkpoint %s is damaged: %s; going on from the one before'
            % (one_line(path), damage))
    return None


def read_manifest(path):
    """Reads the manifest of a checkpoint. Raises OSError or ValueError if there is none."""
    manifest = read_json(os.path.join(path, 'manifest.json'))
    if not (isinstance(manifest, dict) and isinstance(manifest.get('settings'), dict)
            and isinstance(manifest.get('sha256'), dict)):
        raise ValueError
    return manifest


def restore(path, trainers):
    """Restores the trainers from the checkpoint. Returns the state dict of this process.

    Raises UserError if the saved graphs differ (another version of this project wrote them), or a
    file can't be read although its checksum is right.
    """
    with plain_path(path) as plain, quiet():
        for name, trainer in trainers.items():
            try:
                trainer.restore_from_checkpoint(os.path.join(plain, name))
            except (ValueError, RuntimeError) as error:
                if 'isomorphic' not in str(error):
                    raise UserError('%s can not be read by CNTK (%s); delete it to continue from '
                                    'the one before' % (one_line(os.path.join(path, name)),
                                                        str(error).split('\n')[0]))
                raise UserError('%s was written by another version of this project, and only that '
                                'can continue it; start again with --overwrite (wgan_generate.py '
                                'still makes images of it)' % one_line(path))
    name = os.path.join(path, 'state_%d.npz' % processes.RANK)
    try:
        with np.load(name, allow_pickle=False) as saved:
            return dict(saved)
    except (ValueError, zipfile.BadZipFile) as error:
        raise UserError('%s can not be read (%s); delete %s to continue from the one before'
                        % (one_line(name), error, one_line(path)))


def _save_state(path, state):
    content = io.BytesIO()                      # on a full disk zipfile prints tracebacks
    np.savez(content, **state)
    try:
        with open(path, 'wb') as file:
            file.write(content.getbuffer())
    except OSError as error:                    # NumPy's errors don't name the file
        raise OSError(error.errno, error.strerror or str(error), path)


def _write_manifest(folder, step, about):
    digests = {name: sha256(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}
    with open(os.path.join(folder, 'manifest.json'), 'w') as file:
        json.dump(dict(about, step=step, sha256=digests), file, indent=2, sort_keys=True)
    for name in list(digests) + ['manifest.json', '']:
        sync(os.path.join(folder, name))


def _damage(path, step):
    """Returns what is wrong with the checkpoint of a step, or None."""
    if not os.path.isdir(path):
        return 'it is no folder'
    try:
        manifest = read_manifest(path)
        if manifest.get('step') != step or not _lists_all(manifest):
            return 'manifest.json is not what was written'
        for name, digest in sorted(manifest['sha256'].items()):
            file = os.path.join(path, name)
            if os.path.exists(file) and not os.path.isfile(file):
                return '%s is not a file' % name
            if sha256(file) != digest:
                return '%s is not what was written' % name
    except FileNotFoundError as error:
        return '%s is missing' % os.path.basename(error.filename)
    except OSError as error:
        return '%s can not be read: %s' % (os.path.basename(error.filename), error.strerror)
    except ValueError:
        return 'manifest.json is not what was written'
    return None


def _lists_all(manifest):
    """Whether a manifest lists all files of a checkpoint, and no others."""
    names, processes = set(manifest['sha256']), manifest['settings'].get('processes', 1)
    needed = {name + end for name in NETWORKS for end in ('', '.ckp')}
    states = {name for name in names if name.startswith('state_')}
    return (needed <= names and len(states) == processes and 'state_0.npz' in states
            and all(FILES.fullmatch(name) for name in names))


def _steps(folder):
    """The steps of all checkpoints in a folder, complete or not, in order."""
    if not os.path.isdir(folder):
        return []
    names = [re.fullmatch(r'step_([0-9]{8,})', name) for name in os.listdir(folder)]
    return sorted(int(m.group(1)) for m in names if m and m.group(0) == name_of(int(m.group(1))))
