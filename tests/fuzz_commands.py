"""Random calls of all programs with damaged files, hostile names, full disks, signals, outputs that
nobody reads, and killed workers.

    .venv/bin/python tests/fuzz_commands.py --count 300 --seed 0

Each call gets a copy of a small world: images, a map file, a run, networks, statistics, latents. A
few files of it are damaged or replaced, the call is put together at random, and then

- it ends within a minute, with exit code 0, or with 2 and one sentence; with that of a signal that
  it was sent, and with 141 if nobody reads its result;
- neither a traceback nor a call stack is printed, and no temporary file is left;
- no file that was there before has changed, unless the call named it as an output and said --force,
  or it is a file that the run in --out wrote itself.

A call depends on its seed alone, except for what it does when a signal comes: --seed N --count 1
--keep DIR repeats it and keeps its folder.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT = 60                                    # seconds for a call
SMALL = ['--image-size', '32', '--width', '2', '--batch-size', '4', '--iterations', '3',
         '--sample-every', '1', '--checkpoint-every', '1', '--latent-size', '5']
SMALL_TEXT = ['--text', '--length', '6', *SMALL[2:], '--score-every', '1', '--score-count', '10']
HOSTILE = ['a b', 'a\nb', '-x', "it's", '"q"', '$x$', '%d', 'ü名', os.fsdecode(b'lat\xe9in'), '.hid',
           'x' * 200, '[1]', '~', '{0}', 'a\\b', '\x1b[31m']


def make_world(folder):
    """What a user may have; made with the programs themselves."""
    import cv2
    from draw_faces import draw_face
    from helpers import onnx_network
    rng = np.random.RandomState(0)
    for name in ('pics', 'more/sub'):
        os.makedirs(os.path.join(folder, name))
        for i in range(8):
            cv2.imwrite(os.path.join(folder, name, '%d.png' % i),
                        cv2.GaussianBlur(rng.randint(0, 256, (40, 40, 3)).astype(np.uint8),
                                         (0, 0), 3))
    for i in (2, 3, 5):                         # drawn faces that are taken for faces
        face, _ = draw_face(200, np.random.RandomState(i))
        cv2.imwrite(os.path.join(folder, 'more', 'photo %d.jpg' % i), face[:, :, ::-1])
    with open(os.path.join(folder, 'map.txt'), 'w') as file:
        file.writelines('pics/%d.png\t%d\n' % (i, i % 3) for i in range(8))
    with open(os.path.join(folder, 'addresses.txt'), 'w') as file:
        file.write('http://127.0.0.1:9/a.jpg\nfile:///etc/passwd\nnonsense\n')
    with open(os.path.join(folder, 'notes.txt'), 'w') as file:
        file.write('mine')
    with open(os.path.join(folder, 'lines.txt'), 'w', encoding='utf-8') as file:
        file.writelines(''.join(rng.choice(list('abcü'), rng.randint(1, 9))) + '\n'
                        for _ in range(40))
    onnx_network(os.path.join(folder, 'net.onnx'))
    np.save(os.path.join(folder, 'z.npy'), rng.randn(6, 5).astype(np.float32))
    for call in (['wgan_training.py', '--data', 'pics', '--out', 'run', *SMALL],
                 ['wgan_training.py', '--data', 'lines.txt', '--out', 'trun', *SMALL_TEXT],
                 ['wgan_export.py', 'run', '--out', 'g.onnx'],
                 ['wgan_generate.py', 'run', '--out', 'grid.png'],
                 ['inception_score.py', 'pics', '--inception', 'net.onnx', '--scale', 'raw',
                  '--splits', '2', '--save-statistics', 'stats.npz']):
        subprocess.run([sys.executable, os.path.join(ROOT, call[0])] + call[1:], cwd=folder,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    own = {os.path.join(run, name) for run in ('run', 'trun')
           for name in files_of(os.path.join(folder, run))}
    for name in ('run/mine.txt', 'run/samples/mine.png'):
        shutil.copy(os.path.join(folder, 'notes.txt'), os.path.join(folder, name))
    return own


def files_of(folder):
    """{path below the folder: SHA-256} of all regular files; links are not followed."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, 'rb') as file:
                    found[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return found


class Call:
    """A random call: `arguments`, `environment`, `limit` for files in bytes or None, `fault`: what
    happens to it from outside, `moment`: after how many seconds; if `later`, of those since it
    handles signals.
    """

    FAULTS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGXCPU', 'stdout closed',
              'stderr closed', 'both closed', 'stdout full', 'stderr full', 'both full']

    def __init__(self, seed, world):
        self.rng, self.world = np.random.RandomState(seed), world
        self.outputs, self.damaged = [], []
        self.fault = self._one(self.FAULTS) if self.rng.rand() < 0.6 else None
        for _ in range(0 if self.fault and self.rng.rand() < 0.7
                       else self.rng.choice([0, 1, 1, 1, 2, 3])):
            self._damage()
        tool = self._one(['training'] * 3 + ['text'] * 2 + [
            'generate', 'generate', 'walk', 'export', 'score', 'score', 'plot', 'animate',
            'page', 'project', 'copies', 'prepare', 'draw', 'download', 'convert'])
        self.arguments = getattr(self, '_' + tool)()
        self.environment = dict(os.environ, COLUMNS='80')
        if self.rng.rand() < 0.25:
            self.environment.update(LC_ALL='C', LANG='C')
        self.limit = int(self._one([0, 100, 3000, 30000])) if self.rng.rand() < 0.15 else None
        if tool == 'prepare' and self.rng.rand() < 0.5:
            self.fault = 'worker killed'
        self.moment = self.rng.uniform(0, self._one([0.3, 3]))
        self.later = self.rng.rand() < 0.8

    def _one(self, options):
        return options[self.rng.randint(len(options))]

    def _some(self, flags):
        """A few options of a dict of flag → values; a flag without values stands alone."""
        chosen = []
        count = self._one([0] * 6 + [1, 1, 1, 2, 4])
        for flag in self.rng.permutation(sorted(flags))[:count]:
            chosen += [str(flag)] + ([self._one(flags[flag])] if flags[flag] else [])
        return chosen

    def _damage(self):
        """Something that may happen to a file."""
        path = os.path.join(self.world, self._one(sorted(files_of(self.world))))
        with open(path, 'rb') as file:
            data = bytearray(file.read())
        how = self._one(['flip', 'flip', 'cut', 'cut', 'empty', 'noise', 'folder', 'fifo',
                         'dangling', 'swap', 'gone', 'line', 'text', 'rename'])
        self.damaged.append('%s %s' % (how, os.path.relpath(path, self.world)))
        if how == 'rename':
            os.rename(path, os.path.join(os.path.dirname(path), self._one(HOSTILE)
                                         + os.path.splitext(path)[1]))
            return
        if how == 'flip':
            for i in self.rng.randint(0, max(len(data), 1), 12 if data else 0):
                data[i] = self.rng.randint(256)
        elif how == 'cut':
            data = data[:self.rng.randint(len(data) + 1)]
        elif how == 'noise':
            data = self.rng.bytes(300)
        elif how == 'line':
            at = self.rng.randint(len(data) + 1)
            data[at:at] = self._one([b'\n', b'\n\n', b'nan,nan\n', b';', b'1e999\n', b'\xff\xfe',
                                     b'-1,', b'{"a": 1}', b'\x00'])
        elif how == 'text':
            data = self._one([b'[1]', b'{}', b'null', b'{"settings": {"seed": "x"}}', b'1,2,3\n',
                              b'step\n', b'\xef\xbb\xbfstep,G_loss,C_loss\n1,2,3\n', b'"', b'NaN'])
        elif how == 'swap':
            with open(os.path.join(self.world, self._one(sorted(files_of(self.world)))),
                      'rb') as file:
                data = file.read()
        os.remove(path)
        if how == 'folder':
            os.mkdir(path)
        elif how == 'fifo':
            os.mkfifo(path)
        elif how == 'dangling':
            os.symlink('nowhere', path)
        elif how != 'gone':
            with open(path, 'wb') as file:
                file.write(data)

    def _output(self, *suffixes):
        """A name to write: new, existing, hostile, or where nothing can be written."""
        name = self._one(HOSTILE + ['new'] * 30 + ['no/such', '/proc/x', '.', '', '/dev/full'])
        if name not in ('.', ''):
            name += suffixes[0] if self.rng.rand() < 0.6 else self._one(suffixes)
        if self.rng.rand() < 0.1:
            name = self._one(sorted(files_of(self.world)) + ['pics', 'run', 'more'])
        if self.rng.rand() < 0.1:
            name = os.path.join(self.world, name)
        self.outputs.append(name)
        return name if name.startswith(('/', '.')) or not name.startswith('-') else './' + name

    def _source(self):
        return self._one(['pics'] * 12 + [
            'more', 'map.txt', 'map.txt', 'run', 'run', '.', 'run/samples', 'notes.txt', 'nowhere',
            'net.onnx', 'run/wgan_generator.model', 'g.onnx', 'z.npy', 'stats.npz', '/dev/null',
            ''])

    def _network(self):
        return self._one(['net.onnx'] * 12 + [
            'g.onnx', 'notes.txt', 'run', 'run/wgan_critic.model', 'nowhere'])

    def _training(self):
        out = self._one(['run'] * 5 + ['new'] * 3 + [
            '.', 'pics', 'pics/run', 'more', 'notes.txt', self._one(HOSTILE)])
        self.outputs.append(out)
        how = [[], ['--resume'], ['--resume'], ['--overwrite'], ['--overwrite'],
               ['--resume', '--iterations', '5'], ['--resume', '--overwrite']]
        small = [] if self.rng.rand() < 0.1 else SMALL
        data = [] if self.rng.rand() < 0.2 else ['--data', self._source()]
        score = ['--inception', self._network(), '--score-every', '1', '--score-count',
                 self._one(['10', '10', '20', '4'])] if self.rng.rand() < 0.2 else []
        arguments = ['--out', out if not out.startswith('-') else './' + out,
                     *data, *small, *score, *self._one(how)]
        return ['wgan_training.py'] + arguments + self._some({
            '--objective': ['wgan', 'gan', 'dragan', 'gan-r1', 'r3gan', 'sn-gan', 'ls-gan',
                            'none'],
            '--learning-rate': ['1e30', 'inf', '0', 'nan', '-1'],
            '--batch-size': ['3', '9', '0', '1'], '--ema': ['0', '1', '0.5'], '--seed': ['-1', '7'],
            '--iterations': ['1', '4', '5'], '--no-mirror': [], '--minimax': [], '--clip': ['0.1'],
            '--preset': ['wgan-paper', 'article', 'x'], '--margin-weight': ['0', '1e9', '-1'],
            '--weight-decay': ['0', '0.1'], '--n-critic-boost': ['0', '3', '-1'],
            '--brightness': ['2', '0'], '--device': ['cpu', 'cpu', 'gpu'], '--deterministic': [],
            '--augment': [], '--start-from': ['run', 'pics', 'nowhere', ''], '--page': [],
            '--hold-out': ['0.3', '0.9', '0.001', '1'], '--labels': ['map', 'folders', 'x'],
            '--channels': ['1', '3', '2'], '--network': ['resnet', 'dcgan', 'x'],
            '--allow-change': ['learning-rate', 'data', 'batch-size', 'x', '']})

    def _text(self):
        out = self._one(['trun'] * 5 + ['new'] * 3 + ['run', 'lines.txt', self._one(HOSTILE)])
        self.outputs.append(out)
        data = [] if self.rng.rand() < 0.2 else ['--data', self._one(
            ['lines.txt'] * 6 + ['map.txt', 'notes.txt', self._source()])]
        how = [[], ['--resume'], ['--resume', '--iterations', '5'], ['--overwrite']]
        return ['wgan_training.py', '--out', out if not out.startswith('-') else './' + out,
                *data, *SMALL_TEXT, *self._one(how)] + self._some({
                    '--length': ['3', '4', '900'], '--long-lines': ['cut', 'drop', 'x'],
                    '--image-size': ['32'], '--augment': [], '--hold-out': ['0', '0.9', '0.01'],
                    '--start-from': ['trun', 'run', 'pics', ''], '--preset': ['article'],
                    '--objective': ['wgan', 'gan', 'dragan', 'gan-r1', 'r3gan', 'sn-gan', 'ls-gan'],
                    '--seed': ['3'], '--network': ['resnet'], '--page': [],
                    '--batch-size': ['1', '99'], '--learning-rate': ['1e30'],
                    '--allow-change': ['data', 'batch-size'], '--inception': ['net.onnx']})

    def _generator(self):
        return self._one(['run'] * 4 + ['trun'] * 2 + ['g.onnx', self._source()])

    def _latents(self):
        return ['--save-latents', self._output('.npy', '')] if self.rng.rand() < 0.2 else []

    LATENTS = {'--latents': ['z.npy', 'stats.npz', 'notes.txt', 'pics', 'nowhere'],
               '--scale': ['2', '0'], '--truncation': ['0.5', 'inf', '1e30'], '--force': [],
               '--seed': ['3', '-3', '1e3'], '--batch-size': ['1', '7'],
               '--label': ['0', 'a,b', '', 'ü']}

    def _generate(self):
        return ['wgan_generate.py', self._generator(), '--out', self._output(
            '.png', '.jpg', '.pgm', '.bmp', '.txt', '')] + self._latents() + self._some(dict(
                self.LATENTS, **{
                    '--count': ['0', '3', '5'], '--unique': [], '--rows': ['1', '-1', '2'],
                    '--columns': ['3'], '--border': ['2']}))

    def _walk(self):
        return ['wgan_walk.py', self._generator(), '--out', self._output(
            '.png', '.jpg', '.gif', '.mp4', '.txt', '')] + self._latents() + self._some(dict(
                self.LATENTS, **{'--count': ['2', '3', '1'], '--steps': ['2', '3'],
                                 '--linear': [], '--directions': ['2', '0', '9', '-1']}))

    def _export(self):
        return ['wgan_export.py', self._generator(), '--out', self._output('.onnx', '')
                ] + self._some({'--force': []})

    def _score(self):
        return ['inception_score.py', self._source(), '--inception', self._network(),
                '--count', self._one(['4', '20', '20']),
                '--splits', self._one(['2', '2', '2', '1', '100'])] + (
            ['--reference', self._source()] if self.rng.rand() < 0.5 else []) + (
            ['--json', self._output('.json')] if self.rng.rand() < 0.3 else []) + (
            ['--save-statistics', self._output('.npz', '')] if self.rng.rand() < 0.3 else []) + (
            ['--neighbours', self._output('.png', '.gif')] if self.rng.rand() < 0.3 else []
        ) + self._some({
            '--scale': ['raw', 'torchvision'], '--force': [],
            '--resize': ['opencv'], '--engine': ['cntk', 'onnxruntime'], '--seed': ['1'],
            '--features-output': ['pool', 'x'], '--batch-size': ['1', '5'],
            '--classes-output': ['logits', 'pool'], '--labels': ['map', 'folders']})

    def _plot(self):
        sources = ['run/wgan.csv'] * 8 + [
            'run/scores.csv', 'notes.txt', 'pics', 'map.txt', 'run', 'nowhere', 'z.npy']
        return ['plot_losses.py'] + [self._one(sources) for _ in range(self.rng.randint(1, 4))] + [
            '--out', self._output('.png', '.pdf', '.svg', '.txt', '')] + self._some({
                '--smooth': ['0.9', '1', 'nan'], '--force': []})

    def _animate(self):
        name = [n for n in ('wgan_animate.py', 'wgan_animate.py')
                if os.path.exists(os.path.join(ROOT, n))][0]
        return [name, self._one(['run', 'run', 'run', self._source()]), '--out',
                self._output('.gif', '.mp4', '.png')] + self._some({'--force': []})

    def _page(self):
        return ['wgan_page.py'] + [self._one(['run', 'run', 'run', self._source()])
                                   for _ in range(self.rng.randint(1, 3))] + [
            '--out', self._output('.html', '.html', '.png')] + (
            ['--neighbours', self._source()] if self.rng.rand() < 0.4 else []
        ) + self._some({'--force': []})

    EFFORT = {'--starts': ['1', '2', '0'], '--seed': ['3', '-3'], '--force': []}

    def _project(self):
        return ['wgan_project.py', self._generator()] + [
            self._one(['pics', 'pics/1.png', 'more', self._source()])
            for _ in range(self.rng.randint(1, 3))] + [
            '--out', self._output('', '.png'), '--steps', self._one(['1', '3', '3'])] + self._some(
                dict(self.EFFORT, **{'--label': ['0', 'a,b', ''], '--scale': ['2', '40000']}))

    def _copies(self):
        return ['wgan_copies.py', self._generator(), '--out', self._output('.png', '.svg', ''),
                '--held-out', self._one(['more', 'pics', self._source()]),
                '--steps', '2'] + self._some(dict(self.EFFORT, **{
                    '--training': ['pics', 'map.txt', self._source()], '--count': ['20', '1'],
                    '--json': [self._output('.json', '')]}))

    def _prepare(self):
        return ['data/prepare_faces.py', self._source(), '--out', self._output('')] + self._some({
            '--size': ['32', '32', '0', '8'],
            '--margin': ['0.5', '0', '-1'], '--min-face': ['20', '60']})

    def _draw(self):
        return ['data/draw_faces.py', '--out', self._output(''), '--count', self._one(
            ['1', '3', '0'])] + self._some({'--size': ['16', '1', '0'], '--seed': ['5', '-5'],
                                            '--force': []})

    def _download(self):
        return ['data/download_images.py', self._one(['addresses.txt', self._source()]), '--out',
                self._output(''), '--seconds', '2'] + self._some({'--parallel': ['1', '99'],
                                                                  '--max-size': ['1', '0']})

    def _convert(self):
        return ['data/convert_inception.py', '--out', self._output('.onnx'), '--weights',
                self._source()] + self._some({'--force': [], '--unverified': []})

    def may_change(self, path, own):
        """Whether the call may change or remove a file that was there before."""
        training = self.arguments[0] == 'wgan_training.py'
        if training and {'--resume', '--overwrite'} & set(self.arguments):
            return path in own
        if '--force' not in self.arguments or training:
            return False
        target = os.path.join(self.world, path)
        places = [os.path.normpath(os.path.join(self.world, o)) for o in self.outputs]
        return any(target == place or target.startswith(place + os.sep) for place in places)


def run(call):
    """(exit code, or 'timeout'; stderr; stdout)."""
    def limit():
        if call.limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (call.limit, call.limit))

    stream, _, how = (call.fault or '').partition(' ')
    broken = {name: how for name in ('stdout', 'stderr') if stream in (name, 'both')}
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, call.arguments[0])] + call.arguments[1:],
        cwd=call.world, env=call.environment, stdin=subprocess.DEVNULL, preexec_fn=limit,
        **{name: open('/dev/full', 'wb') if broken.get(name) == 'full' else subprocess.PIPE
           for name in ('stdout', 'stderr')})
    closed = [getattr(process, name) for name, how in broken.items() if how == 'closed']
    disturber = threading.Thread(target=disturb, args=(process, call, closed))
    disturber.start()
    try:
        if closed:                              # what a program writes to it fits into the pipe
            process.wait(TIMEOUT)
            out, err = (b'' if stream is None or stream in closed or stream.closed
                        else stream.read() for stream in (process.stdout, process.stderr))
        else:
            out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 'timeout', '', ''
    finally:
        disturber.join()
    return process.returncode, (err or b'').decode(errors='replace'), (out or b'').decode(
        errors='replace')


def handles_signals(process):
    """Whether a program has begun, going by what /proc says of the signals that it catches."""
    with open('/proc/%d/status' % process.pid) as file:
        caught = [int(line.split()[1], 16) for line in file if line.startswith('SigCgt')]
    return bool(caught and caught[0] >> signal.SIGUSR1 - 1 & 1)


def disturb(process, call, closed):
    """What happens to a program from outside."""
    fault = call.fault or ''
    while call.later and process.poll() is None and not handles_signals(process):
        time.sleep(0.02)
    time.sleep(call.moment)
    if process.poll() is not None:
        return
    for stream in closed:
        stream.close()
    if fault.startswith('SIG'):
        process.send_signal(getattr(signal, fault))
    while fault == 'worker killed' and process.poll() is None:
        for child in subprocess.run(['pgrep', '-P', str(process.pid)],
                                    stdout=subprocess.PIPE).stdout.split()[:1]:
            os.kill(int(child), signal.SIGKILL)
            return
        time.sleep(0.01)


# What Python prints if Ctrl-C comes before it has begun with the first import of the program.
PYTHON_STARTS = ('Fatal Python error: Py_Initialize|Failed to import the site module|'
                 'failed to set __main__.__loader__|'
                 r'^Traceback.*\n  File .*, in <module>\n.*\nKeyboardInterrupt\n$')


def allowed_codes(fault):
    """Exit codes that are right, apart from 0 and 2: where a signal came early, it ends Python."""
    if fault and fault.startswith('SIG'):
        number = getattr(signal, fault)
        return (128 + number, -number)
    return (141,) if fault in ('stdout closed', 'both closed') else ()


def faults(call, before, own):
    """Sentences on what is wrong with a call and what it left; an empty list if nothing is."""
    code, err, out = run(call)
    if call.fault == 'SIGINT' and re.search(PYTHON_STARTS, err):
        code, err = -signal.SIGINT, ''          # Python's own words, before the program began
    found = []
    if code not in (0, 2) + allowed_codes(call.fault):
        found.append('exit code %s' % code)
    if 'Traceback' in err + out or 'CALL STACK' in err + out or 'Exception ignored' in err:
        found.append('a traceback')
    heard = call.fault is None or not call.fault.startswith(('stderr', 'both'))
    if code == 2 and heard and sum(
            line.startswith('error: ') for line in err.splitlines()) != 1:
        found.append('not one sentence')
    after = files_of(call.world)
    # --overwrite renames a run, with all that lies in it: run/x is run.1/x then.
    renamed = {re.sub(r'\.\d+/', '/', path, 1): digest for path, digest in after.items()}
    for path, digest in before.items():
        is_kept = digest in (after.get(path), renamed.get(path))
        if not is_kept and not call.may_change(path, own):
            found.append('%s is %s' % (ascii(path), 'changed' if path in after else 'gone'))
    found += ['%s is left' % ascii(path) for path in after if '.partial' in path
              and path not in before and 'checkpoints' not in path]
    return found, code, err


def one(seed, template, own, keep):
    folder = os.path.join(keep or tempfile.mkdtemp(), 'world')
    shutil.copytree(template, folder)
    try:
        call = Call(seed, folder)
        found, code, err = faults(call, files_of(folder), own)
        if found or keep:
            print('seed %d: %s\n  damaged: %s\n  limit %s, LC_ALL %s, %s, code %s\n  %s\n  %s' % (
                seed, '; '.join(found) or 'as it should be', ', '.join(map(ascii, call.damaged)),
                call.limit, call.environment.get('LC_ALL'), call.fault and '%s after %.1f s' % (
                    call.fault, call.moment), code,
                ' '.join(map(ascii, call.arguments)), '\n  '.join(err.splitlines()[-4:])),
                flush=True)
        return code, bool(found), call.arguments[0], call.fault
    finally:
        if not keep:
            shutil.rmtree(os.path.dirname(folder))


def main():
    parser = argparse.ArgumentParser(description='Call all programs at random.')
    parser.add_argument('--count', type=int, default=300)
    parser.add_argument('--seed', type=int, default=0, help='of the first call')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='calls at a time')
    parser.add_argument('--keep', metavar='DIR', help='with --count 1: leave the files here')
    options = parser.parse_args()
    sys.path[:0] = [ROOT, os.path.join(ROOT, 'tests'), os.path.join(ROOT, 'data')]
    with tempfile.TemporaryDirectory() as template:
        own = make_world(template)
        with ThreadPoolExecutor(options.jobs) as pool:
            seeds = range(options.seed, options.seed + options.count)
            results = list(pool.map(lambda s: one(s, template, own, options.keep), seeds))
    codes = [code for code, *_ in results]
    bad = sum(fault for _, fault, *_ in results)
    for tool in sorted({tool for _, _, tool, _ in results}):
        of_tool = [code for code, _, name, _ in results if name == tool]
        print('%-28s %4d calls, %d ended well, %d with a sentence' % (
            tool, len(of_tool), of_tool.count(0), of_tool.count(2)))
    for fault in Call.FAULTS + ['worker killed']:
        of_fault = [code for code, _, _, name in results if name == fault]
        print('%-28s %4d calls, %s' % (fault, len(of_fault), ', '.join(
            '%d × %s' % (of_fault.count(code), code) for code in sorted(set(of_fault), key=str))))
    print('%d calls: %d ended well, %d with a sentence, %d were faulty'
          % (len(results), codes.count(0), codes.count(2), bad))
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())
