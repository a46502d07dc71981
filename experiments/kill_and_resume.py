"""Kill runs with SIGKILL at random moments, resume them, and compare with one that was left alone.

    .venv/bin/python experiments/kill_and_resume.py --runs 40

Half of the runs are killed while a checkpoint is being written. Each must end with the same losses
and weights as the undisturbed run, bit for bit. Small networks, on drawn faces.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from _root import ROOT
from wgan.machine.command_line import Parser, Progress, UserError, number, run
from wgan.machine.cntk import C

import numpy as np

ITERATIONS, EVERY = 20, 4
NETWORKS = ('wgan_generator.model', 'wgan_generator_average.model', 'wgan_critic.model')


def command(data, folder, *options):
    return [sys.executable, os.path.join(ROOT, 'wgan_training.py'), '--data', data, '--out', folder,
            '--image-size', '32', '--width', '2', '--latent-size', '5', '--batch-size', '4',
            '--n-critic', '2', '--iterations', str(ITERATIONS), '--checkpoint-every', str(EVERY),
            '--sample-every', '20', *options]


def start(*arguments):
    return subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def checkpoints(folder, ending=''):
    folder = os.path.join(folder, 'checkpoints')
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [n for n in names if n.startswith('step_') and n.endswith(ending)]


def kill_one(data, folder, rng, while_saving):
    """Start a run and kill it, after its first checkpoint; how many there were then."""
    process = start(data, folder, '--overwrite')
    wanted = rng.randint(1, ITERATIONS // EVERY - 1)
    while process.poll() is None:
        if while_saving and len(checkpoints(folder, '.partial')):
            newest = max(checkpoints(folder))
            if int(newest[5:13]) >= EVERY * (wanted + 1):
                time.sleep(rng.uniform(0, 0.03))
                break
        elif not while_saving and checkpoints(folder) and int(
                max(checkpoints(folder))[5:13]) >= EVERY * wanted:
            time.sleep(rng.uniform(0, 1))
            break
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def content(folder):
    """What has to be the same: losses without the seconds, and all weights."""
    with open(os.path.join(folder, 'wgan.csv')) as file:
        losses = [line.rpartition(',')[0] for line in file]
    weights = []
    for name in NETWORKS:
        network = C.Function.load(os.path.join(folder, name))
        weights += [p.value for p in list(network.parameters) + list(network.constants)]
    return losses, weights


def same(a, b):
    return a[0] == b[0] and len(a[1]) == len(b[1]) and all(
        np.array_equal(x, y) for x, y in zip(a[1], b[1]))


def disturb(runs, seed, data, folder):
    """Returns (runs that were the same in the end, kills while a checkpoint was being written)."""
    whole = os.path.join(folder, 'whole')
    subprocess.check_call(command(data, whole), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    expected, rng = content(whole), random.Random(seed)
    equal = saving = 0
    progress = Progress('killing', runs)
    for i in range(runs):
        part = os.path.join(folder, 'part')
        shutil.rmtree(part, ignore_errors=True)
        kill_one(data, part, rng, while_saving=i % 2 == 1)
        saving += bool(checkpoints(part, '.partial'))
        equal += start(data, part, '--resume').wait() == 0 and same(content(part), expected)
        progress.show(i + 1, '%d the same' % equal)
    progress.end('%d of %d runs were the same in the end; %d were killed while a checkpoint was '
                 'being written' % (equal, runs, saving))
    return equal, saving


def main():
    parser = Parser(description='Kill runs at random moments, resume them, compare.')
    parser.add_argument('--runs', type=number(int, 1), default=40, help='how many to kill')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, 'data')
        subprocess.check_call([sys.executable, os.path.join(ROOT, 'data', 'draw_faces.py'), '--out',
                               data, '--count', '12', '--size', '32'])
        equal, _ = disturb(options.runs, options.seed, data, folder)
    if equal != options.runs:
        raise UserError('%d runs were not the same' % (options.runs - equal))


if __name__ == '__main__':
    run(main)
