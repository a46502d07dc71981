"""All that a machine with a card can tell, in one go, within so many minutes.

    .venv/bin/python bench/gpu_today.py --out bench/results/gpu --pytorch OTHER/bin/python

How long the first start takes, and the second; gpu_check.py; speed.py, in full precision and with
TF32, beside PyTorch; whether --deterministic gives the same bits twice; a training with the
article's settings (256 pixels, batch 16); a training at 64 pixels in the time that is left. What
fails is noted, and the next begins. All that is printed is also in OUT/log.txt as it comes; the
runs, with their networks and grids, are in OUT too. Exit code 1 if something failed.

--pytorch names a Python that has torch. If cuDNN 9 is not installed here, torch's is used.
"""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple

from _root import ROOT
from wgan.machine import cudnn
from wgan.machine.command_line import Parser, UserError, number, run
from wgan.machine.slots import Unavailable

# seconds: the most that it may take; None: all that are left.
Step = namedtuple('Step', 'name seconds command')
TO_SAVE = 60                        # seconds that a training has to save when its time is over
START = '''
import time
begin = time.time()
from wgan.machine.device import C, kernels, select_device
imported = time.time()
device = select_device(%r)
print('import %%.1f s, first use of the %%s %%.1f s: %%s' %% (
    imported - begin, device, time.time() - imported, kernels(device)))
'''
COMPARE = '''
import sys
from wgan.machine.device import C, select_device
select_device('cpu')
first, second = ([p.value for p in C.Function.load(name + '/wgan_generator.model').parameters]
                 for name in sys.argv[1:])
same = all((a == b).all() for a, b in zip(first, second))
print('the same bits twice: %s' % ('yes' if same else 'NO'))
sys.exit(not same)
'''


def parser():
    p = Parser(description='Try and time everything on a GPU, in one go.')
    p.add_argument('--out', required=True, help='new folder for the log, the table and the runs')
    p.add_argument('--minutes', type=number(float, 0, above=True), default=30, help='for it all')
    p.add_argument('--pytorch', help='a Python that has torch, to be timed in turn')
    p.add_argument('--data', help='folder of images (default: 500 faces, drawn)')
    p.add_argument('--device', choices=['cpu', 'gpu'], default='gpu')
    p.add_argument('--smallest', action='store_true', help='only try whether it runs: few '
                   'iterations of small networks')
    return p


def steps(options):
    """The Steps, in order: what fails first is worth most."""
    folder, device = os.path.abspath(options.out), options.device
    data = os.path.abspath(options.data or os.path.join(folder, 'data'))
    small = options.smallest
    sizes, width = (['32'], '2') if small else (['64', '128', '256'], '32')

    def program(name, *arguments):
        return [sys.executable, os.path.join(ROOT, name), *arguments]

    def training(name, size, iterations, *more):
        return program('wgan_training.py', '--data', data, '--out', os.path.join(folder, name),
                       '--device', device, '--image-size', size, '--iterations', iterations,
                       '--width', width, '--batch-size', '4' if small else '16', *more)

    def check(*sizes):
        return program('bench/gpu_check.py', '--devices', device, 'cpu', '--width', width,
                       '--sizes', *sizes, *(['--parts', 'single_operations'] if small else []))

    def speed(*more):
        return program('bench/speed.py', '--device', device, '--data', data, '--sizes', *sizes,
                       '--rounds', '1' if small else '10', '--out',
                       os.path.join(folder, 'speed.md'), *more,
                       *(['--pytorch', options.pytorch] if options.pytorch else []))

    if not options.data:
        yield Step('faces', 120, program('data/draw_faces.py', '--out', data, '--count',
                                         '24' if small else '500', '--size', '256'))
    if device == 'gpu':
        yield Step('card', 20, ['nvidia-smi'])
    for name in ('first start', 'second start'):
        yield Step(name, 300, [sys.executable, '-c', START % device])
    yield Step('check at 32 pixels', 180, check('32'))
    if not small:
        yield Step('check of all sizes', 240, check('64', '128', '256'))
    yield Step('speed in full precision', 240, speed())
    if device == 'gpu':
        yield Step('speed with TF32', 240, speed('--tf32'))
    repeated = ['repeated_1', 'repeated_2']
    for name in repeated:
        yield Step(name, 90, training(name, '32', '3' if small else '20', '--deterministic'))
    yield Step('repeated, compared', 30, [sys.executable, '-c', COMPARE] + [
        os.path.join(folder, name) for name in repeated])
    yield Step("the article's settings", 180, training('256_pixels', sizes[-1], '2' if small
                                                       else '50000'))
    yield Step('64 pixels', None, training('64_pixels', sizes[0], '2' if small else '50000'))


def environment(options):
    """The environment variables of the steps: where cuDNN 9 is, if torch has it."""
    variables = dict(os.environ, PYTHONUNBUFFERED='1')
    paths = [ROOT, os.environ.get('PYTHONPATH')]
    try:
        cudnn.load()
    except Unavailable:
        if options.pytorch:
            # Only this folder of torch's packages, the others being those of another Python.
            site = subprocess.check_output([options.pytorch, '-c', (
                'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')])
            os.symlink(os.path.join(site.decode().strip(), 'nvidia'),
                       os.path.join(options.out, 'nvidia'))
            paths.append(os.path.abspath(options.out))
    return dict(variables, PYTHONPATH=os.pathsep.join(filter(None, paths)))


def do(step, seconds, variables, log):
    """Run a Step. Returns its exit code, or None if its time was over; a training saves then."""
    process = subprocess.Popen(step.command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL,
                               stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    for end, patience in ((None, seconds), (signal.SIGTERM, TO_SAVE), (signal.SIGKILL, 10)):
        if end is not None:
            os.killpg(process.pid, end)
        try:
            code = process.wait(patience)
            return code if end is None else None
        except subprocess.TimeoutExpired:
            pass


def main():
    options = parser().parse_args()
    if os.path.exists(options.out):
        raise UserError('--out %s is there already: name a new folder' % options.out)
    os.makedirs(options.out)
    variables, until, failed = environment(options), time.time() + 60 * options.minutes, []
    log = subprocess.Popen(['tee', os.path.join(options.out, 'log.txt')], stdin=subprocess.PIPE)

    def say(text):
        log.stdin.write((text + '\n').encode())
        log.stdin.flush()

    for step in steps(options):
        left = until - time.time() - TO_SAVE
        if left < 10:
            say('\n=== %s: no time is left' % step.name)
            continue
        say('\n=== %s: %s' % (step.name, ' '.join(step.command[:2])))
        begin = time.time()
        try:
            code = do(step, min(left, step.seconds or left), variables, log.stdin)
        except OSError as error:
            say(str(error))
            code = 127
        say('=== %s: %.1f s, %s' % (step.name, time.time() - begin, 'its time was over'
                                    if code is None else 'exit code %d' % code))
        if code and step.name != 'card':
            failed.append(step.name)
    say('\n=== failed: %s' % (', '.join(failed) or 'nothing'))
    log.stdin.close()
    log.wait()
    return 1 if failed else 0


if __name__ == '__main__':
    run(main)
