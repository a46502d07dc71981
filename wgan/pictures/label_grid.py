"""Image grids with a row for each label, and its name beside it."""

import functools
import os
import unicodedata

from wgan.machine.command_line import one_line, warn
from wgan.datasets.images import grid

from matplotlib import get_data_path
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font
import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

ROWS = 32                       # labels in the sample grids of a run, at most
LARGEST_FONT, MARGIN = 24, 6    # pixels
LONGEST = 24                    # longer names are cut
LISTED = 5                      # at most this many names are listed
DEFAULT_FONT = os.path.join(get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')


def label_grid(images, names, columns, border=0):
    """Returns a grid of images (N, H, W, 3), uint8, with a name to the left of each row.

    names: as `readable` returns them.
    """
    sheet, height = grid(images, columns, border), images.shape[1]
    size = max(8, min(LARGEST_FONT, height // 3))
    texts = [_shortened(_printable(name)) for name in names]
    fonts = [ImageFont.truetype(find_font(text) or DEFAULT_FONT, size) for text in texts]
    width = max(font.getsize(text)[0] for text, font in zip(texts, fonts)) + 2 * MARGIN
    margin = Image.new('RGB', (width, len(sheet)), 'white')
    draw = ImageDraw.Draw(margin)
    for row, (text, font) in enumerate(zip(texts, fonts)):
        middle = row * (height + border) + height / 2
        draw.text((MARGIN, middle - font.getsize(text)[1] / 2), text, fill='black', font=font)
    return np.concatenate([np.asarray(margin), sheet], axis=1)


def readable(names):
    """Returns the names of labels. A name that no font can draw is replaced by its number, with a
    warning.
    """
    numbers = [number for number, name in enumerate(names) if not find_font(_printable(name))]
    if numbers:
        warn('no font of this system can draw the label%s %s%s: the number stands in grids; '
             'install a font that has the letters, as fonts-noto-cjk or fonts-noto-core%s' % (
                 's' if len(numbers) > 1 else '',
                 ', '.join('%s (%d)' % (one_line(names[i]), i) for i in numbers[:LISTED]),
                 ' …' if len(numbers) > LISTED else '',
                 '' if features.check('raqm') else
                 ', and libfribidi0, without which letters are not joined'))
    return [str(i) if i in numbers else name for i, name in enumerate(names)]


@functools.lru_cache(maxsize=None)
def find_font(text):
    """Returns the file of a font that can draw a text; None if there is none, or its letters must
    be joined or reordered and no library for this is installed.
    """
    if _needs_shaping(text) and not features.check('raqm'):
        return None
    letters = {ord(letter) for letter in text if _is_drawn(letter)}
    return next((path for path in _fonts() if letters <= _letters_of(path)), None)


def _needs_shaping(text):
    """Whether a text has right-to-left letters or combining marks (as in Hindi)."""
    return any(unicodedata.bidirectional(letter) in ('R', 'AL')
               or unicodedata.category(letter) in ('Mn', 'Mc') for letter in text)


def _is_drawn(letter):
    return not letter.isspace() and unicodedata.category(letter) != 'Cf'


@functools.lru_cache(maxsize=None)
def _fonts():
    """matplotlib's font, then those of the system, regular ones first."""
    return [DEFAULT_FONT] + sorted(
        findSystemFonts(), key=lambda path: ('regular' not in path.lower(), path))


@functools.lru_cache(maxsize=None)
def _letters_of(path):
    """The code points of a font; none if it can't be used, such as one of coloured images."""
    try:
        ImageFont.truetype(path, LARGEST_FONT)
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def _printable(name):
    """Returns a name, escaped if it has characters that can't be printed (joiners may stay)."""
    return name if all(map(str.isprintable, filter(_is_drawn, name))) else ascii(name)


def _shortened(text):
    if len(text) <= LONGEST:
        return text
    end = '…' if ord('…') in _letters_of(find_font(text) or DEFAULT_FONT) else ''
    return text[:LONGEST - 1] + end
