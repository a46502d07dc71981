"""Which files of a folder a run wrote: only those are ever deleted or replaced.

A run lists each of its files in `.files`, before it writes it. What is not listed is the user's,
whatever its name.
"""

import itertools
import os
import re

from wgan.machine.command_line import one_line, warn
from wgan.machine.disk import ASIDE, aside_prefix, replacing

LIST = '.files'
HEAD = '# Written by the training in this folder; --overwrite deletes these files and no others.'
# All that a run writes. A list that names something else is not followed.
NAMES = re.compile(
    r'config\.json|(wgan|scores)\.csv|(losses|scores)\.png|training\.gif'
    r'|wgan_(generator|generator_average|generator_best|critic)\.model'
    r'|samples/(real|step_[0-9]{6,})\.(png|txt)|checkpoints/step_[0-9]{8,}'
    r'|tensorboard/events\.out\.tfevents\.[^/\n]+')
FOLDERS = ('samples', 'checkpoints', 'tensorboard')


def free_name(path):
    """A name beside `path` that nothing has: `path`.kept, `path`.kept2 …"""
    names = itertools.chain([path + '.kept'], (path + '.kept%d' % n for n in itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))


def keep_aside(path):
    """Give what is at `path` another name, which is returned."""
    aside = free_name(path)
    os.rename(path, aside)
    return aside


class OwnFiles:
    """The names of the files that a run wrote, with '/', seen from its folder.

    listed: whether the folder has a list; runs of earlier versions have none.
    """

    def __init__(self, folder):
        self.folder = folder
        self.names, self.listed = [], False
        path = self._path(LIST)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, encoding='utf-8', errors='surrogateescape') as file:
                head, *lines = file.read().split('\n')
            self.listed = head == HEAD
            if self.listed:
                self.names = [n for n in lines if NAMES.fullmatch(n) or ASIDE.fullmatch(n)]

    def begin(self):
        """Have a list, for this process too. What an earlier version wrote is known by name."""
        if not self.listed:
            if os.path.lexists(self._path(LIST)):
                self._make_way(self._path(LIST))
            self.names = self.found_by_name()
            self._write()
        for aside in [n for n in self.names if ASIDE.fullmatch(n)]:
            self._remove_asides(aside)
        self.add(aside_prefix())

    def found_by_name(self):
        """What has the name of a run's file, and may well be one: links are not followed."""
        places = [''] + [f for f in FOLDERS if os.path.isdir(self._path(f))
                         and not os.path.islink(self._path(f))]
        names = [f + '/' * bool(f) + name for f in places for name in os.listdir(self._path(f))]
        return sorted(name for name in names if NAMES.fullmatch(name))

    def add(self, name):
        """List a file, if it is not listed yet."""
        if name in self.names:
            return
        # A line that a kill cut off stands alone, since each begins with its line end.
        try:
            with open(self._path(LIST), 'ab') as file:
                file.write(b'\n' + name.encode('utf-8', 'surrogateescape'))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:                # a full disk does not say where it was full
            raise OSError(error.errno, error.strerror, self._path(LIST))
        self.names.append(name)

    def claim(self, name):
        """The path of a file to write, listed and with its folder there.

        What stands there and is not of this run gets another name.
        """
        path = self._path(name)
        folder = os.path.dirname(path)
        if '/' in name and os.path.lexists(folder) and not os.path.isdir(folder):
            self._make_way(folder)
        os.makedirs(folder, exist_ok=True)
        # A link that stands for one of our files is not ours, and leads to what is not.
        if os.path.lexists(path) and (name not in self.names or os.path.isdir(path)
                                      or os.path.islink(path)):
            self._make_way(path)
        self.add(name)
        return path

    def _make_way(self, path):
        warn('%s is not of this run; it is now %s' % (one_line(path), one_line(keep_aside(path))))

    def remove(self, remove_checkpoint):
        """Delete all files that are listed, then the list. remove_checkpoint: is given a path."""
        for name in self.names:
            path = self._path(name)
            if ASIDE.fullmatch(name):
                self._remove_asides(name)
            elif name.startswith('checkpoints/'):
                remove_checkpoint(path)
            elif os.path.islink(path):
                keep_aside(path)
            elif os.path.isfile(path):
                os.remove(path)
        for folder in FOLDERS:
            if os.path.isdir(self._path(folder)) and not os.listdir(self._path(folder)):
                if not os.path.islink(self._path(folder)):
                    os.rmdir(self._path(folder))
        self.names = []
        self._write()

    def _remove_asides(self, beginning):
        for folder in ('', 'samples'):
            folder = self._path(folder)
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if name.startswith(beginning) and os.path.isfile(os.path.join(folder, name)):
                    os.remove(os.path.join(folder, name))

    def _write(self):
        with replacing(self._path(LIST)) as aside:
            with open(aside, 'w', encoding='utf-8', errors='surrogateescape') as file:
                file.write('\n'.join([HEAD] + self.names))
        self.listed = True

    def _path(self, name):
        return os.path.join(self.folder, *name.split('/'))
