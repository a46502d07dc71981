"""Finds image files: in a folder and its subfolders, or in a map file."""

import codecs
import collections
import os
import re
import unicodedata

from wgan.machine.command_line import RANK, UserError, note, one_line
from wgan.machine.disk import as_path, as_text, read_run_config

# Files with these suffixes are taken for images; their content is not checked.
SUFFIXES = ('.bmp', '.dib', '.gif', '.jfif', '.jpe', '.jpeg', '.jpg', '.jp2', '.pbm', '.pgm',
            '.png', '.pnm', '.ppm', '.ras', '.sr', '.tif', '.tiff', '.webp')

# Folders, in lower case, where systems keep thumbnails, deleted files and recovered files: Windows,
# macOS, Linux, Android, Synology and QNAP.
SYSTEM_FOLDERS = frozenset((
    '$recycle.bin', 'recycler', 'recycled', 'system volume information', 'found.000', '__macosx',
    'network trash folder', 'temporary items', 'lost+found', 'lost.dir', '@eadir', '#recycle',
    '#snapshot', '@recycle', '@recently-snapshot', '@sharebin', '@tmp'))

# The first bytes of each format. Where a text could begin with the same bytes, more are checked.
HEAD = 32
FORMATS = collections.OrderedDict((name, re.compile(pattern, re.DOTALL)) for name, pattern in (
    ('JPEG', b'\xff\xd8\xff'),
    ('PNG', b'\x89PNG\r\n\x1a\n'),
    ('WebP', b'RIFF....WEBP'),
    ('GIF', b'GIF8[79]a'),
    ('TIFF', br'II\*\0|MM\0\*'),
    ('BMP', b'BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0'),
    ('JPEG 2000', b'\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0'),
    ('Netpbm', br'P[1-6]\s+[#\d]'),
    ('Sun raster', b'\x59\xa6\x6a\x95'),
    # Not read:
    ('AVIF', b'....ftypavi[fs]'),
    ('HEIC', b'....ftyp(hei|hev|mif|msf)'),
    ('OpenEXR', b'\x76\x2f\x31\x01'),
    ('Radiance HDR', br'#\?(RADIANCE|RGBE)'),
))
NOT_READ = ('AVIF', 'HEIC', 'OpenEXR', 'Radiance HDR')


def format_of(data):
    """Returns the format of an image, a name in FORMATS, from its bytes; None for other files."""
    head = bytes(data[:HEAD])
    return next((name for name, pattern in FORMATS.items() if pattern.match(head)), None)


def find_images(source, option='--data', report=True):
    """Lists the paths of all images of `source`.

    source: a folder (see `Search`) or a map file (see `read_map_file`).
    option: the option that names `source`, for error sentences.
    report: whether to print the numbers of images and of skipped files on stderr.
    Raises UserError if `source` does not exist, has no images, or has a map file line that can't be
    used; OSError if the folder or map file can't be read.
    """
    passed_over = ''
    if os.path.isdir(source):
        search = Search(source)
        paths, passed_over = search.paths, search.passed_over()
        if not paths:
            raise UserError('no image in the folder %s%s' % (one_line(source), passed_over))
    elif os.path.isfile(source):
        paths = [line.path for line in read_map_file(source, option)]
    else:
        raise UserError('%s %s; %s takes a folder of images or a map file%s' % (
            one_line(source), 'is neither a folder nor a regular file' if os.path.exists(source)
            else 'does not exist', option, ', and data/draw_faces.py draws a set to begin with'
            if option == '--data' else ''))
    if report and RANK == 0:
        note('found %s in %s%s' % (counted(len(paths), 'image'), one_line(source), passed_over))
    return paths


def is_run(folder):
    """Whether a folder holds a run, by its config.json. Its images are sample grids, not data."""
    try:
        read_run_config(folder)
    except (OSError, ValueError):                               # none, or not written by a run
        return False
    return True


def counted(count, noun):
    return '%d %s%s' % (count, noun, '' if count == 1 else 's')


class Search:
    """The images in a folder and its subfolders: `paths`, sorted.

    Links to files and folders are followed. Each folder is read once, even if several links lead to
    it. Skipped: links to a folder that contains the link, run folders, hidden files and folders,
    SYSTEM_FOLDERS, unreadable subfolders, and everything that is not a readable regular file
    (pipes could block). Files without a known image suffix are checked by their content.
    Raises OSError if the folder itself can't be read.
    """

    def __init__(self, source):
        self.paths, self.links, self.visited = [], [], set()
        self.hidden, self.others = 0, collections.Counter()     # by suffix
        self.reasons = collections.defaultdict(list)            # reason → paths
        folders = self._read(source)
        # Links come last, so that a folder that is reached twice has its own path.
        while folders or self.links:
            folder = folders.pop() if folders else self._next_link()
            try:
                folders += self._read(folder) if folder else []
            except OSError:
                self.reasons['unreadable folder'].append(folder)
        self.paths.sort()

    def _next_link(self):
        """The next folder that a link leads to, or None if the link leads back."""
        link = min(self.links)
        self.links.remove(link)
        here, target = os.path.realpath(os.path.dirname(link)), os.path.realpath(link)
        if os.path.join(here, '').startswith(os.path.join(target, '')):
            self.reasons['looping link'].append(link)
            return None
        return link

    def _read(self, folder):
        """Adds the files of a folder and its links to folders. Returns its subfolders."""
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in self.visited:
            self.reasons['repeated folder'].append(folder)
            return []
        entries = list(os.scandir(folder))
        self.visited.add((about.st_dev, about.st_ino))
        if is_run(folder):
            self.reasons['run'].append(folder)
            return []
        folders = []
        for entry in entries:
            try:
                if entry.name[0] == '.':
                    self.hidden += 1
                elif entry.is_file():
                    self._add(entry.name, entry.path)
                elif entry.is_dir() and entry.name.lower() in SYSTEM_FOLDERS:
                    self.reasons['system folder'].append(entry.path)
                elif entry.is_dir():
                    (self.links if entry.is_symlink() else folders).append(entry.path)
                else:
                    os.stat(entry.path)
                    self.reasons['special file'].append(entry.path)     # a FIFO, a device …
            except OSError:
                reason = 'dangling link' if entry.is_symlink() else 'unreadable file'
                self.reasons[reason].append(entry.path)
        return folders

    def _add(self, name, path):
        if not os.access(path, os.R_OK):
            self.reasons['unreadable file'].append(path)
        elif name.lower().endswith(SUFFIXES) or _is_image(path):
            self.paths.append(path)
        else:
            self.others[os.path.splitext(name)[1].lower()] += 1

    def passed_over(self):
        """'; passed over 2 hidden, 3 not images (.heic 2, .txt 1)'; '' if nothing was skipped."""
        parts = ['%d hidden' % self.hidden] if self.hidden else []
        for reason, paths in sorted(self.reasons.items()):
            parts.append('%s (%s%s)' % (counted(len(paths), reason), one_line(min(paths)),
                                        ' …' if len(paths) > 1 else ''))
        if self.others:
            suffixes = ['%s %d' % (one_line(suffix) or 'no suffix', count)
                        for suffix, count in self.others.most_common(5)]
            parts.append('%d not %s (%s%s)' % (
                sum(self.others.values()), 'images' if sum(self.others.values()) > 1
                else 'an image', ', '.join(suffixes), ', …' if len(self.others) > 5 else ''))
        return '; passed over ' + ', '.join(parts) if parts else ''


def _is_image(path):
    """Whether a file without a known suffix is a readable image, by its content.

    A camera's raw file begins like a TIFF, but only its thumbnail could be read.
    """
    with open(path, 'rb', buffering=0) as file:
        file_format = format_of(file.read(HEAD))
    raw = file_format == 'TIFF' and os.path.splitext(path)[1]
    return file_format is not None and file_format not in NOT_READ and not raw


# A line of a map file. number: counted from 1. label: '' if there is none.
MapLine = collections.namedtuple('MapLine', 'number path label')


def read_map_file(source, option='--data'):
    """Reads a map file, as CNTK's ImageDeserializer does. Returns its MapLines.

    A line is 'path<TAB>label', 'id<TAB>path<TAB>label', or a path alone, whose label is ''. Blank
    lines are skipped. '...' at the start of a path stands for the folder of the map file. A
    relative path counts from that folder or, if nothing is there, from the working directory. If a
    path does not exist, it is tried with slashes for backslashes and in other Unicode forms. The
    text is UTF-8, UTF-16 with a byte order mark, or the bytes of the file system.
    Raises UserError, with the line number, for a line that names no readable file.
    """
    map_lines, folder, lines = [], os.path.dirname(source), _lines(source, option)
    for number, line in enumerate(lines, 1):
        columns = line.rstrip('\t\r').split('\t')
        name, label = columns[1 if len(columns) > 2 else 0], columns[-1].strip()
        if not line.strip():
            continue
        path, problem = _find(name, folder)
        if len(columns) > 3 or problem and len(columns) == 3 and not _find(columns[0], folder)[1]:
            raise UserError('%s, line %d: it has %d columns; a line is path<TAB>label or '
                            'id<TAB>path<TAB>label, and an image has one label' % (
                                one_line(source), number, len(columns)))
        if problem:
            raise UserError('%s, line %d: the image %s %s%s' % (
                one_line(source), number, one_line(name[:200]) or "''", problem,
                '' if map_lines else _what_is_expected(lines[number - 1:], folder, option)))
        map_lines.append(MapLine(number, path, label if len(columns) > 1 else ''))
    if not map_lines:
        raise UserError('the map file %s lists no image' % one_line(source))
    return map_lines


def _what_is_expected(lines, folder, option):
    """Returns the end of an error sentence: a hint on what the first lines should be."""
    header, *later = [line.strip() for line in lines if line.strip()][:2]
    for line in later + [header]:
        for separator, name in ((',', 'comma'), (';', 'semicolon'), (' ', 'space')):
            fields = line.split(separator)
            fields += [separator.join(fields[:i]) for i in range(2, len(fields))]
            if len(fields) > 1 and '\t' not in line and any(
                    not _find(field.strip('"\' '), folder)[1] for field in fields):
                return ('; a map file has no header line, and a TAB between path and label, not a '
                        + name)
    if later and not _find(later[0].split('\t')[0], folder)[1]:
        return '; a map file has no header line'
    return '; a line is path<TAB>label%s' % (
        '; to train on lines of text, give --text' if option == '--data' else '')


def _lines(source, option):
    """Reads the lines of a text file, decoded so that paths in them can be opened."""
    with open(source, 'rb') as file:
        text = file.read(1 << 16)
        try:
            if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                text = (text + file.read()).decode('utf-16').encode()
            if b'\0' not in text:
                text += file.read()
                text = text[len(codecs.BOM_UTF8) if text.startswith(codecs.BOM_UTF8) else 0:]
                if b'\0' not in text:
                    return os.fsdecode(text).split('\n')
        except UnicodeError:
            pass
    raise UserError('%s is no map file (lines of path<TAB>label); %s takes one of those or a '
                    'folder' % (one_line(source), option))


def _find(name, folder):
    """Returns (path, None) of the image `name` in a map file in `folder`, or (None, problem)."""
    if re.match(r'\.\.\.[/\\]', name):
        candidates = [os.path.join(folder, name[4:])]
    else:
        candidates = [os.path.join(folder, name), name]
    path = next((path for candidate in candidates for path in _spellings(candidate)
                 if os.path.exists(path)), None)
    if path is None:
        return None, ('does not exist' if not re.search(r'\.zip@[/\\]', name, re.IGNORECASE) else
                      'is in a zip file, which is not read; unpack it')
    if not os.path.isfile(path):
        return None, 'is a folder' if os.path.isdir(path) else 'is not a regular file'
    return path, None if os.access(path, os.R_OK) else 'can not be read: Permission denied'


def _spellings(path):
    """Yields spellings of a path to try, since a map file may come from another system."""
    yield path
    yield path.replace('\\', '/')
    for form in ('NFC', 'NFD'):
        yield as_path(unicodedata.normalize(form, as_text(path)))
