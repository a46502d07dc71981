"""An image file to an array of RGB: what OpenCV reads rightly, and with Pillow what it does not.

OpenCV is several times as fast. Pillow reads GIF, turns WebP as its EXIF data say, and tells a
transparent pixel from the colour that lies under it.
"""

import contextlib
import functools
import io
import os
import re
import struct
import sys
import tempfile
import warnings

from wgan.command_line import UserError, note, one_line
from wgan.image_files import NOT_READ, kind_of

import cv2
import numpy as np
from PIL import Image

MAX_FILE = 1 << 29                  # bytes: no image that is read needs more
MAX_SIDE = 1 << 20                  # pixels, OpenCV's own limit
# The same limit holds in Pillow, whose own would warn of some images, and refuse others.
# OpenCV has checked the variable when it was imported: '67108864', '64MB' …
_digits, _unit = re.match(r'(\d+)([KM]?)', os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'], re.I).groups()
MAX_PIXELS = int(_digits) * {'': 1, 'K': 1 << 10, 'M': 1 << 20}[_unit.upper()]
Image.MAX_IMAGE_PIXELS = None

PILLOW_NAMES = {'JPEG': 'JPEG', 'PNG': 'PNG', 'WebP': 'WEBP', 'GIF': 'GIF', 'TIFF': 'TIFF',
                'BMP': 'BMP', 'JPEG 2000': 'JPEG2000', 'Netpbm': 'PPM', 'Sun raster': 'SUN'}
# What its parsers raise if a file is damaged: whatever happens to them.
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError,
                 AttributeError, RuntimeError, EOFError, struct.error)
WITH_ALPHA = ('RGBA', 'RGBa', 'LA', 'La', 'PA')
EXIF_ORIENTATION = 0x112
TURNS = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM,
         5: Image.TRANSPOSE, 6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}


class UnreadableImage(UserError):
    """An image file that can't be read, or not rightly; the text says why, but not which."""


def decode_image(path):
    """An image file as it is: RGB, uint8, (H, W, 3). Raises UnreadableImage."""
    return decode(read_file(path))[0]


def read_file(path):
    """The content of an image file. Raises UnreadableImage."""
    try:
        # Unlike imread, takes any name of a file. A buffer would take longer than to read it.
        with open(path, 'rb', buffering=0) as file:
            data = file.read() if os.fstat(file.fileno()).st_size <= MAX_FILE else None
    except FileNotFoundError:
        raise UnreadableImage('it was there at the start and is gone')
    except OSError as error:
        raise UnreadableImage(error.strerror)
    if data is None:
        raise UnreadableImage('larger than %d MB' % (MAX_FILE >> 20))
    if not data:
        raise UnreadableImage('not an image: the file is empty')
    return data


def decode(data):
    """(image, remark) of the content of an image file.

    image: RGB, uint8, (H, W, 3). Grey becomes RGB, what is transparent lies on white, 16 bits
        become 8, the orientation that a camera noted is applied, of an animation the first frame
        is taken.
    remark: what a user should know of it, or None.
    Raises UnreadableImage for all that can't be read in full: other formats, files that are
    damaged or cut off, more than MAX_PIXELS, pixels whose range is not known.
    """
    kind = kind_of(data)
    if kind is None:
        raise UnreadableImage('not an image of a kind that is read here')
    if kind in NOT_READ:
        raise UnreadableImage('%s is not read here, save it as JPEG or PNG' % kind)
    if kind == 'JPEG' and not _is_complete_jpeg(data):
        raise UnreadableImage('a JPEG that is cut off')
    image = _with_pillow(data, kind) if _may_need_pillow(data, kind) else None
    return (image, None) if image is not None else _with_opencv(data, kind)


def _may_need_pillow(data, kind):
    if kind == 'PNG':                           # grey or RGB with alpha; one transparent colour
        return data[25:26] in b'\4\6' or b'tRNS' in data[:max(0, data.find(b'IDAT'))]
    return kind in ('GIF', 'WebP', 'TIFF', 'BMP', 'JPEG 2000')


def _with_pillow(data, kind):
    """The image, or None if OpenCV reads it as well: without transparency, kinds that it knows.

    Raises UnreadableImage.
    """
    try:
        with _open(data, kind) as image:
            transparent = image.mode in WITH_ALPHA or 'transparency' in image.info
            if image.mode[0] in 'IF' or not (transparent or kind in ('GIF', 'WebP')):
                return None
            _check_size(image.size)
            # Of a TIFF, Pillow applies it.
            turn = None if kind == 'TIFF' else TURNS.get(image.getexif().get(EXIF_ORIENTATION))
            image.load()
            if transparent:
                image = image.convert('RGBA')
                white = Image.new('RGB', image.size, 'white')
                white.paste(image, mask=image.getchannel('A'))
                image = white
            image = image.convert('RGB')
            return np.array(image if turn is None else image.transpose(turn))
    except UnreadableImage:
        raise
    except PILLOW_ERRORS:
        if kind == 'TIFF':                      # it has forms that Pillow does not know
            return None
        raise _damaged(kind)


@contextlib.contextmanager
def _open(data, kind):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')         # of odd EXIF data
        yield Image.open(io.BytesIO(data), formats=[PILLOW_NAMES[kind]])


def _check_size(size):
    if size[0] * size[1] > MAX_PIXELS or max(size) > MAX_SIDE:
        raise UnreadableImage('%d x %d pixels are too large, at most %d in all '
                              '(OPENCV_IO_MAX_IMAGE_PIXELS) and %d on a side are read'
                              % (*size, MAX_PIXELS, MAX_SIDE))


def _damaged(kind):
    return UnreadableImage('a %s file that is damaged or cut off, or of a form that is not read'
                           % kind)


def _with_opencv(data, kind):
    """As `decode`; the image is not transparent."""
    with _held_stderr() as said:
        try:
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8),
                               cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        except cv2.error:                       # a header that asks for too much, or for nonsense
            bgr = None
    if bgr is None:
        with contextlib.suppress(*PILLOW_ERRORS), _open(data, kind) as image:
            size = image.size
            _check_size(size)
        raise _damaged(kind)
    if b'premature end' in b''.join(said):      # an end mark, but the image is not complete
        raise UnreadableImage('a %s that is cut off' % kind)
    if bgr.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage('its pixels are %s numbers, of a range that is not known; save it '
                              'with 8 or 16 bits' % bgr.dtype)
    if kind == 'Netpbm':
        bgr = _scale_netpbm(bgr, data)
    remark = None
    if bgr.dtype == np.uint16:
        if 0 < bgr.max() < 1 << 14:
            remark = ('its 16 bits hold values up to %d only, and it becomes dark; if it has '
                      'fewer bits, scale it to 16' % bgr.max())
        bgr = (bgr >> 8).astype(np.uint8)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), remark


def _scale_netpbm(image, data):
    """0 … the maximum that a header of Netpbm gives → 0 … 255, where OpenCV does not do it."""
    if data[1:2] in b'14' or data[1:2] in b'23' and image.dtype == np.uint8:
        return image
    try:
        maximum = int(re.sub(br'#[^\r\n]*', b'', data[:1 << 16]).split(None, 4)[3])
    except (ValueError, IndexError):
        raise _damaged('Netpbm')
    if maximum in (0, 255, 65535):
        return image
    return np.minimum(image * np.float32(255 / maximum) + 0.5, 255).astype(np.uint8)


# The next marker behind compressed data: in them, 0 follows 255, or the number of a restart.
JPEG_MARKER = re.compile(b'\xff[\x01-\xcf\xd8-\xfe]')
JPEG_END, JPEG_SCAN = 0xd9, 0xda


def _is_complete_jpeg(data):
    """Whether a JPEG has its end mark: OpenCV makes the rest grey if it is cut off.

    Phones write more data behind the mark; and a thumbnail, which lies in a segment, has its own.
    """
    if data.endswith(b'\xff\xd9'):
        return True
    position = 2
    while True:
        marker = JPEG_MARKER.search(data, position)
        if marker is None:
            return False
        position, code = marker.end(), data[marker.end() - 1]
        if code == JPEG_END:
            return True
        if code > 0x01 and code != 0xd8:        # all others have a length
            position += int.from_bytes(data[position:position + 2], 'big')


@functools.lru_cache(maxsize=1)
def _scratch_file(process):
    """A file for what is held back; forked processes would share that of their parent."""
    return tempfile.TemporaryFile(buffering=0)


@contextlib.contextmanager
def _held_stderr():
    """Hold back what OpenCV's libraries write to stderr, without a name of the file that they are
    reading; yields a list, which has it when the block ends.
    """
    file, held = _scratch_file(os.getpid()), []
    sys.stderr.flush()
    stderr = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield held
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        if file.tell():
            file.seek(0)
            held.append(file.read())
            file.seek(0)
            file.truncate()


class ImageReader:
    """Reads the files of one set. A file that can't be read is named on stderr, once.

    word: what becomes of it. unreadable: the paths of those.
    """

    def __init__(self, word='skipped'):
        self.word, self.unreadable, self.remarks, self.warned = word, set(), {}, False

    def read(self, path, digest=None):
        """The image as `decode` gives it, or None; a hash object is told of what was read."""
        try:
            data = read_file(path)
            image, remark = decode(data)
        except UnreadableImage as error:
            if path not in self.unreadable:
                self.unreadable.add(path)
                note('%s, %s: %s' % (self.word, error, one_line(path)))
            return None
        self.remark(path, remark)
        if digest:
            digest.update(data)
        return image

    def remark(self, path, remark):
        """Remember what `decode` remarked of an image, if anything, for `warn`."""
        if remark:
            self.remarks[path] = remark

    def warn(self):
        """Say what is to be known of the images that were read; once, for all of them."""
        if self.remarks and not self.warned:
            self.warned = True
            path = min(self.remarks)
            note('warning: %s: %s%s' % (
                one_line(path), self.remarks[path], '' if len(self.remarks) == 1 else
                '; %d images are like this' % len(self.remarks)))
