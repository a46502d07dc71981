"""An image file to an array of RGB: Pillow reads its header, and OpenCV or Pillow its pixels.

OpenCV is up to three times as fast. Pillow reads GIF, finds the orientation in EXIF data, whatever
lies before them, and tells a transparent pixel from the colour that lies under it.
"""

import contextlib
import io
import os
import re
import struct
import warnings

from wgan.machine.command_line import UserError, note, one_line
from wgan.machine.stderr import held_stderr
from wgan.datasets.image_files import NOT_READ, format_of

import cv2
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

MAX_FILE = 1 << 29                  # bytes: no image that is read needs more
MAX_SIDE = 1 << 20                  # pixels, OpenCV's own limit
MAX_PIXELS = 1 << 26                # in all, as wgan/__init__.py has told OpenCV
Image.MAX_IMAGE_PIXELS = None       # Pillow's own would warn of some images, and refuse others

PILLOW_NAMES = {'JPEG': 'JPEG', 'PNG': 'PNG', 'WebP': 'WEBP', 'GIF': 'GIF', 'TIFF': 'TIFF',
                'BMP': 'BMP', 'JPEG 2000': 'JPEG2000', 'Netpbm': 'PPM', 'Sun raster': 'SUN'}
# What its parsers raise if a file is damaged: whatever happens to them.
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError,
                 AttributeError, RuntimeError, EOFError, struct.error)
WITH_ALPHA = ('RGBA', 'RGBa', 'LA', 'La', 'PA')
EXIF_ORIENTATION = 0x112
PNG_EXTRAS = (b'tRNS', b'acTL', b'eXIf', b'Raw profile type exif', b'XML:com.adobe.xmp')
TIFF_TAGS = BITS, PHOTOMETRIC, SAMPLES, PLANES, EXTRA_SAMPLES = 258, 262, 277, 284, 338
NEXT_PAGE = 'next page'             # where it is in the file; 0 for none
WHITE_IS_ZERO = 0                   # a value of PHOTOMETRIC
JPEG_END = b'\xff\xd9'
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
    """(image, remarks) of the content of an image file.

    image: RGB, uint8, (H, W, 3). Grey becomes RGB, what is transparent lies on white, 16 bits
        become 8, the orientation that a camera noted is applied, of several images (an animation,
        pages) the first is taken.
    remarks: what a user should know of it, {subject: sentence}.
    Raises UnreadableImage for all that can't be read in full: other formats, files that are
    damaged or cut off, more than MAX_PIXELS, pixels whose range is not known.
    """
    file_format = format_of(data)
    if file_format is None:
        raise UnreadableImage('not an image of a kind that is read here')
    if file_format in NOT_READ:
        raise UnreadableImage('%s is not read here, save it as JPEG or PNG' % file_format)
    with held_stderr() as messages, warnings.catch_warnings():
        warnings.simplefilter('ignore')         # Pillow's name no file either
        result = _decode(data, file_format)
    if b'premature end' in b''.join(messages):      # an end mark, but the image is not complete
        raise UnreadableImage('a %s that is cut off' % file_format)
    return result


def _decode(data, file_format):
    if file_format == 'JPEG' and not _is_complete_jpeg(data):
        raise UnreadableImage('a JPEG that is cut off')
    tags = _read_tags(data) if file_format == 'TIFF' else {}
    _check_tiff(tags)
    header = None if file_format == 'PNG' and _is_plain_png(data) else _open(data, file_format)
    if header and _needs_pillow(header, file_format, tags):
        image, remarks = _with_pillow(header, file_format), {}
    else:
        image, remarks = _with_opencv(data, file_format, tags, header)
    if tags.get(NEXT_PAGE) or _is_animated(header):
        remarks['several'] = ('it has several %s, and the first is taken'
                              % {'TIFF': 'pages', 'JPEG': 'images'}.get(file_format, 'frames'))
    turn = TURNS.get(_orientation(header, file_format))
    return image if turn is None else np.array(Image.fromarray(image).transpose(turn)), remarks


def _read_tags(data):
    """The tags of a TIFF's first page and its NEXT_PAGE, a dict. (Pillow opens not every TIFF.)"""
    file = io.BytesIO(data)
    with contextlib.suppress(*PILLOW_ERRORS):
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return dict({number: tags[number] for number in TIFF_TAGS if number in tags},
                    **{NEXT_PAGE: tags.next})
    raise _damaged('TIFF')


def _is_plain_png(data):
    """Whether a PNG has no transparency, frames or EXIF data: a small one is not to wait for
    Pillow.
    """
    return data[25:26] in b'\0\2\3' and not any(name in data for name in PNG_EXTRAS)


def _open(data, file_format):
    """The image as Pillow opens it, of which it has read the header only; None if it can't.

    It does not know all forms of TIFF, Netpbm and Sun raster, nor a JPEG with an odd segment.
    Raises UnreadableImage for one that is too large.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=[PILLOW_NAMES[file_format]])
    except PILLOW_ERRORS:
        return None
    if image.size[0] * image.size[1] > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise UnreadableImage('%d x %d pixels are too large, at most %d in all and %d on a side '
                              'are read' % (*image.size, MAX_PIXELS, MAX_SIDE))
    return image


def _orientation(header, file_format):
    """The orientation in the EXIF data, 1 … 8; None if there is none, or it can't be read.

    Both libraries apply that of a TIFF themselves.
    """
    if header is None or file_format == 'TIFF':
        return None
    with contextlib.suppress(*PILLOW_ERRORS):
        return header.getexif().get(EXIF_ORIENTATION)


def _is_animated(header):
    """Whether there are further frames or images behind the first."""
    try:
        return getattr(header, 'is_animated', False)
    except PILLOW_ERRORS:                       # the second one is damaged
        return True


def _needs_pillow(header, file_format, tags):
    """Whether OpenCV would not read it rightly: transparency, kinds and depths that it lacks."""
    if file_format in ('GIF', 'WebP') or header.mode in WITH_ALPHA:
        return True
    if file_format == 'TIFF':
        return max(tags.get(BITS, (1,))) in (2, 4)
    return header.mode == 'P' and 'transparency' in header.info


def _with_pillow(image, file_format):
    """The pixels, RGB. Raises UnreadableImage."""
    try:
        image.load()
        if image.mode in WITH_ALPHA or 'transparency' in image.info:
            image = image.convert('RGBA')
            white = Image.new('RGB', image.size, 'white')
            white.paste(image, mask=image.getchannel('A'))
            image = white
        return np.array(image.convert('RGB'))
    except PILLOW_ERRORS:
        raise _damaged(file_format)


def _check_tiff(tags):
    """Raise UnreadableImage for the forms that neither library reads rightly."""
    deep = max(tags.get(BITS, (1,))) == 16
    samples, extra = tags.get(SAMPLES, 1), tags.get(EXTRA_SAMPLES, ())
    separate = tags.get(PLANES) == 2 and samples > 1
    premultiplied, grey_alpha = 1 in extra, samples == 2 and (1 in extra or 2 in extra)
    if separate and (deep and samples > 2 or premultiplied or grey_alpha):
        raise UnreadableImage('a TIFF with a plane for each colour%s, which is not read here; '
                              'save it as PNG' % (' of 16 bits' if deep else ', and transparency'))
    if grey_alpha and (deep or premultiplied):
        raise UnreadableImage('a grey TIFF with transparency%s, which is not read here; save it '
                              'as PNG' % (' of 16 bits' if deep else ' that is multiplied in'))


def _damaged(file_format):
    return UnreadableImage('a %s file that is damaged or cut off, or of a form that is not read'
                           % file_format)


def _with_opencv(data, file_format, tags, header=None):
    """(RGB, remarks), as `decode`, but not turned if there is a header, Pillow's, to tell how."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    if header:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:                           # a header that asks for too much, or for nonsense
        bgr = None
    if bgr is None:
        _open(data, file_format)                # is it too large?
        raise _damaged(file_format)
    if bgr.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage('its pixels are %s numbers, of a range that is not known; save it '
                              'with 8 or 16 bits' % bgr.dtype)
    if file_format == 'Netpbm':
        bgr = _scale_netpbm(bgr, data)
    remarks = {}
    if bgr.dtype == np.uint16:
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            bgr = ~bgr
        if 0 < bgr.max() < 1 << 14:
            remarks['dark'] = ('its 16 bits hold values up to %d only, and it becomes dark; if it '
                               'has fewer bits, scale it to 16' % bgr.max())
    if file_format == 'PNG' and header and 'transparency' in header.info:
        bgr[_transparent(bgr, data, header.info['transparency'])] = np.iinfo(bgr.dtype).max
    if bgr.dtype == np.uint16:
        bgr = (bgr >> 8).astype(np.uint8)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), remarks


def _transparent(bgr, data, colour):
    """Which pixels of a grey or RGB PNG, (H, W), have the colour that it declares transparent.

    It is compared at its full depth: Pillow compares 16 bits with 8, and 2 with 8.
    """
    depth = data[24]                            # in the header of a PNG
    largest = (1 << depth) - 1
    values = (np.ravel(colour)[::-1] & largest) * (255 // largest if depth < 8 else 1)
    return (bgr == values).all(axis=2)


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


def _is_complete_jpeg(data):
    """Whether a JPEG has its end mark: OpenCV makes the rest grey if it is cut off.

    Phones write more data behind the mark; and a thumbnail, which lies in a segment, has its own.
    Pillow reads the segments. In the compressed data behind them, these two bytes are the mark.
    """
    if data.endswith(JPEG_END):
        return True
    file = io.BytesIO(data)
    with contextlib.suppress(*PILLOW_ERRORS):
        JpegImageFile(file)
    return data.find(JPEG_END, file.tell()) >= 0


class ImageReader:
    """Reads the files of one set. A file that can't be read is named on stderr, once.

    word: what becomes of it. unreadable: the paths of those.
    """

    def __init__(self, word='skipped'):
        self.word, self.unreadable, self.remarks = word, set(), {}

    def read(self, path, digest=None):
        """The image as `decode` gives it, or None; a hash object is told of what was read."""
        try:
            data = read_file(path)
            image, remarks = decode(data)
        except UnreadableImage as error:
            if path not in self.unreadable:
                self.unreadable.add(path)
                note('%s, %s: %s' % (self.word, error, one_line(path)))
            return None
        self.remark(path, remarks)
        if digest:
            digest.update(data)
        return image

    def remark(self, path, remarks):
        """Remember what `decode` remarked of an image, if anything, for `warn`."""
        for subject, sentence in remarks.items():
            self.remarks.setdefault(subject, {})[path] = sentence

    def warn(self):
        """Say what is to be known of the images that were read: one line a subject, once."""
        for _, sentences in sorted(self.remarks.items()):
            path = min(sentences)
            note('warning: %s: %s%s' % (
                one_line(path), sentences[path], '' if len(sentences) == 1 else
                '; %d images are like this' % len(sentences)))
        self.remarks = {}
