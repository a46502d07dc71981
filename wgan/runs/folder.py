"""What stands where in the folder of a run."""

import os
import platform

from wgan.machine.command_line import UserError, one_line, warn
from wgan.machine.cntk import C

import cv2
import numpy as np

from wgan.runs import checkpoint
from wgan.machine.cntk_files import plain_path, size_of
from wgan.machine.disk import ASIDE, make_room, read_json, replacing, write_json
from wgan.runs.files import OwnFiles, keep_aside

try:
    import fcntl
except ImportError:                                     # Windows
    import msvcrt


def versions():
    """Of what a run is computed with."""
    return {'python': platform.python_version(), 'cntk': C.__version__, 'numpy': np.__version__,
            'opencv': cv2.__version__}


class RunFolder:
    """runs/NAME: deleting the folder deletes the run.

    shown: its name, for sentences. own: the list of the files that the run wrote.
    """

    def __init__(self, folder):
        self.folder, self.shown = folder, one_line(folder)
        self.lock_file = None

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def holds_a_run(self):
        """Whether this project wrote a run here: by its list of files, settings or checkpoints."""
        if OwnFiles(self.folder).listed:
            return True
        try:
            self._read_config()
        except (OSError, ValueError):
            return checkpoint.latest(self.path('checkpoints')) is not None
        return True

    def foreign(self):
        """The names in the folder, sorted, if there are any and it holds no run; else []."""
        if not os.path.isdir(self.folder) or self.holds_a_run():
            return []
        return sorted(name for name in os.listdir(self.folder)
                      if name != '.lock' and not ASIDE.match(name))

    def lock(self, make):
        """Have the folder for this process alone, and with it its list of files, `own`.

        make: whether to make the folder and its lock file; otherwise nothing is done where they
        are not there. The system lets go of the lock when the process ends, however it ends.
        Raises UserError if another process has it.
        """
        there = os.path.isfile(self.path('.lock')) and not os.path.islink(self.path('.lock'))
        if self.lock_file or not (make or there):
            return
        os.makedirs(self.folder, exist_ok=True)
        if os.path.islink(self.path('.lock')):
            keep_aside(self.path('.lock'))
        lock_file = open(self.path('.lock'), 'a')
        try:
            if os.name == 'nt':
                msvcrt.locking(lock_file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError('another process is training in %s; wait for its end, or choose '
                            'another --out' % self.shown)
        self.lock_file = lock_file

    def open(self):
        """Lock it, and have the list of its files; for what is not to be refused any more."""
        self.lock(make=True)
        self.own = OwnFiles(self.folder)
        self.own.begin()

    def create(self, columns, overwrite):
        """Lock it, remove what an earlier run wrote here, and begin a CSV.

        Raises UserError if there is an earlier run and it is not to be overwritten.
        """
        self.lock(make=True)
        if not overwrite and self.holds_a_run():        # begun since it was looked for
            raise UserError('another process has begun a run in %s; choose another --out'
                            % self.shown)
        self.open()
        self._keep_foreign_config()
        self.own.remove(checkpoint.remove_all_of)
        self.own.begin()
        os.makedirs(self.path('checkpoints'), exist_ok=True)
        with open(self.own.claim('wgan.csv'), 'w') as losses:
            losses.write(','.join(columns) + '\n')

    def own_steps(self):
        """The steps whose checkpoints this run wrote."""
        return {int(name.rpartition('_')[2]) for name in self.own.names
                if name.startswith('checkpoints/')}

    def latest_checkpoint(self):
        """(path, step) of the newest complete one; damaged ones are named. Raises UserError."""
        found = checkpoint.latest(self.path('checkpoints'), warn)
        if found is None:
            raise UserError('--resume: there is no complete checkpoint in %s; start again with '
                            '--overwrite' % one_line(self.path('checkpoints')))
        return found

    def save_network(self, network, name):
        """Write a network as a CNTK model; the file is the old one or the new one, never half."""
        with replacing(self.own.claim(name)) as aside:
            make_room(aside, size_of(network))
            with plain_path(os.path.dirname(aside)) as plain:
                network.save(os.path.join(plain, os.path.basename(aside)))

    def read_config(self):
        """The dict in config.json; where that is damaged, what a checkpoint knows of it.

        Raises UserError if there is no run, or nothing to know its settings from.
        """
        name = one_line(self.path('config.json'))
        try:
            return self._read_config()
        except FileNotFoundError:
            damage = 'is missing'
        except NotADirectoryError:
            raise UserError('--resume: %s holds no run (no config.json)' % self.shown)
        except OSError as error:
            damage = 'can not be read (%s)' % error.strerror
        except ValueError:
            damage = 'is not what a run wrote'
        found = checkpoint.latest(self.path('checkpoints'))
        if found is None:
            raise UserError('--resume: %s holds no run: %s %s, and there is no complete '
                            'checkpoint; put config.json right, or start again%s' % (
                                self.shown, name, damage,
                                ' with --overwrite' if OwnFiles(self.folder).listed else ''))
        warn('%s %s; the settings are those of %s' % (name, damage, one_line(found[0])))
        return dict(checkpoint.read_manifest(found[0]), rebuilt=True)

    def _read_config(self):
        """Raises OSError, ValueError if there is no config.json that a run wrote."""
        config = read_json(self.path('config.json'))
        if not (isinstance(config, dict) and isinstance(config.get('settings'), dict)
                and 'n_critic' in config['settings'] and isinstance(config.get('versions'), dict)
                and 'cntk' in config['versions']):
            raise ValueError
        return config

    def write_config(self, config):
        """config.json: every setting, what it ran on, and the versions."""
        self._keep_foreign_config()
        write_json(self.own.claim('config.json'), config)

    def _keep_foreign_config(self):
        """Give a config.json that no run wrote another name."""
        path = self.path('config.json')
        if not os.path.lexists(path):
            return
        try:
            self._read_config()
        except (OSError, ValueError):
            warn('%s is not what a run wrote; it is now %s' % (one_line(path),
                                                               one_line(keep_aside(path))))
