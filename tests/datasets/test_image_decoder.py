"""Image files to arrays: kinds, transparency, orientation, depth, what is cut off or damaged."""

import contextlib
import io
import struct
import warnings
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

from helpers import image_file, run_test_program
from wgan.datasets.image_decoder import ImageReader, TURNS, UnreadableImage, decode, decode_image

RGB = np.zeros((96, 160, 3), np.uint8)
RGB[:32, :40], RGB[64:], RGB[:, 120:] = (250, 20, 20), (20, 20, 250), (20, 250, 20)


def file_of(kind, mode='RGB', orientation=None, image=RGB, **options):
    return image_file(image, kind, mode, orientation, **options)


def encoded(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


def near(found, expected, mean=4):
    return (found.shape == expected.shape
            and np.abs(found.astype(int) - expected).mean() < mean)


@pytest.mark.parametrize('kind, options', [
    ('JPEG', {}), ('JPEG', {'progressive': True}), ('PNG', {}), ('WEBP', {}),
    ('WEBP', {'mode': 'RGBA', 'lossless': True}), ('PNG', {'mode': 'RGBA'}), ('TIFF', {}),
    ('TIFF', {'compression': 'tiff_lzw'}), ('TIFF', {'mode': 'RGBA'}), ('TIFF', {'mode': 'L'}),
])
@pytest.mark.parametrize('orientation', [None] + list(range(1, 9)))
def test_orientation(kind, options, orientation):
    found, remarks = decode(file_of(kind, orientation=orientation, **options))
    expected = Image.fromarray(RGB).convert('L').convert('RGB') if options.get(
        'mode') == 'L' else Image.fromarray(RGB)
    if orientation in TURNS:
        expected = expected.transpose(TURNS[orientation])
    expected = np.asarray(expected).astype(float)
    if options.get('mode') == 'RGBA':
        expected = expected * 128 / 255 + 127
    assert near(found, expected) and not remarks


@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'TIFF', 'JPEG2000', 'GIF'])
def test_noise_under_transparency_is_not_seen(kind):
    noise = np.random.RandomState(0).randint(0, 256, (40, 40, 4)).astype(np.uint8)
    noise[:, :, 3] = 0
    noise[10:20, 10:20] = (200, 0, 0, 255)
    image, options = Image.fromarray(noise), {}
    if kind == 'GIF':                           # one colour of its palette is transparent
        image = Image.fromarray(np.where(noise[:, :, 3] > 0, 0, 1).astype(np.uint8), 'P')
        image.putpalette([200, 0, 0, 1, 2, 3])
        options = {'transparency': 1}
    elif kind == 'WEBP':
        options = {'lossless': True, 'exact': True}
    file = io.BytesIO()
    image.save(file, kind, **options)
    found, _ = decode(file.getvalue())
    assert (found[10:20, 10:20] == (200, 0, 0)).all()
    assert (found[:10] == 255).all() and (found[:, 20:] == 255).all()


@pytest.mark.parametrize('mode', ['LA', 'RGBA', 'P', 'L', 'RGB'])
def test_kinds_of_transparency_in_png(mode):
    """An alpha channel, or one colour that is transparent: that of the blue part."""
    if mode in ('LA', 'RGBA'):
        found, _ = decode(file_of('PNG', mode))
        assert near(found[80, 60], np.asarray(
            Image.fromarray(RGB).convert(mode).convert('RGB'), float)[80, 60] * 128 / 255 + 127)
        return
    image = Image.fromarray(RGB).convert(mode) if mode != 'P' else Image.fromarray(RGB).quantize(8)
    file = io.BytesIO()
    image.save(file, 'PNG', transparency=image.getpixel((60, 80)))
    found, _ = decode(file.getvalue())
    assert found[80, 60].tolist() == [255, 255, 255]
    assert near(found[10, 10], np.asarray(image.convert('RGB'))[10, 10])


@pytest.mark.slow
def test_2000_spoiled_images():
    """Each is read or not; none crashes the process or takes gigabytes, and none is noisy."""
    done = run_test_program('decode_spoiled.py', 2000)
    assert done.code == 0 and not done.err, done.err[-2000:]
    read, kilobytes = map(int, done.out.split())
    assert 200 < read < 1900 and kilobytes < 1 << 20


def test_enormous_images_are_not_decoded():
    """Headers of 50,000 × 50,000, and of 8,200 × 8,200, which is a little too large."""
    for side in (50000, 8200):
        head = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
        data = b'\x89PNG\r\n\x1a\n'
        for kind, body in ((b'IHDR', head), (b'IDAT', zlib.compress(bytes(1000))), (b'IEND', b'')):
            data += struct.pack('>I', len(body)) + kind + body + struct.pack(
                '>I', zlib.crc32(kind + body))
        with pytest.raises(UnreadableImage, match='%d x %d pixels are too large, at most '
                           '67108864 in all' % (side, side)):
            decode(data)


def test_kinds_of_images(tmp_path):
    """CMYK, a palette, a JPEG called PNG, WebP; 16 bits are in test_channels_become_rgb."""
    red = Image.new('RGB', (20, 20), (200, 0, 0))
    red.convert('CMYK').save(str(tmp_path / '1.jpg'))
    red.quantize().save(str(tmp_path / '2.png'))
    red.save(str(tmp_path / '3.png'), 'JPEG')
    red.save(str(tmp_path / '4.webp'), lossless=True)
    images = np.stack([decode_image(str(path)) for path in tmp_path.iterdir()])
    assert len(images) == 4
    assert np.abs(images.astype(int) - [200, 0, 0]).max() < 12


def test_first_frame_of_an_animation():
    frames = [Image.new('RGB', (20, 20), (200, 0, 0)), Image.new('RGB', (20, 20), (0, 0, 200))]
    for kind in ('WEBP', 'TIFF', 'PNG', 'GIF'):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=100)
        assert near(decode(file.getvalue())[0], np.asarray(frames[0]))


@pytest.mark.parametrize('kind, options', [
    ('JPEG', {}), ('JPEG', {'progressive': True}), ('PNG', {}), ('PNG', {'mode': 'RGBA'}),
    ('WEBP', {}), ('TIFF', {}), ('TIFF', {'compression': 'tiff_deflate'}),
    ('TIFF', {'mode': 'RGBA'}), ('BMP', {}), ('GIF', {}), ('PPM', {}), ('JPEG2000', {}),
])
def test_cut_off(kind, options):
    image = cv2.GaussianBlur(np.random.RandomState(0).randint(0, 256, (90, 120, 3)).astype(
        np.uint8), (0, 0), 2)
    whole = file_of(kind, image=image, **options)
    assert decode(whole)
    for part in (0.1, 0.25, 0.5, 0.75, 0.9, 0.97):
        with pytest.raises(UnreadableImage, match='cut off'):
            decode(whole[:int(part * len(whole))])
        if kind == 'JPEG':                      # a download that had its room from the start
            with pytest.raises(UnreadableImage, match='cut off'):
                decode(whole[:int(part * len(whole))].ljust(len(whole), b'\0'))


def thumbnailed(data, count=1):
    """A JPEG with `count` whole JPEGs in its EXIF segment."""
    segment = b'Exif\0\0' + encoded('.jpg', np.zeros((16, 16, 3), np.uint8)) * count
    return data[:2] + b'\xff\xe1' + struct.pack('>H', len(segment) + 2) + segment + data[2:]


def test_end_of_a_jpeg(capfd):
    """Its own end mark counts, not that of a thumbnail; whatever a phone wrote behind it."""
    image = cv2.GaussianBlur(np.random.RandomState(0).randint(0, 256, (400, 400, 3)).astype(
        np.uint8), (0, 0), 1)
    for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 3]):
        data = cv2.imencode('.jpg', image, options)[1].tobytes()
        for whole in (data, thumbnailed(data, 20), data[:-2] + b'\xff\xff\xff\xd9'):
            for behind in (b'', b'\0' * 100, b'phone \xff\xd8\xff', data[:100]):
                assert near(decode(whole + behind)[0][:, :, ::-1], image, mean=20)
            for part in (whole[:-2], whole[:len(whole) // 2], whole[:len(whole) - 3000]):
                with pytest.raises(UnreadableImage, match='cut off'):
                    decode(part)
    with pytest.raises(UnreadableImage, match='a JPEG that is cut off'):
        decode(cv2.imencode('.jpg', image)[1].tobytes()[:9000] + b'\xff\xd9')
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize('bits', [8, 10, 12, 14, 16])
@pytest.mark.parametrize('suffix', ['.png', '.tiff', '.pgm'])
def test_few_bits_in_16(tmp_path, capfd, bits, suffix):
    image = np.linspace(0, (1 << bits) - 1, 64 * 64).reshape(64, 64).astype(np.uint16)
    reader = ImageReader()
    for name in ('a', 'b', 'c'):
        (tmp_path / name).write_bytes(encoded(suffix, image))
        found = reader.read(str(tmp_path / name))
        assert found.max() == max(image.max() >> 8, 0) and found.dtype == np.uint8
    reader.warn()
    reader.warn()
    said = capfd.readouterr().err
    if bits == 16:
        assert said == ''
    else:
        assert said.count('\n') == 1 and str(tmp_path / 'a') in said and '3 images' in said
        assert 'up to %d only' % image.max() in said


@pytest.mark.parametrize('data, levels', [
    (b'P5 4 1 15\n\0\5\12\17', [0, 85, 170, 255]), (b'P2 4 1 15\n0 5 10 15\n', [0, 85, 170, 255]),
    (b'P5 # no 4095\n3 1\n4095\n\0\0\x08\0\x0f\xff', [0, 128, 255]),
    (b'P2 3 1 4095\n0 2048 4095\n', [0, 128, 255]), (b'P6 1 1 100\n\0\x32\x64', [(0, 128, 255)]),
    (b'P5 2 1 255\n\0\7', [0, 7]), (b'P5 2 1 65535\n\0\0\x80\0', [0, 128]),
    (b'P1 4 1\n0 1 0 1\n', [255, 0, 255, 0]), (b'P4 8 1\n\x55', [255, 0] * 4),
])
def test_netpbm_says_what_is_white(data, levels):
    expected = np.array([[v] * 3 if isinstance(v, int) else v for v in levels])
    found, remarks = decode(data)
    assert np.abs(found[0].astype(int) - expected).max() <= 1 and not remarks


@pytest.mark.parametrize('data, said', [
    (b'text', 'not an image'), (b'\0\0\0\x18ftypheic\0\0', 'HEIC is not read here'),
    (b'\0\0\0\x18ftypavif\0\0', 'AVIF is not read here'),
    (b'\x76\x2f\x31\x01' + bytes(100), 'OpenEXR is not read here'),
    (encoded('.hdr', RGB.astype(np.float32)), 'Radiance HDR is not read here'),
    (encoded('.tiff', RGB.astype(np.float32)), 'float32'),
    (encoded('.tiff', RGB[:, :, 0].astype(np.float32) / 255), 'TIFF'),
    (file_of('TIFF', 'F'), 'TIFF'), (file_of('TIFF', 'I'), 'TIFF'),
    (b'\x89PNG\r\n\x1a\n', 'PNG'), (b'\xff\xd8\xff\xd9', 'JPEG'), (b'GIF89a', 'GIF'),
    (b'P5 1', 'Netpbm'),
])
def test_what_is_not_read(data, said, capfd):
    with pytest.raises(UnreadableImage, match=said):
        decode(data)
    assert capfd.readouterr().err == ''


@pytest.mark.slow
def test_the_libraries_say_nothing(capfd):
    """Pillow warns and libtiff writes about damaged files, and neither names one."""
    random, readable = np.random.RandomState(0), 0
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter('always')
        for options in ({}, {'compression': 'tiff_lzw'}, {'compression': 'tiff_deflate'}):
            whole = file_of('TIFF', 'RGBA', 6, RGB[:30, :40], **options)
            for _ in range(200):
                data = bytearray(whole)
                for i in random.randint(0, len(data), 2):
                    data[i] = random.randint(256)
                with contextlib.suppress(UnreadableImage):
                    readable += bool(decode(bytes(data)))
    assert 0 < readable < 600
    assert not warned and capfd.readouterr().err == ''


def test_depth_and_colour_models():
    for data in (file_of('JPEG', 'CMYK'), file_of('TIFF', 'CMYK'), file_of('PNG', 'P'),
                 file_of('JPEG2000'), file_of('BMP'), file_of('GIF', 'P'), encoded(
                     '.tiff', RGB[:, :, ::-1].astype(np.uint16) * 257), encoded(
                     '.jp2', RGB[:, :, ::-1].astype(np.uint16) * 257), encoded(
                     '.png', RGB[:, :, ::-1].astype(np.uint16) * 257)):
        assert near(decode(data)[0], RGB, mean=6)
