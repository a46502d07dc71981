"""Seconds an iteration: here, and in PyTorch on the same machine, in turn.

    .venv/bin/python bench/speed.py --data data/drawn --pytorch OTHER/bin/python

OTHER is an environment of its own with torch in it (`python3 -m venv OTHER && OTHER/bin/pip install
torch`); without --pytorch, only this project is timed. PyTorch runs twice, with images in its two
orders of memory; the ratio is to the faster one. Prints a table, and writes it with what it was
measured on to bench/results/DATE.md. Generation is also held against ONNX Runtime on the exported
generator. The images are held in memory, which counts as ours: for the memory that the
training itself takes, name a folder of few.
"""

import datetime
import itertools
import os
import subprocess
import sys
import tempfile
import time

from _root import ROOT
from wgan import processor
from wgan.machine.command_line import Parser, UserError, check_outputs, number, run
from wgan.machine.disk import replacing

import numpy as np
import onnxruntime

from wgan.datasets.images import IMAGE_SIZES
from wgan.runs.resuming import versions
from bench.turns import IMAGES, WIDTH, Program, in_turn
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import NETWORKS

OURS = 'here'
PEERS = {'PyTorch': 'contiguous_format', 'channels last': 'channels_last'}
GENERATED_AT_ONCE = 64                  # as wgan_generate.py does
HEAD = ('| pixels | batch | part | here | PyTorch | channels last | ONNX Runtime | ratio |\n'
        '| --- | --- | --- | --- | --- | --- | --- | --- |')


class OnnxRuntime:
    """Looks like a turns.Program, and generates as many images as those do."""

    parts, about = ['generation'], 'ONNX Runtime ' + onnxruntime.__version__

    def __init__(self, path, batch):
        self.session, self.batch = onnxruntime.InferenceSession(path), batch
        self.latents = np.random.RandomState(0).standard_normal((IMAGES, 100)).astype(np.float32)

    def ask(self, _):
        start = time.perf_counter()
        for i in range(0, IMAGES, self.batch):
            self.session.run(['image'], {'latent': self.latents[i:i + self.batch]})
        return time.perf_counter() - start

    def end(self):
        pass


def programs(mode, size, batch, options, file):
    ours, peer = (os.path.join(ROOT, 'bench', name)
                  for name in ('speed_cntk.py', 'speed_pytorch.py'))
    common = (mode, size, batch, options.network, options.objective, options.device,
              'tf32' if options.tf32 else 'full')
    running = {OURS: Program(sys.executable, ours, *common, file)}
    if options.pytorch:
        running.update((name, Program(options.pytorch, peer, *common, os.cpu_count(), order))
                       for name, order in PEERS.items())
    return running


def time_parts(mode, size, batch, options, abouts):
    """Lines of the table: seconds of each part, then memory. abouts: what computed, to be added."""
    running = programs(mode, size, batch, options, options.data)
    seconds = in_turn(running, options.rounds)
    for part in running[OURS].parts:
        yield row(size, batch, part + ', ms', {
            name: np.multiply(seconds[name, part], 1e3) for name in running
            if (name, part) in seconds}, best=min)
    if mode == 'training':
        yield row(size, batch, 'peak memory, MB', {
            name: [program.ask('memory')] for name, program in running.items()}, best=min)
    end(running, abouts)


def time_generation(size, options, abouts):
    with tempfile.TemporaryDirectory() as folder:
        onnx = os.path.join(folder, 'generator.onnx')
        running = programs('generation', size, GENERATED_AT_ONCE, options, onnx)
        running['ONNX Runtime'] = OnnxRuntime(onnx, GENERATED_AT_ONCE)
        seconds = in_turn(running, options.rounds)
    yield row(size, GENERATED_AT_ONCE, 'images a second', {
        name: np.divide(IMAGES, values) for (name, _), values in seconds.items()}, best=max)
    end(running, abouts)


def end(running, abouts):
    for program in running.values():
        abouts[program.about] = None                        # each once, in order
        program.end()


def row(size, batch, part, values, best):
    """A line of the table. values: {program: numbers}. best: which of the peers' medians counts."""
    middles = {name: np.median(numbers) for name, numbers in values.items()}
    ours = middles.pop(OURS)
    cells = [spread(values[name]) if name in values else ''
             for name in (OURS, *PEERS, 'ONNX Runtime')]
    ratio = '%.2f' % (ours / best(middles.values())) if middles else ''
    return '| %s |' % ' | '.join(map(str, [size, batch, part, *cells, ratio]))


def spread(values):
    """Median and the middle half."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    digits = 0 if middle >= 100 else 1
    if len(values) == 1:
        return '%.*f' % (digits, middle)
    return '%.*f (%.*f–%.*f)' % (digits, middle, digits, low, digits, high)


def surroundings(options, abouts):
    """What it was measured on, and what with: lines of text."""
    text = processor()
    facts = dict(map(str.strip, line.split(':', 1)) for line in text.splitlines() if ':' in line)
    sets = ', '.join(name for name, flag in (('AVX2', 'avx2'), ('AVX-512', 'avx512vl'))
                     if flag in text.split())
    yield '%s (%s); %d cores; device %s' % (
        facts.get('model name', text), sets, os.cpu_count(), options.device)
    yield '; '.join(abouts)
    yield ', '.join('%s %s' % pair for pair in versions().items())
    for name in ('ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA', 'ATEN_CPU_CAPABILITY', 'WGAN_KERNELS'):
        if name in os.environ:
            yield '%s=%s' % (name, os.environ[name])
    yield '%s; the networks are %s, of width %d' % (options.objective, options.network, WIDTH)
    yield 'medians of %d rounds in turn, in brackets the middle half' % options.rounds


def add_to(path, text):
    before = b''
    if os.path.exists(path):
        with open(path, 'rb') as file:
            before = file.read()
    with replacing(path) as aside, open(aside, 'wb') as file:
        file.write(before + text.encode())


def main():
    parser = Parser(description='Time the parts of a training iteration.')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--pytorch', help='a Python that has torch, to be timed in turn')
    parser.add_argument('--sizes', type=int, nargs='+', choices=IMAGE_SIZES, default=[32, 64, 128])
    parser.add_argument('--batch-size', type=number(int, 1), nargs='+', default=[16])
    parser.add_argument('--network', choices=NETWORKS, default=NETWORKS[0], help='generator and '
                        'critic, in both')
    parser.add_argument('--objective', choices=list(OBJECTIVES), default='wgan-gp',
                        help='what is trained, in both')
    parser.add_argument('--layers', action='store_true', help='time single layers instead')
    parser.add_argument('--rounds', type=number(int, 1), default=15, help='of each')
    parser.add_argument('--device', choices=['cpu', 'gpu'], default='cpu')
    parser.add_argument('--tf32', action='store_true', help='let a GPU round to TF32, in both')
    parser.add_argument('--out', help='text file to add the table to (default: '
                        'bench/results/DATE.md)')
    options = parser.parse_args()
    if options.tf32 and options.device == 'cpu':
        raise UserError('--tf32 is for --device gpu')
    path = options.out or os.path.join(ROOT, 'bench', 'results', '%s.md' % datetime.date.today())
    check_outputs(path, force=True)                         # it is added to
    if options.pytorch and subprocess.call([options.pytorch, '-c', 'import torch'],
                                           stderr=subprocess.DEVNULL):
        raise UserError('--pytorch %s has no torch: name a Python that has' % options.pytorch)

    table, abouts = [HEAD], {}
    print(HEAD)
    for size in options.sizes:
        lines = [time_parts('layers' if options.layers else 'training', size, batch, options,
                            abouts) for batch in options.batch_size]
        if not options.layers:
            lines.append(time_generation(size, options, abouts))
        for line in itertools.chain(*lines):
            print(line, flush=True)
            table.append(line)
    add_to(path, '\n'.join(['- ' + line for line in surroundings(options, abouts)] + [''] + table)
           + '\n\n')


if __name__ == '__main__':
    run(main)
