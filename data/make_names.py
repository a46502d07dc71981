"""Make up names: a text to train on without a download, whose distribution is known exactly.

    .venv/bin/python data/make_names.py --out data/names.txt
    .venv/bin/python data/make_names.py --check generated.txt

A name is two syllables and an ending, each part drawn with the weights below: 'm' 'a' 'l' 'e' 'th'.
So the probability of each name is known, and which lines are names at all.
"""

import _root  # noqa: F401
from wgan.machine.command_line import Parser, check_outputs, number, one_line, report, run
from wgan.datasets.text import read_lines, write_lines

import numpy as np

# The parts of a name, and how often each is drawn beside the others.
ONSETS = dict(b=3, c=2, d=4, f=1, g=2, h=3, j=2, k=3, l=5, m=6, n=5, p=2, r=6, s=6, t=5, v=3, br=1,
              st=1, th=1)
VOWELS = dict(a=8, e=7, i=5, o=5, u=2, ai=1, ea=1)
ENDINGS = {'': 3, 'n': 5, 'r': 3, 's': 3, 'l': 2, 'th': 1, 'nd': 1, 'ck': 1, 'na': 2, 'ra': 1,
           'lo': 1, 'ry': 1}
PARTS = (ONSETS, VOWELS, ONSETS, VOWELS, ENDINGS)
LENGTH = 10                     # characters of the longest names


def probabilities():
    """{name: probability} of all names; they sum to 1. A name may be made in several ways."""
    total_of = {'': 1.0}
    for part in PARTS:
        total, longer = sum(part.values()), {}
        for text, p in total_of.items():
            for more, weight in part.items():
                longer[text + more] = longer.get(text + more, 0) + p * weight / total
        total_of = longer
    return {name.capitalize(): p for name, p in total_of.items()}


def draw_names(count, seed):
    """A list of names, drawn independently: some come more than once."""
    rng = np.random.RandomState(seed)
    columns = [rng.choice(list(part), count, p=np.array(list(part.values())) / sum(part.values()))
               for part in PARTS]
    return [''.join(parts).capitalize() for parts in zip(*columns)]


def main():
    p = Parser(description='Make up names, or check which lines are such names.')
    p.add_argument('--out', metavar='FILE', help='text file to write, a name a line')
    p.add_argument('--count', type=number(int, 1), default=20000, help='names to write')
    p.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0,
                   help='another seed, other names')
    p.add_argument('--force', action='store_true', help='overwrite without asking')
    p.add_argument('--check', metavar='FILE', help='say how many lines of a text file are names')
    options = p.parse_args()
    if (options.out is None) == (options.check is None):
        p.error('give --out or --check')
    if options.check is not None:
        lines, names = read_lines(options.check, 1000, 'drop', report=False), probabilities()
        right = sum(line in names for line in lines)
        print('%s: %d of %d lines (%.1f %%) are names of this grammar, which makes %d' % (
            one_line(options.check), right, len(lines), 100 * right / len(lines), len(names)))
        return
    check_outputs(options.out, force=options.force)
    write_lines(options.out, draw_names(options.count, options.seed))
    report('wrote %s: %d names' % (one_line(options.out), options.count))


if __name__ == '__main__':
    run(main)
