"""Image grids with a row for each label, and its name beside it."""

import os

from wgan.command_line import one_line
from wgan.images import grid

from matplotlib import get_data_path
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROWS = 32                       # in the sample grids of a run; further labels are not shown there
LARGEST_FONT, MARGIN = 24, 6    # pixels
LONGEST = 24                    # letters of a name that are shown


def label_grid(images, names, columns, border=0):
    """Images (N, H, W, 3), uint8, side by side, with the names, one for each row, to the left."""
    sheet, height = grid(images, columns, border), images.shape[1]
    font = ImageFont.truetype(os.path.join(get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'),
                              max(8, min(LARGEST_FONT, height // 3)))
    names = [one_line(name) for name in names]
    names = [name if len(name) <= LONGEST else name[:LONGEST - 1] + '…' for name in names]
    width = max(font.getsize(name)[0] for name in names) + 2 * MARGIN
    margin = Image.new('RGB', (width, len(sheet)), 'white')
    draw = ImageDraw.Draw(margin)
    for row, name in enumerate(names):
        middle = row * (height + border) + height / 2
        draw.text((MARGIN, middle - font.getsize(name)[1] / 2), name, fill='black', font=font)
    return np.concatenate([np.asarray(margin), sheet], axis=1)
