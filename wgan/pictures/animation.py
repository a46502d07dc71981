"""Writes GIF and MP4 animations, also of the training of a run."""

import os
import re

from wgan.machine.command_line import UserError, one_line
from wgan.machine.disk import replacing
from wgan.datasets.image_decoder import ImageReader
from wgan.datasets.images import check_format

import cv2
import numpy as np
from PIL import Image

# A training animation is at most this large, whatever the run: 60 frames of 512 × 512 and a label
# are 21 MB at the worst (noise, which GIF can't compress), a few MB with faces.
WIDTH, FRAMES = 512, 60
LABEL = 24                                      # height of the label under each frame, pixels

ANIMATIONS = {'.gif': 65535, '.mp4': 8191}      # the formats, and the longest side of each


def check_animation(path, height=1, width=1, frames=1):
    """Raises UserError if the suffix is not .gif or .mp4, or the animation is too large for the
    format. Call it before the work.
    """
    check_format(path, ANIMATIONS, 'animations are written as .gif or .mp4', height, width, frames)


def write_animation(path, frames, seconds):
    """Writes RGB frames, uint8, (H, W, 3), all of one size, to a .gif or .mp4 file.

    seconds: duration of each frame. A GIF repeats without end.
    Raises UserError as `check_animation` does, and if OpenCV can't write an MP4; OSError if the
    file can't be written. An existing file then stays unchanged.
    """
    check_animation(path, *frames[0].shape[:2], frames=len(frames))
    with replacing(path) as aside:
        if path.lower().endswith('.gif'):
            images = [Image.fromarray(frame).quantize(256, dither=Image.NONE) for frame in frames]
            images[0].save(aside, 'GIF', save_all=True, append_images=images[1:], loop=0,
                           duration=int(round(1000 * seconds)))
        elif not _write_mp4(aside, frames, seconds):
            raise UserError('%s: OpenCV can not write it; is the disk full, and does this OpenCV '
                            'have an MP4 encoder? .gif needs none' % path)


def _write_mp4(path, frames, seconds):
    """Returns whether all frames are in the file: OpenCV does not report a full disk."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'mp4v'), 1 / seconds, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    written, video = 0, cv2.VideoCapture(path)
    while video.grab():
        written += 1
    return written == len(frames)


def animate_samples(run_folder, path):
    """Writes the sample grids of a run, each labelled with its step, as an animation.

    It has at most FRAMES grids, evenly spaced, with the first and the last. They are shrunk to at
    most WIDTH pixels, and to the size of the last one, which stays for two seconds. Unreadable
    grids are named on stderr and skipped.
    Raises UserError if fewer than two grids can be read, and as `write_animation` does.
    """
    grids = read_grids(run_folder, ImageReader('left out'))
    lines = os.path.join(run_folder, 'samples', 'real.txt')
    if not grids and os.path.exists(lines):
        raise UserError('%s is a run on text: its samples are lines, samples/step_….txt, and only '
                        'grids of images can be animated' % one_line(run_folder))
    if len(grids) < 2:
        raise UserError('%s holds %d sample grids that can be read; an animation takes two or '
                        'more, and training writes one every --sample-every iterations'
                        % (os.path.join(run_folder, 'samples'), len(grids)))
    height, width = grids[-1][1].shape[:2]
    frames = [_labelled(step, cv2.resize(image, (width, height),
                                         interpolation=cv2.INTER_AREA))
              for step, image in grids]
    write_animation(path, frames + frames[-1:] * 7, seconds=0.25)


def find_grids(run_folder, suffix='.png'):
    """Returns [(step, path), …] of the sample grids of a run, in order of the steps.

    suffix: '.txt' for the samples of a run on text.
    """
    folder = os.path.join(run_folder, 'samples')
    names = os.listdir(folder) if os.path.isdir(folder) else []
    matches = (re.fullmatch(r'step_([0-9]+)' + re.escape(suffix), name) for name in names)
    grids = sorted((int(m.group(1)), os.path.join(folder, m.group(0))) for m in matches if m)
    return [(step, path) for step, path in grids if os.path.isfile(path)]


def read_grids(run_folder, reader):
    """Returns [(step, RGB image), …] of at most FRAMES sample grids of a run, evenly spread, each
    at most WIDTH pixels wide and high. reader: the ImageReader; it names unreadable grids.
    """
    images = [(step, reader.read(path)) for step, path in evenly(find_grids(run_folder), FRAMES)]
    return [(step, _shrunk(image)) for step, image in images if image is not None]


def evenly(items, count):
    """Returns at most `count` items of a list, evenly spread, with the first and the last."""
    chosen = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))
    return [items[i] for i in chosen if items]


def _shrunk(image):
    """Shrinks an image to at most WIDTH pixels in width and height."""
    shrink = min(1, WIDTH / max(image.shape))
    size = [max(1, int(side * shrink)) for side in image.shape[1::-1]]
    return cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA)


def _labelled(step, image):
    image = cv2.copyMakeBorder(image, 0, LABEL, 0, 0, cv2.BORDER_CONSTANT)
    cv2.putText(image, 'step %d' % step, (6, image.shape[0] - 7), cv2.FONT_HERSHEY_SIMPLEX,
                0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return image
