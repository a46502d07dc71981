"""What stands where in the folder of a run."""

import json
import os
import platform
import shutil

from command_line import UserError
from quiet_cntk import C

import cv2
import numpy as np

import checkpoint
from disk import make_room, sync

try:
    import fcntl
except ImportError:                                     # Windows
    import msvcrt

VERSIONS = {'python': platform.python_version(), 'cntk': C.__version__, 'numpy': np.__version__,
            'opencv': cv2.__version__}


class RunFolder:
    """runs/NAME: deleting the folder deletes the run."""

    CONTENT = ('config.json', 'wgan.csv', 'samples', 'checkpoints', 'wgan_generator.model',
               'wgan_generator_average.model', 'wgan_generator_best.model', 'wgan_critic.model',
               'losses.png', 'scores.csv', 'scores.png', 'training.gif', 'tensorboard')

    def __init__(self, folder):
        self.folder = folder

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def holds_a_run(self):
        return any(os.path.exists(self.path(name)) for name in self.CONTENT)

    def lock(self):
        """Make the folder if it isn't there, and have it for this process alone.

        The system lets go of the lock when the process ends, however it ends. Raises UserError if
        another process has it.
        """
        os.makedirs(self.folder, exist_ok=True)
        self.lock_file = open(self.path('.lock'), 'a')
        try:
            if os.name == 'nt':
                msvcrt.locking(self.lock_file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError('another process is training in %s; wait for its end, or choose '
                            'another --out' % self.folder)

    def create(self, columns):
        """Make an empty CSV and folders; remove what an earlier run left there."""
        for name in self.CONTENT:
            path = self.path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.remove(path)
        os.makedirs(self.path('samples'))
        os.makedirs(self.path('checkpoints'))
        with open(self.path('wgan.csv'), 'w') as losses:
            losses.write(','.join(columns) + '\n')

    def latest_checkpoint(self, say=lambda sentence: None):
        """(path, step) of the newest whole one; say is told of damaged ones. Raises UserError."""
        found = checkpoint.latest(self.path('checkpoints'), say)
        if found is None:
            raise UserError('--resume: there is no whole checkpoint in %s; begin anew with '
                            '--overwrite' % self.path('checkpoints'))
        return found

    def drop_rows_after(self, step):
        """Rows after the checkpoint will be written again, the same; so will half a row."""
        for name in ('wgan.csv', 'scores.csv'):
            if not os.path.exists(self.path(name)):
                continue
            with open(self.path(name)) as file:
                head, *rows = file.readlines()
            with open(self.path(name + '.new'), 'w') as file:
                file.writelines([head] + [row for row in rows if row.endswith('\n')
                                          and int(row.split(',')[0]) <= step])
            os.replace(self.path(name + '.new'), self.path(name))

    def save_network(self, network, name):
        """Write a network as a CNTK model; the file is the old one or the new one, never half."""
        path = self.path(name)
        make_room(path + '.new', checkpoint.size_of(network))
        network.save(path + '.new')
        sync(path + '.new')
        os.replace(path + '.new', path)

    def read_settings(self):
        try:
            with open(self.path('config.json')) as file:
                return json.load(file)['settings']
        except (FileNotFoundError, NotADirectoryError):
            raise UserError('--resume: %s holds no run (no config.json)' % self.folder)
        except (ValueError, KeyError):
            raise UserError('%s is damaged; without it a run can\'t be resumed (each checkpoint '
                            'has the settings in its manifest.json)' % self.path('config.json'))

    def write_settings(self, options, device, faces, scores):
        """config.json: every setting, what it ran on, and the versions."""
        config = {
            'settings': vars(options),
            'device': device,
            'pictures': len(faces),
            'unreadable_pictures': len(faces.unreadable),
            'scores': scores.described() if scores else None,
            'versions': VERSIONS,
        }
        with open(self.path('config.json.new'), 'w') as file:
            json.dump(config, file, indent=2, sort_keys=True)
            file.write('\n')
        os.replace(self.path('config.json.new'), self.path('config.json'))
