"""Where a run may be: refused before anything is made, changed or removed."""

import os
import tempfile

from wgan.machine.command_line import UserError, one_line


def check_place(folder, data, run):
    """Raise UserError if a run can't be in the folder, or not while its images are in `data`.

    data: a folder or a map file; there need be nothing. run: the RunFolder.
    """
    shown = one_line(folder) or "''"
    if not os.path.isdir(folder):
        _check_new(folder, shown)
    if os.path.realpath(folder) in map(os.path.realpath, (os.sep, os.path.expanduser('~'))):
        raise UserError('--out %s is no place for a run; choose a folder of its own' % shown)
    for place in _places(data) if os.path.isdir(data) else ():
        _check_apart(folder, place, data)
    foreign = run.foreign()
    if foreign:
        raise UserError('--out %s holds no run but something else (%s%s); choose an empty or a new'
                        ' folder' % (shown, ', '.join(map(one_line, foreign[:3])),
                                     ' …' if len(foreign) > 3 else ''))
    _check_writable(folder, shown)


def check_images_apart(folder, paths, data):
    """Raise UserError if one of the images of a map file is in the folder of the run.

    Those of a folder can't be: `check_place` has looked at all that it leads to.
    """
    if os.path.isdir(data):
        return
    real, folders = os.path.realpath(folder), {}
    for path in paths:
        head, name = os.path.split(path)
        if head not in folders:
            folders[head] = os.path.realpath(head)
        place = os.path.realpath(path) if os.path.islink(path) else os.path.join(folders[head],
                                                                                 name)
        if _inside(place, real):
            raise _not_apart(folder, data, 'holds images of --data %s (%s)'
                             % (one_line(data), one_line(path)))


def _check_new(folder, shown):
    """For a folder that is not there: whether it can be made."""
    if not folder:
        raise UserError("--out '' names no folder")
    if os.path.islink(folder):
        raise UserError('--out %s is a link that leads nowhere' % shown)
    if os.path.lexists(folder):
        raise UserError('--out %s is a file; name a folder' % shown)
    parts = os.fsencode(os.path.abspath(folder)).split(os.fsencode(os.sep))
    if max(map(len, parts)) > 255 or len(parts) > 500 or sum(map(len, parts)) > 3000:
        raise UserError('--out %s: that name is too long' % shown)


def _check_writable(folder, shown):
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise UserError('--out %s: %s is no folder' % (shown, one_line(place)))
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise UserError('--out %s: the folder %s can not be written to: %s'
                        % (shown, one_line(place), error.strerror))


def _check_apart(folder, place, data):
    real = os.path.realpath(folder)
    if _inside(place, real):
        raise _not_apart(folder, data, 'holds the images of --data %s' % one_line(data))
    if os.path.isdir(place) or not os.path.exists(place):       # a link may lead there later
        if _inside(real, place):
            raise _not_apart(folder, data, 'is inside of --data %s, and the run would train on its'
                             ' own grids' % one_line(data))


def _not_apart(folder, data, why):
    return UserError('--out %s %s; keep run and images in folders apart (a run that is there '
                     'already can be moved: --resume finds out)' % (one_line(folder), why))


def _places(data):
    """The real paths of a folder and of what links in it lead to, there or not."""
    place = os.path.realpath(data)
    yield place
    folders, known = [place], set()
    while folders:
        folder = folders.pop()
        if folder in known:
            continue
        known.add(folder)
        try:
            entries = list(os.scandir(folder))
        except OSError:                                 # what can't be read is no image
            continue
        for entry in entries:
            if entry.name[0] == '.':                    # passed over as images are
                continue
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if _inside(folder, target):             # back to where it stands: not followed
                    continue
                yield target
                if os.path.isdir(target):
                    folders.append(target)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)


def _inside(path, folder):
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return os.path.join(path, '').startswith(os.path.join(folder, ''))
