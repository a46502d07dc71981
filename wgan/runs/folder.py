"""The folder of a run: checks it, locks it, and writes its files without loss.

A run owns its folder, which must be new, be empty, or hold a run. Only the run's own old
checkpoints are deleted; --overwrite renames the folder.
"""

import os
import tempfile

from filelock import FileLock, Timeout

from wgan.machine.cntk_files import save_model
from wgan.machine.command_line import UserError, one_line, warn
from wgan.machine.disk import (
    ASIDE, keep_aside, read_run_config, remove_left_behind, write_json)
from wgan.runs import checkpoint


class RunFolder:
    """The folder of a run, such as runs/NAME. name: its path, for sentences."""

    def __init__(self, folder):
        self.folder, self.name = folder, one_line(folder) or "''"
        self.lock_file = None

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def holds_a_run(self):
        """Whether there is a run: a valid config.json or, if that is damaged, a checkpoint."""
        try:
            read_run_config(self.folder)
        except (OSError, ValueError):
            return checkpoint.latest(self.path('checkpoints')) is not None
        return True

    def check_place(self, data):
        """Raises UserError if no run on `data` can be in this folder. Does not create it."""
        place = os.path.abspath(self.folder)
        if not self.folder:
            raise UserError("--out '' names no folder")
        if os.path.islink(self.folder) and not os.path.exists(self.folder):
            raise UserError('--out %s is a link that leads nowhere' % self.name)
        # The system's limits: 4,096 bytes for a path, 255 for a name. Paths in the run are longer.
        if len(os.fsencode(place)) > 3000 or max(map(len, os.fsencode(place).split(b'/'))) > 255:
            raise UserError('--out %s: that name is too long' % self.name)
        while not os.path.lexists(place):
            place = os.path.dirname(place)
        if not os.path.isdir(place):
            raise UserError('--out %s: %s is no folder' % (self.name, one_line(place)))
        foreign = self._foreign()
        if foreign:
            raise UserError('--out %s holds no run but something else (%s%s); choose an empty or a '
                            'new folder' % (self.name, ', '.join(map(one_line, foreign[:3])),
                                            ' …' if len(foreign) > 3 else ''))
        if os.path.join(os.path.realpath(data), '').startswith(
                os.path.join(os.path.realpath(self.folder), '')):
            raise UserError('--data %s is inside of --out %s; keep the data in a folder of its own'
                            % (one_line(data), self.name))
        try:
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            raise UserError('--out %s: the folder %s can not be written to: %s'
                            % (self.name, one_line(place), error.strerror))

    def _foreign(self):
        """Returns the sorted names in the folder if it holds no run, else []."""
        if not os.path.isdir(self.folder) or self.holds_a_run():
            return []
        return sorted(name for name in os.listdir(self.folder)
                      if name != '.lock' and not ASIDE.match(name))

    def lock(self, make=False):
        """Locks the folder for this process, until it ends.

        make: whether to create a missing folder. Raises UserError if another process has the lock.
        """
        if self.lock_file or not (make or os.path.isdir(self.folder)):
            return
        os.makedirs(self.folder, exist_ok=True)
        if os.path.islink(self.path('.lock')):
            keep_aside(self.path('.lock'))
        lock_file = FileLock(self.path('.lock'))
        try:
            lock_file.acquire(timeout=0)
        except Timeout:
            raise UserError('another process is training in %s; wait for its end, or choose '
                            'another --out' % self.name)
        self.lock_file = lock_file

    def create(self, config, columns, overwrite):
        """Creates and locks the folder, and writes config.json and the empty wgan.csv.

        overwrite: whether to rename a run that is there.
        """
        if overwrite and self.holds_a_run():
            self._rename()
        self.lock(make=True)
        if self.holds_a_run():                          # another process created it meanwhile
            raise UserError('another process has begun a run in %s; choose another --out'
                            % self.name)
        self.write_config(config)
        os.makedirs(self.path('checkpoints'), exist_ok=True)
        with open(self.claim('wgan.csv'), 'w') as losses:
            losses.write(','.join(columns) + '\n')

    def _rename(self):
        """Renames the folder of the run that is there."""
        self.lock()
        real = os.path.realpath(self.folder)            # not a link to it
        warn('the run that was in %s is now %s' % (self.name, one_line(keep_aside(real, '.'))))
        self.lock_file.release()
        self.lock_file = None
        if os.path.realpath(self.folder) != real:       # the working directory was in it
            self.folder = real
        os.makedirs(real, exist_ok=True)

    def remove_left_behind(self):
        """Deletes temporary files of killed processes."""
        for folder in (self.folder, self.path('samples')):
            if os.path.isdir(folder):
                remove_left_behind(folder)

    def claim(self, name):
        """Returns the path of a file to write, and creates its folder. Renames a link or folder at
        this path, since a link could lead to a file of the user.
        """
        path = self.path(*name.split('/'))
        folder = os.path.dirname(path)
        for place, is_ours in ((folder, os.path.isdir), (path, _is_plain_file)):
            if os.path.lexists(place) and not is_ours(place):
                warn('%s is not of this run; it is now %s' % (one_line(place),
                                                              one_line(keep_aside(place))))
        os.makedirs(folder, exist_ok=True)
        return path

    def latest_checkpoint(self):
        """Returns (path, step) of the newest complete checkpoint. Warns of damaged ones. Raises
        UserError if there is none.
        """
        latest = checkpoint.latest(self.path('checkpoints'), warn)
        if latest is None:
            raise UserError('--resume: there is no complete checkpoint in %s; start again with '
                            '--overwrite' % one_line(self.path('checkpoints')))
        return latest

    def save_network(self, network, name):
        """Writes a network as a CNTK model. The file is never incomplete."""
        save_model(network, self.claim(name))

    def read_config(self):
        """Returns the dict in config.json or, if that is damaged, in a checkpoint's manifest.

        Raises UserError if there is neither.
        """
        name = one_line(self.path('config.json'))
        try:
            return read_run_config(self.folder)
        except FileNotFoundError:
            damage = 'is missing'
        except OSError as error:
            damage = 'can not be read (%s)' % error.strerror
        except ValueError:
            damage = 'is not what a run wrote'
        latest = checkpoint.latest(self.path('checkpoints'))
        if latest is None:
            raise UserError('--resume: %s holds no run: %s %s, and there is no complete checkpoint'
                            % (self.name, name, damage))
        warn('%s %s; the settings are those of %s' % (name, damage, one_line(latest[0])))
        return dict(checkpoint.read_manifest(latest[0]), rebuilt=True)

    def write_config(self, config):
        """Writes config.json: settings, device and versions."""
        path = self.claim('config.json')
        try:
            read_run_config(self.folder)
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            warn('%s is not what a run wrote; it is now %s' % (one_line(path),
                                                               one_line(keep_aside(path))))
        write_json(path, config)


def _is_plain_file(path):
    return os.path.isfile(path) and not os.path.islink(path)
