"""Animations: pictures to a GIF or MP4, and the training of a run as one.

    python animation.py runs/faces --out training.gif

The second can be had while the run is still training.
"""

import os
import re

from command_line import Parser, UserError, check_outputs, run

import cv2
import numpy as np
from PIL import Image

# A training animation is at most this large, whatever the run: 60 frames of 512 × 512 and a label
# are 21 MB at the worst (noise, which GIF can't compress), a few MB with faces.
WIDTH, FRAMES = 512, 60
LABEL = 24                                      # height of the label under each frame, pixels


def write_animation(path, frames, seconds):
    """Write RGB frames, uint8, (H, W, 3), all of one size, to a .gif or .mp4 file.

    seconds: how long each frame is shown. A GIF begins anew at its end.
    Raises UserError for another suffix, and if OpenCV has no MP4 encoder.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix == '.gif':
        images = [Image.fromarray(frame).quantize(256, dither=Image.NONE) for frame in frames]
        images[0].save(path, 'GIF', save_all=True, append_images=images[1:], loop=0,
                       duration=int(round(1000 * seconds)))
    elif suffix == '.mp4':
        height, width = frames[0].shape[:2]
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'mp4v'), 1 / seconds,
                                 (width, height))
        if not writer.isOpened():
            raise UserError('%s: OpenCV can not write it; is the folder writable, and does this '
                            'OpenCV have an MP4 encoder? .gif needs none' % path)
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
    else:
        raise UserError('%s: animations are written as .gif or .mp4' % path)


def animate_samples(run_folder, path):
    """The sample grids of a run, each labelled with its step, as one animation.

    At most FRAMES of them, evenly spread, the first and the last among them; shrunk to at most
    WIDTH pixels. The last one stays for two seconds.
    Raises UserError if the run has fewer than two grids.
    """
    grids = find_grids(run_folder)
    if len(grids) < 2:
        raise UserError('%s holds %d sample grids; an animation takes two or more, and training '
                        'writes one every --sample-every iterations'
                        % (os.path.join(run_folder, 'samples'), len(grids)))
    chosen = np.unique(np.linspace(0, len(grids) - 1, FRAMES).round().astype(int))
    frames = [_labelled(*grids[i]) for i in chosen]
    write_animation(path, frames + frames[-1:] * 7, seconds=0.25)


def find_grids(run_folder):
    """[(step, path), …] of the sample grids of a run, in order of the steps."""
    folder = os.path.join(run_folder, 'samples')
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = (re.match(r'step_(\d+)\.png$', name) for name in names)
    return sorted((int(m.group(1)), os.path.join(folder, m.group(0))) for m in found if m)


def _labelled(step, path):
    picture = cv2.imread(path)
    if picture is None:
        raise UserError('%s can not be read' % path)
    height, width = picture.shape[:2]
    if width > WIDTH:
        picture = cv2.resize(picture, (WIDTH, height * WIDTH // width),
                             interpolation=cv2.INTER_AREA)
    picture = cv2.copyMakeBorder(picture, 0, LABEL, 0, 0, cv2.BORDER_CONSTANT)
    cv2.putText(picture, 'step %d' % step, (6, picture.shape[0] - 7), cv2.FONT_HERSHEY_SIMPLEX,
                0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def main():
    parser = Parser(description='Make one animation of all sample grids of a run.')
    parser.add_argument('run', metavar='RUN', help='run folder; it may still be training')
    parser.add_argument('--out', required=True, help='.gif or .mp4 to write')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    options = parser.parse_args()
    check_outputs(options.out, force=options.force)
    animate_samples(options.run, options.out)
    print('wrote ' + options.out)


if __name__ == '__main__':
    run(main)
