"""Seconds an iteration with one process and with several, of the same training.

    .venv/bin/python bench/several_processes.py --data data/drawn --image-size 64

Runs wgan_training.py a few iterations under mpiexec, for each number of processes in turn, and
takes the medians of what it writes into wgan.csv. Each process computes on its share of the cores;
the minibatch is shared out among them.
"""

import os
import subprocess
import sys
import tempfile

from _root import ROOT
from wgan.machine.command_line import Parser, number, run

import numpy as np
import pandas as pd


def seconds(count, options):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call(
            ['mpiexec', '--allow-run-as-root', '--oversubscribe', '--bind-to', 'none',
             '-n', str(count),
             sys.executable, os.path.join(ROOT, 'wgan_training.py'), '--data', options.data,
             '--out', os.path.join(folder, 'run'), '--image-size', str(options.image_size),
             '--batch-size', str(options.batch_size), '--iterations', str(options.iterations),
             '--device', 'cpu'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        table = pd.read_csv(os.path.join(folder, 'run', 'wgan.csv'))
    return table['seconds'][2:]                     # the first ones warm up


def main():
    parser = Parser(description='Time training with one process and with several.')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--image-size', type=number(int, 1), default=64)
    parser.add_argument('--batch-size', type=number(int, 1), default=16)
    parser.add_argument('--processes', type=number(int, 1), nargs='+', default=[1, 2])
    parser.add_argument('--iterations', type=number(int, 3), default=12, help='of each, each round')
    parser.add_argument('--rounds', type=number(int, 1), default=3)
    options = parser.parse_args()
    times = {count: [] for count in options.processes}
    for _ in range(options.rounds):
        for count in times:
            times[count] += list(seconds(count, options))
    slowest = np.median(times[options.processes[0]])
    print('| processes | seconds an iteration | speed |\n| --- | --- | --- |')
    for count, values in times.items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        print('| %d | %.2f (%.2f–%.2f) | %.2f |' % (count, middle, low, high, slowest / middle))


if __name__ == '__main__':
    run(main)
