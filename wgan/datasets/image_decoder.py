"""Decodes image files to RGB arrays. Pillow reads the header, and OpenCV or Pillow the pixels.

OpenCV is up to three times as fast. Pillow reads GIF, finds the orientation in any EXIF data, and
reads transparency.
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

MAX_FILE = 1 << 29                  # bytes
MAX_SIDE = 1 << 20                  # pixels, OpenCV's own limit
MAX_PIXELS = 1 << 26                # in all; wgan/__init__.py sets the same limit for OpenCV
Image.MAX_IMAGE_PIXELS = None       # MAX_PIXELS takes the place of Pillow's own limit

PILLOW_NAMES = {'JPEG': 'JPEG', 'PNG': 'PNG', 'WebP': 'WEBP', 'GIF': 'GIF', 'TIFF': 'TIFF',
                'BMP': 'BMP', 'JPEG 2000': 'JPEG2000', 'Netpbm': 'PPM', 'Sun raster': 'SUN'}
# Exceptions that Pillow's parsers raise for damaged files.
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError,
                 AttributeError, RuntimeError, EOFError, struct.error)
WITH_ALPHA = ('RGBA', 'RGBa', 'LA', 'La', 'PA')
EXIF_ORIENTATION = 0x112
PNG_EXTRAS = (b'tRNS', b'acTL', b'eXIf', b'Raw profile type exif', b'XML:com.adobe.xmp')
TIFF_TAGS = BITS, PHOTOMETRIC, SAMPLES, PLANES, EXTRA_SAMPLES = 258, 262, 277, 284, 338
NEXT_PAGE = 'next page'             # its offset in the file; 0: there is none
WHITE_IS_ZERO = 0                   # a value of PHOTOMETRIC
JPEG_END = b'\xff\xd9'
TURNS = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM,
         5: Image.TRANSPOSE, 6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}


class UnreadableImage(UserError):
    """An image file that can't be read correctly. The text says why, but does not name the file."""


def decode_image(path):
    """Reads an image file as RGB, uint8, (H, W, 3). Raises UnreadableImage."""
    return decode(read_file(path))[0]


def read_file(path):
    """Returns the bytes of an image file. Raises UnreadableImage."""
    try:
        # imread fails on some file names. A buffer would only make the read slower.
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
    """Decodes the bytes of an image file. Returns (image, remarks).

    image: RGB, uint8, (H, W, 3). Grey becomes RGB, transparent pixels become white, 16 bits become
        8, the EXIF orientation is applied. Of an animation or several pages, the first is taken.
    remarks: warnings for the user, {subject: sentence}.
    Raises UnreadableImage for other formats, damaged or truncated files, more than MAX_PIXELS, and
    pixels with an unknown range.
    """
    file_format = format_of(data)
    if file_format is None:
        raise UnreadableImage('not an image of a kind that is read here')
    if file_format in NOT_READ:
        raise UnreadableImage('%s is not read here, save it as JPEG or PNG' % file_format)
    with held_stderr() as messages, warnings.catch_warnings():
        warnings.simplefilter('ignore')         # Pillow's warnings don't name the file
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
    """The tags of a TIFF's first page and NEXT_PAGE, a dict. (Pillow can't open every TIFF.)"""
    file = io.BytesIO(data)
    with contextlib.suppress(*PILLOW_ERRORS):
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return dict({number: tags[number] for number in TIFF_TAGS if number in tags},
                    **{NEXT_PAGE: tags.next})
    raise _damaged('TIFF')


def _is_plain_png(data):
    """Whether a PNG has no transparency, frames or EXIF data. Then Pillow is not needed, which
    would take long beside a small PNG.
    """
    return data[25:26] in b'\0\2\3' and not any(name in data for name in PNG_EXTRAS)


def _open(data, file_format):
    """Opens the image with Pillow, which reads the header only. Returns None if Pillow can't.

    Pillow lacks some forms of TIFF, Netpbm, Sun raster and JPEG. Raises UnreadableImage for an
    image that is too large.
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

    Both libraries apply the orientation of a TIFF themselves.
    """
    if header is None or file_format == 'TIFF':
        return None
    with contextlib.suppress(*PILLOW_ERRORS):
        return header.getexif().get(EXIF_ORIENTATION)


def _is_animated(header):
    """Whether the file has more than one frame or image."""
    try:
        return getattr(header, 'is_animated', False)
    except PILLOW_ERRORS:                       # the second one is damaged
        return True


def _needs_pillow(header, file_format, tags):
    """Whether OpenCV would read it wrongly: transparency, some formats and bit depths."""
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
    """Raises UnreadableImage for forms that neither library reads correctly."""
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
    """Like `decode`, with OpenCV. With Pillow's header, the orientation is not applied."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    if header:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:                           # too large, or an invalid header
        bgr = None
    if bgr is None:
        _open(data, file_format)                # raises if it is too large
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
    """A mask (H, W) of the pixels of a grey or RGB PNG that have its transparent colour.

    Colours are compared at full depth. Pillow compares 16 bits with 8, and 2 with 8.
    """
    depth = data[24]                            # in the header of a PNG
    largest = (1 << depth) - 1
    values = (np.ravel(colour)[::-1] & largest) * (255 // largest if depth < 8 else 1)
    return (bgr == values).all(axis=2)


def _scale_netpbm(image, data):
    """Scales 0 … the maximum in a Netpbm header to 0 … 255, where OpenCV does not."""
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
    """Whether a JPEG has its end marker. OpenCV fills the rest of a truncated one with grey.

    The marker need not be at the end (phones append data), and a thumbnail in a segment has its
    own. So Pillow reads the segments, and the marker is searched in the compressed data after them.
    """
    if data.endswith(JPEG_END):
        return True
    file = io.BytesIO(data)
    with contextlib.suppress(*PILLOW_ERRORS):
        JpegImageFile(file)
    return data.find(JPEG_END, file.tell()) >= 0


class ImageReader:
    """Reads the files of one set. Names each unreadable file on stderr, once.

    word: 'skipped' or another word for the treatment of unreadable files. unreadable: their paths.
    """

    def __init__(self, word='skipped'):
        self.word, self.unreadable, self.remarks = word, set(), {}

    def read(self, path, digest=None):
        """Returns the image as `decode` does, or None. digest: a hash object to update."""
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
        """Collects the remarks of `decode` on an image, for `warn`."""
        for subject, sentence in remarks.items():
            self.remarks.setdefault(subject, {})[path] = sentence

    def warn(self):
        """Prints the collected remarks: one line for each subject."""
        for _, sentences in sorted(self.remarks.items()):
            path = min(sentences)
            note('warning: %s: %s%s' % (
                one_line(path), sentences[path], '' if len(sentences) == 1 else
                '; %d images are like this' % len(sentences)))
        self.remarks = {}
