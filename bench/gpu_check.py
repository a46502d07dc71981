"""Does CNTK compute rightly on this GPU? And how long does it take to start?

    .venv/bin/python bench/gpu_check.py

What the project trains and scores with (gpu_parts.py) is computed on the GPU, then on the CPU, from
the same numbers. Prints a table of how far they are apart; exit code 1 if something deviates by
more than rounding does. On a card newer than CNTK's build the first start compiles for minutes.
Then bench/speed.py --device gpu tells the times.
"""

import os
import pickle
import subprocess
import sys
import tempfile

import _root  # noqa: F401
from wgan.machine.command_line import Parser, number, run
from wgan.scores.image_network import add_network_options

import numpy as np

from bench.gpu_parts import Own, PARTS, Whole, compute
from wgan.datasets.images import IMAGE_SIZES

PROGRAM = os.path.abspath(__file__)
# float32 sums in another order differ by 1e-6 in an operation. In a network that is enough to turn
# some signs (see gpu_parts.py): with numbers that differ by 1e-4 from the start, the whole of an
# array was 3e-2 away at most.
ALLOWED, ALLOWED_OF_WHOLE = 1e-3, 5e-2
# Below this part of the largest number that its graph gives, an array is nothing but rounding.
NOTHING = 1e-3


def parser():
    p = Parser(description='Hold what a GPU computes against the CPU.')
    names = [part.__name__ for part in PARTS]
    p.add_argument('--sizes', type=int, nargs='+', choices=IMAGE_SIZES, default=list(IMAGE_SIZES),
                   help='of the images that networks are computed for')
    p.add_argument('--width', type=number(int, 1), default=32, help="the networks'")
    p.add_argument('--parts', nargs='+', choices=names, default=names, help='what is computed')
    p.add_argument('--devices', nargs=2, default=['gpu', 'cpu'], choices=['gpu', 'cpu'],
                   help='what is held against what')
    p.add_argument('--turn', type=int, choices=(0, 1), help='only compute, on this one of '
                   '--devices, into --folder')
    p.add_argument('--folder', help='for --turn: of files that both turns share')
    add_network_options(p, required=False)
    return p


def file_of(folder, turn):
    return os.path.join(folder, 'turn_%d.pickle' % turn)


def compute_both(options):
    """Returns [{(part, which): values}] of the two devices, or the exit code of one that failed."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for turn, device in enumerate(options.devices):
            print('%s:' % device, flush=True)
            # A process each: CNTK takes a device for good.
            code = subprocess.call([sys.executable, PROGRAM] + sys.argv[1:]
                                   + ['--turn', str(turn), '--folder', folder])
            if code:
                return code
            with open(file_of(folder, turn), 'rb') as file:
                results.append(pickle.load(file))
    return results


def table(results):
    """Returns {part: (deviation, allowed, which)}, for the array of each that deviates most."""
    largest, rows = {}, {}
    for (part, _), values in results[0].items():
        largest[part] = max(largest.get(part, 0), np.abs(numbers(values)).max())
    for part, which, values, expected in pairs(*results):
        far = deviation(values, expected, NOTHING * largest[part])
        if part not in rows or not far <= rows[part][0]:
            rows[part] = far, ALLOWED_OF_WHOLE if isinstance(values, Whole) else ALLOWED, which
    return rows


def pairs(results, others):
    """Yields (part, which, values, expected) of both devices."""
    for both in (results, others):
        for (part, which), values in both.items():
            if isinstance(values, Own):
                yield (part, which) + values
            elif both is results:
                yield part, which, values, others[part, which]


def deviation(values, expected, nothing):
    """The largest difference, relative to the largest of `expected`, or to `nothing` if that is
    larger. For `Whole` values, with root mean squares instead of largest numbers.
    """
    size = root_mean_square if isinstance(values, Whole) else largest_of
    values, expected = numbers(values), numbers(expected)
    if values.shape != expected.shape:
        return np.inf
    return size(values - expected) / max(size(expected), nothing, 1e-30)


def numbers(values):
    """The array that they are, or the first of two."""
    while isinstance(values, (Own, Whole)):
        values = values[0]
    return np.asarray(values)


def largest_of(x):
    return np.abs(x).max()


def root_mean_square(x):
    return np.sqrt(np.mean(np.square(x)))


def main():
    options = parser().parse_args()
    options.device = options.devices[options.turn or 0]
    if options.turn is not None:
        results = compute(options)
        with open(file_of(options.folder, options.turn), 'wb') as file:
            pickle.dump(results, file)
        return
    results = compute_both(options)
    if isinstance(results, int):
        return results
    rows = table(results)
    print('%-66s deviation  allowed  largest for' % 'what')
    for part, (far, allowed, which) in rows.items():
        print('%-66s %9.1e  %7.0e  %s%s' % (
            part, far, allowed, '' if far <= allowed else 'WRONG: ', which))
    wrong = sum(not far <= allowed for far, allowed, _ in rows.values())
    print('%d of %d deviate' % (wrong, len(rows)))
    return 1 if wrong else 0


if __name__ == '__main__':
    run(main)
