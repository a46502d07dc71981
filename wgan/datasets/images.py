"""Reads images into minibatches, and writes arrays as image grids. Does not use CNTK."""

import copy
import hashlib
import os

from wgan.datasets.batches import Batches
from wgan.machine.command_line import Progress, UserError, one_line
from wgan.machine.disk import replacing
from wgan.datasets.image_decoder import ImageReader
from wgan.datasets.image_files import find_images
from wgan.datasets.labels import find_labels, names_of, one_hot

import cv2
import numpy as np

IMAGE_SIZES = (32, 64, 128, 256)      # of the networks
LOOKED_AT = 100
MEMORY_LIMIT = 2 << 30      # bytes of decoded images; a set that needs more is read step by step


def check_image_size(size):
    """Raises ValueError if no network makes images of this size."""
    if size not in IMAGE_SIZES:
        raise ValueError('image size %s is not supported; choose one of %s'
                         % (size, ', '.join(map(str, IMAGE_SIZES))))


def centre_square(image, size):
    """(H, W, 3) → (size, size, 3): the largest square in the middle, resized; uint8."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize_square(image[top:top + side, left:left + side], size)


def resize_square(image, size):
    """(S, S, 3) → (size, size, 3), uint8."""
    side = len(image)
    if side == size:
        return image
    # The article interpolates linearly. That reads four neighbours only, so it would skip pixels
    # when it shrinks by more than two.
    return cv2.resize(image, (size, size), interpolation=(
        cv2.INTER_AREA if side > 2 * size else cv2.INTER_LINEAR))


class ImageSet:
    """A set of images, cropped to squares of one size. Item i: RGB, uint8, (size, size, 3).

    Each file is read once, at the start. Unreadable files are named on stderr, listed in
    `unreadable`, and skipped. The decoded images stay in memory if they fit into memory_limit bytes
    (3 · size² each). Otherwise each access decodes the file again, or the next one if it is gone.
    labels: source of the labels, as `find_labels` takes it, or None. With labels, the attribute
        label_names has their names, in order, and `labels` the index of each image's label.
        label_names: the order to use, if it has the same names.
    contents: a digest of each file, to recognise copies.
    option, report: see `find_images`.
    digest: a SHA-256 in hexadecimal digits of the contents of the readable files, in order, and
        their labels. It identifies a set (or part) wherever its folder is.
    Raises UserError as `find_images` does, and if no image can be read.
    """

    item_name = 'images'

    def __init__(self, source, size, memory_limit=MEMORY_LIMIT, labels=None,
                 option='--data', report=True, label_names=()):
        self.source, self.size, self.noun, self.reader = source, size, self.item_name, ImageReader()
        paths = find_images(source, option, report)
        texts = find_labels(source, labels, paths, report) if labels else [''] * len(paths)
        self.label_names = names_of(texts, label_names) if labels else []
        number = {name: i for i, name in enumerate(self.label_names)}
        self.paths, self.labels = paths, [number.get(text, 0) for text in texts]
        self._read_all(keep=3 * size * size * len(paths) <= memory_limit)

    @property
    def unreadable(self):
        return self.reader.unreadable

    @property
    def digest(self):
        digest = hashlib.sha256(b''.join(self.contents)).hexdigest()
        if not self.label_names:
            return digest
        labels = [self.label_names[label] for label in self.labels]
        return hashlib.sha256('\0'.join([digest] + labels).encode(
            'utf-8', 'surrogateescape')).hexdigest()

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        if self.images is not None:
            return self.images[i]
        for step in range(len(self.paths)):
            other = (i + step) % len(self.paths)
            image = (self.reader.read(self.paths[other])
                     if self.labels[other] == self.labels[i] else None)
            if image is not None:
                return centre_square(image, self.size)
        raise self._none_readable()

    def part(self, numbers, noun):
        """Returns an ImageSet of the images with these indices. noun: name of its items."""
        part = copy.copy(self)
        part._take(numbers)
        part.noun = noun
        part.images = None if self.images is None else [self.images[i] for i in numbers]
        return part

    def _take(self, numbers):
        self.paths, self.labels, self.contents = (
            [values[i] for i in numbers] for values in (self.paths, self.labels, self.contents))

    def _read_all(self, keep):
        images = np.empty((len(self.paths) if keep else 0, self.size, self.size, 3), np.uint8)
        readable, self.contents = [], []
        progress = Progress('reading images', len(self.paths))
        for i, path in enumerate(self.paths):
            content = hashlib.blake2b()             # takes half the time of SHA-256
            image = self.reader.read(path, content)
            self.contents.append(content.digest())
            progress.show(i + 1)
            if image is None:
                continue
            if keep:
                images[len(readable)] = centre_square(image, self.size)
            readable.append(i)
        if not readable:
            raise self._none_readable()
        self._take(readable)
        self.images = images[:len(readable)] if keep else None
        progress.end('%d %s from %s%s' % (
            len(readable), self.noun, one_line(self.source),
            ', %d more could not be read' % len(self.unreadable) if self.unreadable else ''))
        self.reader.warn()

    def is_grey(self):
        """Whether all images are grey. Of a set that is not in memory, LOOKED_AT are checked."""
        step = 1 if self.images is not None else max(1, len(self) // LOOKED_AT)
        return all((image == image[:, :, :1]).all() for image in (
            self[i] for i in range(0, len(self), step)))

    def label_counts(self):
        """The number of images of each label: (K,)."""
        return np.bincount(self.labels, minlength=len(self.label_names))[:len(self.label_names)]

    def _none_readable(self):
        return UserError('none of the %d %s in %s can be read'
                         % (len(self.paths), self.noun, one_line(self.source)))


class ImageBatches(Batches):
    """Minibatches of an ImageSet, each image varied at random.

    brightness, contrast, saturation: range of the variation. 0.2 stands for a factor from 0.8 to
        1.2 (brightness: a shift by up to 0.2 of the image's mean), 0 for none. mirror: whether
        half of the images are flipped left to right. colours: 3, or 1 for grey (weights: GREY).
    """

    def __init__(self, images, batch_size, rng, brightness=0.2, contrast=0.2, saturation=0.2,
                 mirror=True, colours=3):
        super().__init__(images, batch_size, rng)
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.mirror, self.colours = mirror, colours

    def next(self):
        """The next minibatch: (images, float32, (batch_size, colours, size, size), in [-1, 1];
        their labels, as `one_hot` gives them).
        """
        chosen = self.choose()
        count = self.batch_size

        def draw(radius):
            return self.rng.uniform(-radius, radius, count)

        mirrored = self.rng.rand(count) < (0.5 if self.mirror else 0)
        contrasts, shifts, saturations = (
            1 + draw(self.contrast), draw(self.brightness), 1 + draw(self.saturation))
        images = [cv2.flip(self.items[j], 1) if flip else self.items[j]
                  for j, flip in zip(chosen, mirrored)]
        labels = one_hot([self.items.labels[j] for j in chosen], len(self.items.label_names))
        if self.colours == 1:
            saturations = np.zeros(count)               # then all three channels are the grey value
        images = varied(images, contrasts, shifts, saturations)[:, :self.colours]
        return np.ascontiguousarray(images), labels


# The linear map from a colour to its grey value, three times: ITU-R BT.601 luma.
GREY = np.float64([[0.299, 0.587, 0.114]] * 3)


def varied(images, contrasts, shifts, saturations):
    """Varies contrast, brightness and saturation, as the article's reader does.

    images: RGB, uint8, each (H, W, 3). The others are N numbers. contrasts: factors. shifts: the
    fraction of an image's mean that is added to it. saturations: factors of the distance of each
    colour from its grey value.
    Returns float32 (N, 3, H, W), clipped to [-1, 1].
    """
    # Together they are a linear map of red, green, blue and 1, which is one call of OpenCV.
    maps = np.empty((len(images), 3, 4))
    maps[:, :, :3] = contrasts[:, None, None] * (
        GREY + saturations[:, None, None] * (np.eye(3) - GREY))
    maps[:, :, 3] = (shifts * [sum(cv2.mean(p)) / 3 for p in images])[:, None]
    maps = maps / 127.5 - [0, 0, 0, 1]
    x = np.empty((len(images), 3) + images[0].shape[:2], np.float32)
    for image, linear, planes in zip(images, maps, x):
        cv2.split(cv2.transform(image.astype(np.float32), linear), list(planes))
    return np.clip(x, -1, 1, out=x)


def to_network(images):
    """Converts images (N, H, W, 3) in 0 … 255 to float32 (N, 3, H, W) in [-1, 1]."""
    return np.ascontiguousarray(
        np.moveaxis(images, 3, 1).astype(np.float32) / np.float32(127.5) - 1)


def to_images(images):
    """Inverse of `to_network`: (N, 3, H, W) in [-1, 1] → uint8 (N, H, W, 3), rounded. Grey ones,
    (N, 1, H, W), become RGB too.
    """
    levels = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(levels, 1, 3),
                                                (len(levels),) + levels.shape[2:] + (3,)))


def grid(images, columns, border=0):
    """Returns one image of images (N, H, W, 3) side by side, row after row.

    border: white pixels between them. An incomplete last row is filled with white if there is a
    border, else with black.
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + border) - border, columns * (width + border) - border,
                     channels), 255 if border else 0, images.dtype)
    for i, image in enumerate(images):
        top, left = i // columns * (height + border), i % columns * (width + border)
        sheet[top:top + height, left:left + width] = image
    return sheet


def shrunk(images, side):
    """Returns square images (H, W, C), or such, each shrunk to (side, side, C): (N, side, side, C).
    """
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
                     for image in images])


def enlarge(images, scale):
    """Enlarges each pixel of images (N, H, W, 3) to a square of scale × scale, without blur."""
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


# Formats for writing images, and the longest side of each. OpenCV reads up to 2 ** 20.
IMAGES = dict(dict.fromkeys(('.bmp', '.dib', '.ppm', '.pnm', '.tif', '.tiff', '.sr', '.ras'),
                            1 << 20),
              **{'.png': 1000000, '.jpg': 65500, '.jpeg': 65500, '.jpe': 65500, '.webp': 16383})
LARGEST = 2 ** 31 - 1024              # bytes: OpenCV counts them in 32 bits


def check_image(path, height=1, width=1):
    """Raises UserError if the path has no suffix of a colour format, or the image is too large for
    the format. Call it before the work.
    """
    check_format(path, IMAGES, 'images are written as .png, .jpg, .webp, .bmp, .tif or .ppm',
                 height, width)


def check_format(path, longest_sides, formats, height, width, frames=1):
    """Raises UserError if the suffix of a path is none of {suffix: longest side}, or the image or
    animation is too large for the format. formats: a sentence that lists the formats.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in longest_sides:
        raise UserError('%s: %s, not as "%s"' % (path, formats, suffix))
    size = '%d × %d pixels' % (width, height)
    if max(height, width) > longest_sides[suffix]:
        raise UserError('%s would be %s; %s allows %d in width and height'
                        % (path, size, suffix, longest_sides[suffix]))
    if 3 * height * width * frames > LARGEST:
        raise UserError('%s would be %s%s; more than 2 GiB can not be written' % (
            path, size, ' in %d frames' % frames if frames > 1 else ''))


def write_image(path, image):
    """Writes an RGB image, uint8, (H, W, 3). The suffix of the path decides the format.

    Raises UserError as `check_image` does, and if OpenCV can't write it; OSError if the path
    can't be written. An existing file then stays unchanged.
    """
    check_image(path, *image.shape[:2])
    try:
        _, data = cv2.imencode(os.path.splitext(path)[1].lower(),
                               cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise UserError('%s: OpenCV can not write this image (%s)' % (path, error.err))
    with replacing(path) as aside, open(aside, 'wb') as file:
        file.write(data.tobytes())
