"""Draw a set of faces: training data that needs no download and has no owner.

    python data/draw_faces.py --out data/drawn --count 2000 --size 64

Every image is a head with shoulders, hair, eyes, brows, nose and mouth on a background, some
with glasses or a beard, in colours, proportions, pose and light of its own. Image number i
depends on the seed and on i alone: the same command gives the same files, and a larger count only
adds to them. Three map files say what each is: hair.txt (dark, fair, grey), beard.txt and
glasses.txt.
"""

import os

import _root  # noqa: F401
from wgan.machine.command_line import Parser, Progress, UserError, check_output_folder, number, run
from wgan.machine.disk import remove_left_behind, replacing
from wgan.datasets.image_decoder import UnreadableImage, decode_image
from wgan.datasets.images import write_image

import cv2
import numpy as np

CANVAS = 256                # drawn at this size, then shrunk by averaging: smooth edges at any size

LABELS = ('hair', 'beard', 'glasses')       # each a map file in the folder of the faces

LARGEST_SIZE = 8192         # whose images OpenCV still reads: 2 ** 26 pixels

SKINS = [(255, 224, 196), (241, 194, 160), (224, 172, 130), (198, 134, 90), (141, 85, 54),
         (92, 56, 38)]
HAIRS = [(32, 24, 20), (66, 42, 28), (112, 70, 40), (170, 120, 60), (222, 188, 120),
         (150, 60, 30), (150, 150, 150), (215, 212, 205)]
HAIR_NAMES = ['dark', 'dark', 'dark', 'fair', 'fair', 'fair', 'grey', 'grey']
IRISES = [(70, 45, 25), (95, 120, 60), (60, 100, 150), (110, 110, 115)]


def draw_face(size, rng):
    """(a face as RGB, uint8, (size, size, 3); its labels, one of each of LABELS, as a dict).

    rng: a numpy.random.RandomState.
    """
    skin = _vary(_mix(SKINS, rng), 10, rng)
    colour = rng.randint(len(HAIRS))
    hair = _vary(HAIRS[colour], 14, rng)
    width = rng.uniform(50, 60)                         # half the head, in canvas pixels
    height = width * rng.uniform(1.22, 1.42)
    x, y = 128, 124

    image = _background(rng)
    _shoulders(image, x, y, width, height, skin, rng)
    style = rng.choice(['short', 'long', 'bob', 'bald'], p=[0.42, 0.28, 0.22, 0.08])
    if style in ('long', 'bob'):
        _hair_behind(image, x, y, width, height, hair, style, rng)
    _head(image, x, y, width, height, skin, rng)
    beard, glasses = _features(image, x, y, width, height, skin, hair, rng)
    if style != 'bald':
        _hair_in_front(image, x, y, width, height, hair, rng)
    image = cv2.resize(_pose(image, rng), (size, size), interpolation=cv2.INTER_AREA)
    return _light(image, rng), {
        'hair': HAIR_NAMES[colour], 'beard': 'beard' if beard else 'shaven',
        'glasses': 'glasses' if glasses else 'none'}


def _background(rng):
    """A soft gradient of one muted colour, in any direction."""
    colour = rng.uniform(70, 220) + rng.uniform(-45, 45, 3)
    ramp = _ramp(rng.uniform(0, 2 * np.pi), CANVAS) - 0.5
    return np.clip(colour + rng.uniform(0, 90) * ramp[..., None], 0, 255).astype(np.uint8)


def _shoulders(image, x, y, width, height, skin, rng):
    cloth = _colour(rng.uniform(20, 235, 3))
    top = y + height * rng.uniform(1.12, 1.25)
    _ellipse(image, x, top + 82, width * rng.uniform(1.65, 2.1), 88, cloth)
    neck = width * rng.uniform(0.42, 0.55)
    shade = _scale(skin, 0.82)
    _polygon(image, [(x - neck, y + height * 0.6), (x + neck, y + height * 0.6),
                     (x + neck * 1.1, top + 8), (x, top + 8 + neck * rng.uniform(0.3, 1.1)),
                     (x - neck * 1.1, top + 8)], shade)


def _head(image, x, y, width, height, skin, rng):
    ear = width * rng.uniform(0.13, 0.19)
    for side in (-1, 1):
        _ellipse(image, x + side * width * 0.98, y + height * 0.08, ear, ear * 1.7,
                 _scale(skin, 0.9))
    _ellipse(image, x, y - height * 0.08, width, height * 0.92, skin)
    _ellipse(image, x, y + height * 0.28, width * rng.uniform(0.74, 0.9), height * 0.72, skin)


def _features(image, x, y, width, height, skin, hair, rng):
    """Returns whether there is a beard, and whether there are glasses."""
    apart, eye_y = width * rng.uniform(0.4, 0.48), y + height * rng.uniform(-0.06, 0.04)
    eye_w, eye_h = width * rng.uniform(0.19, 0.25), width * rng.uniform(0.09, 0.15)
    look = rng.uniform(-0.25, 0.25) * eye_w
    iris = IRISES[rng.randint(len(IRISES))]
    brow = _scale(hair, 0.7)
    brow_y, tilt = eye_y - width * rng.uniform(0.26, 0.36), rng.uniform(-12, 12)
    beard = rng.rand() < 0.18
    mouth_y, mouth_w = y + height * rng.uniform(0.5, 0.58), width * rng.uniform(0.3, 0.46)
    smile = rng.uniform(-0.05, 0.3) * mouth_w

    if beard:
        _ellipse(image, x, y + height * 0.56, width * 0.72, height * 0.42, _scale(hair, 0.95))
        _ellipse(image, x, y + height * 0.2, width * 0.66, height * 0.34, skin)
    for side in (-1, 1):
        centre = x + side * apart
        _ellipse(image, centre, eye_y, eye_w, eye_h, (245, 243, 240))
        _ellipse(image, centre + look, eye_y, eye_h * 1.02, eye_h * 1.02, iris)
        _ellipse(image, centre + look, eye_y, eye_h * 0.5, eye_h * 0.5, (12, 10, 10))
        _arc(image, centre, eye_y, eye_w, eye_h, 180, 360, _scale(skin, 0.45), 3)
        _arc(image, centre, brow_y + eye_h, eye_w * 1.25, eye_h * 1.2, 205, 335, brow,
             rng.randint(4, 8), angle=side * tilt)
        if rng.rand() < 0.5:
            _ellipse(image, x + side * width * 0.55, y + height * 0.36, width * 0.17,
                     width * 0.11, tuple(0.9 * np.array(skin) + 0.1 * np.array((230, 60, 60))))
    nose = width * rng.uniform(0.11, 0.17)
    nose_y = y + height * rng.uniform(0.26, 0.33)
    _arc(image, x, nose_y, nose, nose * 0.7, 0, 180, _scale(skin, 0.68), 4)
    _polygon(image, [(x - nose * 0.25, eye_y), (x + nose * 0.3, eye_y),
                     (x + nose * 0.75, nose_y)], _scale(skin, 0.9))

    lips = _colour(np.array(skin) * 0.55 + np.array((200, 70, 80)) * rng.uniform(0.25, 0.45))
    if rng.rand() < 0.35:                               # open, teeth showing
        _ellipse(image, x, mouth_y, mouth_w, 5 + abs(smile), lips)
        _ellipse(image, x, mouth_y, mouth_w * 0.82, 2 + abs(smile) * 0.7, (246, 242, 236))
    else:
        _arc(image, x, mouth_y - smile, mouth_w, 3 + abs(smile), 15, 165, lips,
             rng.randint(5, 10))
    glasses = rng.rand() < 0.2
    if glasses:
        frame = _colour(rng.uniform(10, 90, 3))
        radius = width * rng.uniform(0.28, 0.34)
        for side in (-1, 1):
            _arc(image, x + side * apart, eye_y, radius, radius * 0.85, 0, 360, frame, 4)
        _line(image, (x - apart + radius, eye_y), (x + apart - radius, eye_y), frame, 4)
    return beard, glasses


def _hair_behind(image, x, y, width, height, hair, style, rng):
    spread = width * rng.uniform(1.2, 1.4)
    end = y + height * (rng.uniform(1.1, 1.6) if style == 'long' else rng.uniform(0.5, 0.9))
    dark = _scale(hair, 0.85)
    _ellipse(image, x, y - height * 0.22, spread, height * 0.95, dark)
    _polygon(image, [(x - spread, y - height * 0.2), (x + spread, y - height * 0.2),
                     (x + spread * rng.uniform(0.85, 1.1), end),
                     (x - spread * rng.uniform(0.85, 1.1), end)], dark)


def _hair_in_front(image, x, y, width, height, hair, rng):
    """A cap of hair whose lower edge is the hairline, with a parting somewhere."""
    parting = x + width * rng.uniform(-0.7, 0.7)
    line = y - height * rng.uniform(0.42, 0.62)
    side = y - height * rng.uniform(-0.02, 0.3)
    out = width * rng.uniform(1.03, 1.12)
    crown = height * rng.uniform(1.08, 1.22)
    angles = np.linspace(np.pi, 2 * np.pi, 24)
    top = [(x + out * np.cos(t), y - height * 0.12 + crown * np.sin(t) * 0.86) for t in angles]
    low = [(x + width * 1.02, side), (x + width * 0.84, (line + side) / 2),
           ((x + width * 0.5 + parting) / 2, line + height * rng.uniform(-0.02, 0.08)),
           (parting, line - height * rng.uniform(0.0, 0.12)),
           ((x - width * 0.5 + parting) / 2, line + height * rng.uniform(-0.02, 0.08)),
           (x - width * 0.84, (line + side) / 2), (x - width * 1.02, side)]
    _polygon(image, top + low, hair)
    _arc(image, x, y - height * 0.2, width * 0.7, height * 0.66, 215, 300,
         _scale(hair, 1.2, 14), 5)


def _pose(image, rng):
    """Turn, scale and shift the whole image a little."""
    matrix = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), rng.uniform(-9, 9),
                                     rng.uniform(1.15, 1.35))
    matrix[:, 2] += rng.uniform(-9, 9, 2)
    return cv2.warpAffine(image, matrix, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)


def _light(image, rng):
    """Light falls from one side: brighter there, darker on the other."""
    strength = rng.uniform(0.0, 0.35)
    factor = 1 + strength * (2 * _ramp(rng.uniform(0, 2 * np.pi), len(image)) - 1)
    return np.clip(image * factor[..., None], 0, 255).astype(np.uint8)


def _ramp(angle, size):
    """(size, size) numbers, 0 … 1 from edge to edge in the direction of the angle."""
    grid = np.linspace(-1, 1, size, dtype=np.float32)
    ramp = grid[None, :] * np.cos(angle) + grid[:, None] * np.sin(angle)
    return (ramp - ramp.min()) / (ramp.max() - ramp.min())


# Shapes, in floating-point canvas coordinates: OpenCV takes fixed-point ones, SHIFT bits deep.
SHIFT = 4


def _fixed(*values):
    return tuple(int(round(v * (1 << SHIFT))) for v in values)


def _ellipse(image, x, y, a, b, colour):
    cv2.ellipse(image, _fixed(x, y), _fixed(a, b), 0, 0, 360, colour, -1, cv2.LINE_AA, SHIFT)


def _arc(image, x, y, a, b, start, end, colour, thickness, angle=0):
    cv2.ellipse(image, _fixed(x, y), _fixed(a, b), angle, start, end, colour, int(thickness),
                cv2.LINE_AA, SHIFT)


def _line(image, start, end, colour, thickness):
    cv2.line(image, _fixed(*start), _fixed(*end), colour, thickness, cv2.LINE_AA, SHIFT)


def _polygon(image, points, colour):
    points = np.array([_fixed(*p) for p in points], np.int32)
    cv2.fillPoly(image, [points], colour, cv2.LINE_AA, SHIFT)


def _colour(values):
    return tuple(float(v) for v in np.clip(values, 0, 255))


def _scale(colour, factor, offset=0):
    return _colour(np.array(colour) * factor + offset)


def _vary(colour, deviation, rng):
    return _colour(np.array(colour) + rng.normal(0, deviation, 3))


def _mix(colours, rng):
    """A colour between two neighbours of the list."""
    i = rng.randint(len(colours) - 1)
    return colours[i] + (np.array(colours[i + 1]) - colours[i]) * rng.rand()


def holds(path, face):
    """Whether an image file is this face, pixel for pixel."""
    try:
        return os.path.isfile(path) and np.array_equal(decode_image(path), face)
    except UnreadableImage:
        return False


def draw_all(options):
    """Write the faces that are not there yet.

    Raises UserError, before it writes any, if a file has the name of a face and holds another
    image: the face of another --seed or --size, or one of the user's own.
    """
    paths = [os.path.join(options.out, 'face_%06d.png' % i) for i in range(options.count)]
    remove_left_behind(options.out)
    progress, labels = Progress('drawing', options.count), {}
    there_first = sorted(range(options.count), key=lambda i: not os.path.lexists(paths[i]))
    for done, i in enumerate(there_first, 1):
        face, labels[i] = draw_face(options.size, np.random.RandomState([options.seed, i]))
        if not os.path.lexists(paths[i]):
            write_image(paths[i], face)
        elif not holds(paths[i], face):
            if not options.force:
                raise UserError('%s is there, and is not the face that would be drawn: choose '
                                'another --out, or the --seed and --size that it was drawn with; '
                                '--force overwrites it' % paths[i])
            write_image(paths[i], face)
        progress.show(done)
    for attribute in LABELS:
        write_labels(os.path.join(options.out, attribute + '.txt'), ''.join(
            '%s\t%s\n' % (os.path.basename(path), labels[i][attribute])
            for i, path in enumerate(paths)), options.force)
    progress.end('%d faces in %s' % (options.count, options.out))


def write_labels(path, text, force):
    """Write a map file. One that is there may be of more or fewer faces of the same seed; raises
    UserError for anything else.
    """
    if os.path.lexists(path) and not force:
        there = ''
        if os.path.isfile(path):
            with open(path, 'rb') as file:
                there = file.read().decode('utf-8', 'replace')
        if there.startswith(text):
            return
        if not there or not text.startswith(there):
            raise UserError('%s is there, and does not hold the labels of these faces: choose '
                            'another --out; --force overwrites it' % path)
    with replacing(path) as aside, open(aside, 'w') as file:
        file.write(text)


def main():
    parser = Parser(description='Draw a set of faces to train on.')
    parser.add_argument('--out', default='data/drawn', help='folder to write; faces that it holds '
                        'already are left as they are')
    parser.add_argument('--count', type=number(int, 1), default=2000, help='number of faces')
    parser.add_argument('--size', type=number(int, 2, LARGEST_SIZE), default=64,
                        help='width and height, pixels')
    parser.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0,
                        help='another seed, other faces')
    parser.add_argument('--force', action='store_true', help='overwrite files of the same names '
                        'that hold something else')
    options = parser.parse_args()
    check_output_folder(options.out, force=True)        # what it holds is looked at one by one
    os.makedirs(options.out, exist_ok=True)
    draw_all(options)


if __name__ == '__main__':
    run(main)
