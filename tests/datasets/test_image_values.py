"""The values of decoded images against the formats' definitions: each depth, kind of transparency
and orientation, in PNG and TIFF files that are written here byte by byte, and in JPEG.
"""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

from helpers import image_file
from wgan.datasets.image_decoder import ImageReader, UnreadableImage, decode

ORIENTATIONS = range(1, 9)
HEIGHT, WIDTH = 6, 9


def turned(image, orientation):
    """What is shown of an image, (H, W, C): EXIF says where its first row and column lie."""
    flipped, transposed = image[:, ::-1], image.transpose(1, 0, 2)
    return {1: image, 2: flipped, 3: flipped[::-1], 4: image[::-1], 5: transposed,
            6: transposed[:, ::-1], 7: transposed[::-1, ::-1], 8: transposed[::-1]}[orientation]


def on_white(colours, alpha):
    """Colours in 0 … 255 over white; alpha: (H, W, 1) in 0 … 255."""
    return np.floor((255 * (255 - alpha) + colours * alpha) / 255 + 0.5)


def to_8_bits(values, depth):
    return values >> 8 if depth == 16 else values * 255 // ((1 << depth) - 1)


def packed(row, depth, order='>'):
    """A row of values as bytes, `depth` bits each."""
    if depth >= 8:
        return row.astype(order + 'u%d' % (depth // 8)).tobytes()
    bits = (row.reshape(-1, 1) >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def exif(orientation):
    return (b'MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1' + struct.pack('>HH', orientation, 0)
            + bytes(4))


GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6           # colour types of PNG
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}


def png(values, depth, colour_type, before=(), after=()):
    """A PNG; before, after: further chunks, (name, content), before and behind the pixels."""
    header = struct.pack('>IIBBBBB', values.shape[1], values.shape[0], depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b''.join(b'\0' + packed(row, depth) for row in values))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(content)) + name + content + struct.pack(
            '>I', zlib.crc32(name + content))
        for name, content in [(b'IHDR', header), *before, (b'IDAT', pixels), *after,
                              (b'IEND', b'')])


def png_values(depth, colour_type):
    values = np.random.RandomState(depth).randint(0, 1 << depth, (
        HEIGHT, WIDTH, CHANNELS[colour_type]))
    values[0, 1] = values[0, 0] ^ 1             # at 16 bits, the two are the same in 8
    return values


def png_colours(values, depth, colour_type):
    colours = to_8_bits(values, depth)
    return colours[:, :, :3] if colour_type in (RGB, RGB_ALPHA) else colours[:, :, [0, 0, 0]]


@pytest.mark.parametrize('depth, colour_type', [(depth, GREY) for depth in (1, 2, 4, 8, 16)] + [
    (depth, colour_type) for colour_type in (RGB, GREY_ALPHA, RGB_ALPHA) for depth in (8, 16)])
def test_png(depth, colour_type):
    """In each orientation, whether it stands before the pixels or behind them."""
    values = png_values(depth, colour_type)
    expected = png_colours(values, depth, colour_type)
    if colour_type in (GREY_ALPHA, RGB_ALPHA):
        expected = on_white(expected, to_8_bits(values[:, :, -1:], depth))
    assert (decode(png(values, depth, colour_type))[0] == expected).all()
    for orientation in ORIENTATIONS:
        chunk = [(b'eXIf', exif(orientation))]
        for chunks in ({'before': chunk}, {'after': chunk}):
            assert (decode(png(values, depth, colour_type, **chunks))[0]
                    == turned(expected, orientation)).all()


@pytest.mark.parametrize('depth, colour_type', [
    (1, GREY), (2, GREY), (4, GREY), (8, GREY), (16, GREY), (8, RGB), (16, RGB)])
def test_transparent_colour_of_a_png(depth, colour_type):
    """It is compared at its full depth; each of the image's colours is tried."""
    values = png_values(depth, colour_type)
    for colour in np.unique(values.reshape(-1, values.shape[2]), axis=0):
        transparent = (values == colour).all(axis=2, keepdims=True)
        expected = np.where(transparent, 255, png_colours(values, depth, colour_type))
        chunks = [(b'tRNS', colour.astype('>u2').tobytes())]
        assert (decode(png(values, depth, colour_type, chunks))[0] == expected).all()
    for orientation in ORIENTATIONS:
        assert (decode(png(values, depth, colour_type, chunks + [(b'eXIf', exif(orientation))]))[0]
                == turned(expected, orientation)).all()


@pytest.mark.parametrize('depth', [1, 2, 4, 8])
@pytest.mark.parametrize('transparent', [False, True])
def test_palette_of_a_png(depth, transparent):
    values, random = png_values(depth, PALETTE), np.random.RandomState(0)
    palette, alpha = random.randint(0, 256, (1 << depth, 3)), random.randint(0, 256, 1 << depth)
    chunks = [(b'PLTE', palette.astype(np.uint8).tobytes())]
    expected = palette[values[:, :, 0]]
    if transparent:
        chunks.append((b'tRNS', alpha.astype(np.uint8).tobytes()))
        expected = on_white(expected, alpha[values])
    for orientation in ORIENTATIONS:
        found, _ = decode(png(values, depth, PALETTE, chunks + [(b'eXIf', exif(orientation))]))
        assert (found == turned(expected, orientation)).all()


def test_few_bits_are_said_of_a_png_with_a_transparent_colour():
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1) * 50
    _, remarks = decode(png(values, 16, GREY, [(b'tRNS', b'\0\0')]))
    assert 'up to %d only' % values.max() in remarks['dark']


# Photometric interpretations of TIFF, and the kinds of a further sample
WHITE_IS_ZERO, BLACK_IS_ZERO, TIFF_RGB, TIFF_PALETTE, CMYK = 0, 1, 2, 3, 5
UNSPECIFIED, PREMULTIPLIED, ALPHA = 0, 1, 2


def tiff(values, depth, photometric, order='<', orientation=1, extra=None, planes=False,
         palette=None, pages=1):
    """An uncompressed TIFF; each page has the same image.

    extra: what its last sample is. planes: whether each sample has a plane of its own.
    """
    samples = values.shape[2]
    rows = values.transpose(2, 0, 1).reshape(-1, WIDTH, 1) if planes else values
    pixels = b''.join(packed(row, depth, order) for row in rows)
    strips = samples if planes else 1
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [depth] * samples, 259: [1], 262: [photometric],
            273: [0] * strips, 274: [orientation], 277: [samples], 278: [HEIGHT],
            279: [len(pixels) // strips] * strips, 284: [2 if planes else 1]}
    if palette is not None:
        tags[320] = list(palette.T.ravel() * 257)
    if extra is not None:
        tags[338] = [extra]
    data = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8)
    for page in range(pages):
        start = len(data) + 2 + 12 * len(tags) + 4
        tags[273] = [start + i * len(pixels) // strips for i in range(strips)]
        entries, values_behind, behind = b'', b'', start + len(pixels)
        for tag, numbers in sorted(tags.items()):
            content = struct.pack('%s%dI' % (order, len(numbers)), *numbers)
            entries += struct.pack(order + 'HHI', tag, 4, len(numbers))
            entries += (content if len(numbers) == 1 else
                        struct.pack(order + 'I', behind + len(values_behind)))
            values_behind += content if len(numbers) > 1 else b''
        end = behind + len(values_behind)
        data += struct.pack(order + 'H', len(tags)) + entries + struct.pack(
            order + 'I', end if page < pages - 1 else 0) + pixels + values_behind
    return data


TIFF_FORMS = (
    [(depth, photometric, 1, None) for depth in (1, 2, 4, 8, 16)
     for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)]
    + [(depth, TIFF_RGB, 3, None) for depth in (8, 16)]
    + [(depth, TIFF_RGB, 4, extra) for depth in (8, 16)
       for extra in (UNSPECIFIED, PREMULTIPLIED, ALPHA)]
    + [(8, BLACK_IS_ZERO, 2, UNSPECIFIED), (16, BLACK_IS_ZERO, 2, UNSPECIFIED),
       (8, BLACK_IS_ZERO, 2, ALPHA), (8, CMYK, 4, None)])


@pytest.mark.parametrize('depth, photometric, samples, extra', TIFF_FORMS)
@pytest.mark.parametrize('order', '<>')
def test_tiff(depth, photometric, samples, extra, order):
    values = np.random.RandomState(depth).randint(0, 1 << depth, (HEIGHT, WIDTH, samples))
    if extra == PREMULTIPLIED:
        values[:, :, :-1] = values[:, :, :-1] * values[:, :, -1:] // ((1 << depth) - 1)
    levels = to_8_bits(values, depth)
    colours, alpha = levels[:, :, :3] if samples > 2 else levels[:, :, [0, 0, 0]], levels[:, :, -1:]
    expected = {
        None: colours if photometric != WHITE_IS_ZERO else 255 - colours, UNSPECIFIED: colours,
        ALPHA: on_white(colours, alpha), PREMULTIPLIED: np.minimum(colours + 255 - alpha, 255),
    }[extra] if photometric != CMYK else (255 - colours) * (255 - alpha) / 255
    for orientation in ORIENTATIONS:
        found, _ = decode(tiff(values, depth, photometric, order, orientation, extra))
        assert found.shape == turned(expected, orientation).shape
        assert np.abs(found - turned(expected, orientation)).max() <= 1


@pytest.mark.parametrize('depth', [1, 2, 4, 8])
def test_palette_of_a_tiff(depth):
    values = np.random.RandomState(depth).randint(0, 1 << depth, (HEIGHT, WIDTH, 1))
    palette = np.random.RandomState(0).randint(0, 256, (1 << depth, 3))
    for orientation in ORIENTATIONS:
        found, _ = decode(tiff(values, depth, TIFF_PALETTE, '<', orientation, palette=palette))
        assert (found == turned(palette[values[:, :, 0]], orientation)).all()


@pytest.mark.parametrize('depth, photometric, samples, extra, planes, said', [
    (16, TIFF_RGB, 3, None, True, 'a plane for each colour of 16 bits'),
    (16, TIFF_RGB, 4, ALPHA, True, 'a plane for each colour of 16 bits'),
    (8, TIFF_RGB, 4, PREMULTIPLIED, True, 'a plane for each colour, and transparency'),
    (8, BLACK_IS_ZERO, 2, ALPHA, True, 'a plane for each colour, and transparency'),
    (8, BLACK_IS_ZERO, 2, PREMULTIPLIED, False, 'transparency that is multiplied in'),
    (16, BLACK_IS_ZERO, 2, ALPHA, False, 'a grey TIFF with transparency of 16 bits'),
    (16, CMYK, 4, None, False, 'of a form that is not read'),
])
def test_tiff_that_no_library_reads_rightly(depth, photometric, samples, extra, planes, said):
    values = np.random.RandomState(0).randint(0, 1 << depth, (HEIGHT, WIDTH, samples))
    with pytest.raises(UnreadableImage, match=said):
        decode(tiff(values, depth, photometric, extra=extra, planes=planes))


@pytest.mark.parametrize('samples, extra', [(3, None), (4, ALPHA)])
def test_planes_of_a_tiff(samples, extra):
    values = np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, samples))
    expected = values if extra is None else on_white(values[:, :, :3], values[:, :, 3:])
    found, _ = decode(tiff(values, 8, TIFF_RGB, extra=extra, planes=True))
    assert np.abs(found - expected).max() <= 1


def segment(code, content):
    return bytes([255, code]) + struct.pack('>H', len(content) + 2) + content


EXIF, XMP = b'Exif\0\0', b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>'
SEGMENTS = {
    'nothing': b'', 'XMP': segment(0xe1, XMP), 'nothing in APP1': segment(0xe1, b''),
    'long XMP': segment(0xe1, XMP) + segment(0xe1, b'http://ns.adobe.com/xmp/extension/\0'
                                             + b'x' * 60000),
    'a profile': segment(0xe2, b'ICC_PROFILE\0\1\1' + bytes(3000)),
    'a comment': segment(0xfe, b'from a phone'), 'APP15': segment(0xef, b'z'),
    'Photoshop': segment(0xed, b'Photoshop 3.0\0008BIM\4\4\0\0\0\0\0\4abcd'),
    'fill': b'\xff\xff\xff', 'JFIF': segment(0xe0, b'JFIF\0\1\1\0\0\1\0\1\0\0'),
}


@pytest.fixture(scope='module')
def photograph():
    """(image, its JPEG)."""
    y, x = np.mgrid[:48, :80]
    image = np.stack([x * 3, y * 5, x + y], axis=2).astype(np.uint8)
    return image, cv2.imencode('.jpg', image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[
        1].tobytes()


@pytest.mark.parametrize('first', sorted(SEGMENTS))
@pytest.mark.parametrize('place', [2, 20])              # before the JFIF segment and behind it
def test_orientation_of_a_jpeg_whatever_comes_first(photograph, first, place):
    image, data = photograph
    for orientation in ORIENTATIONS:
        found, remarks = decode(data[:place] + SEGMENTS[first] + segment(
            0xe1, EXIF + exif(orientation)) + data[place:])
        expected = turned(image, orientation)
        assert found.shape == expected.shape and not remarks
        assert np.abs(found.astype(int) - expected).mean() < 4


@pytest.mark.parametrize('odd', [
    segment(0xe1, EXIF), segment(0xe1, EXIF + b'II*\0'), segment(0xe1, EXIF + b'\xff' * 50),
    segment(0xe1, EXIF + exif(6)[:-9]), segment(0xe1, EXIF + exif(9)), segment(0xe0, b'JFIF\0'),
    segment(0xee, b'Adobe'), segment(0xe2, b'MPF\0odd'), segment(0xe2, b'ICC_PROFILE\0'),
    segment(0xed, b'Photoshop 3.0\0008BIM\4'),
])
def test_odd_segments_of_a_jpeg_hide_nothing(photograph, odd):
    """It is read, and whether it is cut off is still seen."""
    image, data = photograph
    data = data[:2] + odd + data[2:]
    for whole in (data, data + b'of a phone'):
        assert np.abs(decode(whole)[0].astype(int) - image).mean() < 4
        with pytest.raises(UnreadableImage, match='cut off'):
            decode(whole[:len(data) - 200])


def frames_of(kind, count, **options):
    """A file with several images, of which the first is red."""
    first, *others = [Image.new('RGB', (WIDTH, HEIGHT), colour)
                      for colour in ((204, 0, 0), (0, 0, 204), (0, 204, 0))[:count]]
    file = io.BytesIO()
    first.save(file, kind, save_all=True, append_images=others, duration=100, **options)
    return file.getvalue()


def two_in_a_jpeg(photograph):
    """What cameras call MPO: a directory of images in a segment, and a JPEG behind the JPEG."""
    _, data = photograph
    tags = [(0xb000, 7, 4, b'0100'), (0xb001, 4, 1, struct.pack('<I', 2)),
            (0xb002, 7, 32, struct.pack('<I', 50))]
    directory = b'II*\0' + struct.pack('<IH', 8, len(tags)) + b''.join(
        struct.pack('<HHI', *tag[:3]) + tag[3] for tag in tags) + bytes(4)
    size = len(data) + 8 + len(directory) + 32
    directory += struct.pack('<IIIHH', 0x030000, size, 0, 0, 0) + struct.pack(
        '<IIIHH', 0x020002, len(data), size - 10, 0, 0)
    return data[:2] + segment(0xe2, b'MPF\0' + directory) + data[2:] + data


@pytest.mark.parametrize('kind, noun', [
    ('TIFF', 'pages'), ('GIF', 'frames'), ('PNG', 'frames'), ('WEBP', 'frames')])
def test_several_images_are_said(kind, noun):
    options = {'lossless': True} if kind == 'WEBP' else {}
    for count in (2, 3):
        found, remarks = decode(frames_of(kind, count, **options))
        assert (found == (204, 0, 0)).all()
        assert remarks == {'several': 'it has several %s, and the first is taken' % noun}
    assert not decode(frames_of(kind, 1, **options))[1]


def test_several_images_in_a_jpeg_are_said(photograph):
    found, remarks = decode(two_in_a_jpeg(photograph))
    assert np.abs(found.astype(int) - photograph[0]).mean() < 4
    assert remarks == {'several': 'it has several images, and the first is taken'}


@pytest.mark.parametrize('depth, photometric', [(8, BLACK_IS_ZERO), (16, WHITE_IS_ZERO)])
def test_pages_of_a_tiff(depth, photometric):
    values = np.full((HEIGHT, WIDTH, 1), (1 << depth) - 1)
    assert 'several' not in decode(tiff(values, depth, photometric))[1]
    assert 'several' in decode(tiff(values, depth, photometric, pages=2))[1]


def test_what_is_said_of_several_files(tmp_path, capfd):
    """One line for each subject, however many files there are."""
    dark = np.full((20, 20), 4095, np.uint16)
    for name in ('a', 'b'):
        (tmp_path / (name + '.tif')).write_bytes(frames_of('TIFF', 2))
        (tmp_path / (name + '.png')).write_bytes(cv2.imencode('.png', dark)[1].tobytes())
    (tmp_path / 'c.jpg').write_bytes(image_file(np.zeros((20, 20, 3), np.uint8), 'JPEG'))
    reader = ImageReader()
    for path in sorted(tmp_path.iterdir()):
        assert reader.read(str(path)) is not None
    reader.warn()
    dark, several = capfd.readouterr().err.splitlines()
    assert dark == ('warning: %s: its 16 bits hold values up to 4095 only, and it becomes dark; if '
                    'it has fewer bits, scale it to 16; 2 images are like this' % (
                        tmp_path / 'a.png'))
    assert several == ('warning: %s: it has several pages, and the first is taken; 2 images are '
                       'like this' % (tmp_path / 'a.tif'))
