"""Reading images: formats, map files, what can't be read, variation, grids."""

import os

import cv2
import numpy as np
import pytest

from wgan.machine.command_line import UserError
from wgan.datasets import images as module
from wgan.datasets.images import ImageBatches, ImageSet
from wgan.datasets.image_decoder import decode_image


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(path.suffix, image)
    assert ok
    data.tofile(str(path))
    return path


def flat(colour, height=20, width=20):
    """An image of one colour, BGR as OpenCV writes it."""
    return np.full((height, width, len(colour)), colour, np.uint8)


def read(path, size):
    return module.centre_square(decode_image(str(path)), size)


def test_folder_is_searched_through_in_order(tmp_path):
    for name in ('b/2.JPG', 'a/1.png', 'c/d e/3 ü.bmp', '4.webp', '5.tiff'):
        write(tmp_path / name, flat((10, 20, 30)))
    (tmp_path / 'notes.txt').write_text('not an image')
    found = module.find_images(str(tmp_path))
    assert [p[len(str(tmp_path)) + 1:] for p in found] == [
        '4.webp', '5.tiff', 'a/1.png', 'b/2.JPG', 'c/d e/3 ü.bmp']
    assert len(ImageSet(str(tmp_path), 8)) == 5


def test_channels_become_rgb(tmp_path):
    red = (0, 0, 200)
    for name, image in (('1.png', flat(red)), ('2.png', flat(red + (128,))),
                        ('3.png', flat((77,))), ('4.png', flat((77,)).astype(np.uint16) * 257)):
        write(tmp_path / name, image)
    images = ImageSet(str(tmp_path), 8).images
    assert images.shape == (4, 8, 8, 3) and images.dtype == np.uint8
    assert images[:, 4, 4].tolist() == [
        [200, 0, 0], [227, 127, 127], [77] * 3, [77] * 3]     # half transparent, on white


@pytest.mark.parametrize('transposed', (False, True))
def test_centre_square(tmp_path, transposed):
    image = flat((0, 0, 0), 30, 10)
    image[10:20] = 255                                    # the centre square is white
    if transposed:
        image = image.transpose(1, 0, 2)
    path = write(tmp_path / 'tall.png', np.ascontiguousarray(image))
    assert (read(path, 10) == 255).all()


def test_far_shrinking_averages(tmp_path):
    """Black and white columns, shrunk by eight: grey, not stripes of chance."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 255
    shrunk = read(write(tmp_path / 's.png', image), 8)
    assert shrunk.min() >= 127 and shrunk.max() <= 128


def test_unreadable_are_skipped_counted_and_named_once(tmp_path, capfd):
    write(tmp_path / 'good.png', flat((1, 2, 3)))
    (tmp_path / 'bad.png').write_bytes(b'no image')
    (tmp_path / 'empty.jpg').write_bytes(b'')
    for limit in (module.MEMORY_LIMIT, 0):                   # decoded at the start, or each time
        images = ImageSet(str(tmp_path), 8, memory_limit=limit)
        for i in list(range(len(images))) * 2:
            assert images[i][0, 0].tolist() == [3, 2, 1]
        assert len(images.unreadable) == 2
        errors = capfd.readouterr().err
        assert errors.count('bad.png') == 1 and errors.count('empty.jpg') == 1


def test_nothing_to_read(tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        ImageSet(str(tmp_path / 'nowhere'), 8)
    with pytest.raises(UserError, match='no image in the folder'):
        ImageSet(str(tmp_path), 8)
    (tmp_path / 'bad.png').write_bytes(b'no image')
    with pytest.raises(UserError, match='none of the 1 images'):
        ImageSet(str(tmp_path), 8)
    with pytest.raises(UserError, match='none of the 1 images'):
        ImageSet(str(tmp_path), 8, memory_limit=0)


def test_map_file(tmp_path):
    first = write(tmp_path / 'sub' / 'a b.png', flat((1, 2, 3)))
    second = write(tmp_path / 'c.png', flat((4, 5, 6)))
    map_file = tmp_path / 'map.txt'
    map_file.write_text('sub/a b.png\t0\r\n\n%s\t0\n' % second, encoding='utf-8')
    assert module.find_images(str(map_file)) == [str(first), str(second)]
    map_file.write_text('c.png\t0\n\ngone.png\t0\n')
    with pytest.raises(UserError, match=r'map\.txt, line 3: the image .*gone\.png'):
        module.find_images(str(map_file))
    map_file.write_text('\n')
    with pytest.raises(UserError, match='lists no image'):
        module.find_images(str(map_file))
    with pytest.raises(UserError, match='is no map file'):
        module.find_images(str(second))


def test_disk_and_memory_give_the_same(images):
    memory, disk = ImageSet(str(images), 16), ImageSet(str(images), 16, memory_limit=0)
    assert disk.images is None
    for i in range(len(memory)):
        assert (memory[i] == disk[i]).all()


def batches(images, **kwargs):
    settings = dict(batch_size=4, rng=np.random.RandomState(0), brightness=0, contrast=0,
                    saturation=0, mirror=False)
    settings.update(kwargs)
    return ImageBatches(ImageSet(str(images), 16), **settings)


def test_an_epoch_has_each_image_once(images):
    source = batches(images, batch_size=5)
    originals = module.to_network(source.items.images)

    def which(batch):
        return [int(np.abs(originals - x).sum(axis=(1, 2, 3)).argmin()) for x in batch]

    epochs = [which(source.next()[0]) + which(source.next()[0]) for _ in range(3)]
    assert all(sorted(e) == list(range(10)) for e in epochs)
    assert epochs[0] != epochs[1]


def test_variation_stays_within_its_bounds(images):
    def levels(**kwargs):
        source = batches(images, batch_size=10, **kwargs)
        source.order = np.arange(10)
        return source.items.images.astype(float), (source.next()[0] + 1) * 127.5

    plain, same = levels()
    np.testing.assert_allclose(same, np.moveaxis(plain, 3, 1), atol=1e-4)

    plain, mirrored = levels(mirror=True)
    flips = [np.abs(m - np.moveaxis(p[:, ::-1], 2, 0)).max() < 1e-4
             for p, m in zip(plain, mirrored)]
    stays = [np.abs(m - np.moveaxis(p, 2, 0)).max() < 1e-4 for p, m in zip(plain, mirrored)]
    assert all(f or s for f, s in zip(flips, stays)) and any(flips) and any(stays)

    for name in ('brightness', 'contrast', 'saturation'):
        plain, varied = levels(**{name: 0.2})
        plain = np.moveaxis(plain, 3, 1)
        if name == 'brightness':
            # A shift of the whole image, by at most a fifth of its mean.
            inside = (varied > 0.5) & (varied < 254.5)
            bound = 0.2 * plain.mean(axis=(1, 2, 3), keepdims=True) + 1e-3
            assert ((np.abs(varied - plain) <= bound) | ~inside).all()
        elif name == 'contrast':
            assert (varied <= plain * 1.2 + 1e-3).all()
            assert (varied >= np.minimum(plain * 0.8, 255) - 1e-3).all()
        else:
            luma = np.tensordot(plain, [0.299, 0.587, 0.114], axes=([1], [0]))[:, None]
            bound = 0.2 * np.abs(plain - luma) + 1e-3
            assert (np.abs(varied - plain) <= bound).all()
        assert np.abs(varied - plain).max() > 1
    assert levels(brightness=0.2, contrast=0.2)[1].dtype == np.float32


def test_batch_larger_than_the_data(images):
    with pytest.raises(UserError, match='--batch-size is 11, but .* has only 10'):
        batches(images, batch_size=11)


def test_batch_larger_than_the_share_of_a_process(images, monkeypatch):
    monkeypatch.setattr('wgan.datasets.batches.COUNT', 2)
    with pytest.raises(UserError, match='--batch-size is 22, 11 for each of 2 processes, but .* '
                                        'has only 10 readable images for one of them'):
        batches(images, batch_size=11)


def test_to_network_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    network = module.to_network(levels)
    assert network.min() == -1 and network.max() == 1 and network.shape == (1, 3, 16, 16)
    assert (module.to_images(network) == levels).all()


def test_grid_and_colours(tmp_path):
    """Red stays red through grid, file and reader, and stands where it should."""
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[1] = (255, 0, 0)
    images[2] = (0, 0, 255)
    sheet = module.grid(images, columns=2)
    assert sheet.shape == (4, 4, 3)
    path = tmp_path / 'grid.png'
    module.write_image(str(path), sheet)
    again = cv2.imread(str(path))[:, :, ::-1]
    assert again[0, 3].tolist() == [255, 0, 0] and again[3, 0].tolist() == [0, 0, 255]
    assert again[3, 3].tolist() == [0, 0, 0]


def test_odd_names_and_empty_files(tmp_path, capfd):
    folder = tmp_path / 'a "b" \n c'
    for name in ("it's ü.png", 'new\nline.png', '名.png'):
        write(folder / name, flat((1, 2, 3)))
    (folder / 'nothing\n.png').write_bytes(b'')
    (folder / os.fsdecode(b'bad \xff.png')).write_bytes(b'x')
    assert len(ImageSet(str(tmp_path), 8)) == 3
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith('skipped')]
    assert len(said) == 2 and all(line.endswith(".png'") for line in said)


@pytest.mark.parametrize('limit', (module.MEMORY_LIMIT, 0))
def test_digest(images, tmp_path, limit):
    """The same wherever the folder stands and as a map file; another for other images."""
    def digest(source, numbers=range(10)):
        return ImageSet(str(source), 16, memory_limit=limit).part(numbers, 'images').digest

    first = digest(images)
    assert len(first) == 64 and first == ImageSet(str(images), 16, memory_limit=limit).digest
    assert first == digest(images) and first != digest(images, range(0, 10, 2)) != digest(
        images, range(1, 10, 2))
    moved = tmp_path / 'else' / 'where'
    moved.parent.mkdir()
    images.rename(moved)
    (moved / 'notes.txt').write_text('no image')
    assert digest(moved) == digest(moved.parent) == first
    (tmp_path / 'map.txt').write_text(''.join('%s\t0\n' % p for p in sorted(moved.glob('*.png'))))
    assert digest(tmp_path / 'map.txt') == first
    write(moved / '3.png', flat((1, 2, 3), 41))
    assert digest(moved) != first


def test_digest_of_what_can_be_read(images):
    """It is of the images that are trained on; their names do not matter if all are decoded."""
    first = ImageSet(str(images), 16).digest
    (images / 'bad.png').write_bytes(b'no image')
    (images / '9.png').rename(images / '99.png')
    assert ImageSet(str(images), 16).digest == first


def test_files_that_vanish(tmp_path, capfd):
    """Gone while training: named as such, and a neighbour is taken."""
    for i in range(3):
        write(tmp_path / ('%d.png' % i), flat((i, i, i)))
    images = ImageSet(str(tmp_path), 8, memory_limit=0)
    (tmp_path / '1.png').unlink()
    (tmp_path / '2.png').write_bytes(b'')
    assert [int(images[i][0, 0, 0]) for i in range(3)] == [0, 0, 0]
    said = capfd.readouterr().err
    assert 'it was there at the start and is gone: ' in said and 'not an image' in said
