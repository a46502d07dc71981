"""Selects the device for CNTK: the CPU or a GPU, and the version of cuDNN.

CNTK 2.7 was built for NVIDIA cards of compute capability 3.0 to 7.0, and that code also runs on 7.5
(Kepler to Turing). CNTK does not list older cards. For newer cards the driver compiles CNTK's
kernels once, and cuDNN 9 replaces cuDNN 7 (cudnn.py). docs/gpu.md has details.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
from collections import namedtuple

from wgan.machine import cudnn, processes, signals
from wgan.machine.cntk import C, cpu_kernels, libraries, quiet
from wgan.machine.command_line import UserError, gpu_failure, warn
from wgan.machine.slots import Unavailable

FIRST, LAST = (3, 0), (7, 5)                    # compute capabilities that CNTK has code for
FIRST_WITH_TF32 = (8, 0)
DRIVERS = {12: '525.60.13', 13: '580.65.06'}    # the oldest for each version of CUDA, on Linux
KERNELS = {'gpu': 'cuDNN'}                      # the library that computes convolutions

# name: for people. capability: its compute capability, (major, minor). memory: in MB.
# device: CNTK's, or None if CNTK does not list it.
Card = namedtuple('Card', 'name capability memory device')


def add_device_option(parser):
    parser.add_argument('--device', choices=('auto', 'cpu', 'gpu'), default='auto',
                        help='auto takes a GPU if there is a suitable one')


def select_device(name, memory=0, tf32=False):
    """Makes CNTK compute on 'cpu', on 'gpu', or, with 'auto', on a suitable GPU if there is one.

    memory: the least memory that the work needs, in MB. tf32: whether a GPU may round to TF32.
    Each process of a machine takes the next suitable GPU. A GPU that may be unsuitable is only used
    for 'gpu'; a warning says why in both cases.
    Returns 'cpu' or 'gpu'. Raises UserError if a GPU is asked for and CNTK finds none.
    """
    card = _select_card(name, memory)
    if card is None:
        if tf32:
            warn('--tf32 has no effect on the CPU, which computes in full single precision')
        return _use('cpu', C.device.cpu())
    if wants_cudnn_9(card) and obstacle_to_cudnn_9() is None:
        _use_cudnn_9(card, tf32)
    elif tf32:
        warn(NO_TF32 % card.name)
    with _waiting_explained(card):
        return _use('gpu', card.device)


NO_TF32 = ('--tf32 has no effect on the %s: it takes compute capability 8.0 or newer, and cuDNN 9')


def _select_card(name, memory):
    """Returns the Card to compute on, or None for the CPU: see `select_device`."""
    if name == 'cpu':
        return None
    cards = cntk_cards() or driver_cards()
    listed = [card for card in cards if card.device is not None]
    good = [card for card in listed if doubt(card, memory) is None]
    if name == 'gpu' and not listed:
        raise UserError('--device gpu: %s; or use --device cpu' % (
            doubt(cards[0], memory) if cards else
            'CNTK finds no GPU. It needs an NVIDIA card of compute capability %s or newer with its '
            'driver, and the cntk-gpu package ("make setup DEVICE=gpu")' % dotted(FIRST)))
    if name == 'auto' and not good:
        if cards:
            warn('the CPU computes: %s. --device cpu chooses it without this warning%s' % (
                doubt(cards[0], memory), ', --device gpu tries the card' if listed else ''))
        return None
    if not good:
        warn(doubt(listed[0], memory) + '. If it fails, use --device cpu, or an older card')
    usable = good or listed
    rank, count = processes.local_place()
    _note_slow_sums(usable, count)
    return usable[rank % len(usable)]


def wants_cudnn_9(card):
    """Whether to use cuDNN 9 on a card: by default only on cards newer than CNTK's code.

    The environment variable WGAN_CUDNN selects 7 (CNTK's own) or 9.
    """
    wanted = os.environ.get('WGAN_CUDNN') or ('9' if card.capability > LAST else '7')
    if wanted not in ('7', '9'):
        raise UserError('WGAN_CUDNN is %r: choose 7 or 9' % wanted)
    return wanted == '9'


def obstacle_to_cudnn_9():
    """Returns why cuDNN 9 can't be used here, as a part of a sentence, or None."""
    try:
        cuda = cudnn.load().cuda
    except Unavailable as error:
        return '%s; "make setup DEVICE=gpu CUDNN=9" installs it' % error
    return driver_too_old(cuda)


def driver_too_old(cuda):
    """Returns why the driver can't be used with a version of CUDA, as part of a sentence, or None.
    """
    version = driver_cuda()
    if version is not None and version[0] < cuda:
        return 'it needs a driver for CUDA %d%s, and this one is for CUDA %d.%d' % (
            cuda, ' (%s or newer)' % DRIVERS[cuda] if cuda in DRIVERS else '', *version)
    return None


def driver_cuda():
    """The version of CUDA that NVIDIA's driver supports, (major, minor); None without a driver."""
    number = ctypes.c_int()
    try:
        _driver().cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return None
    return number.value // 1000, number.value % 1000 // 10


def _use_cudnn_9(card, tf32):
    has_tf32 = card.capability >= FIRST_WITH_TF32
    if tf32 and not has_tf32:
        warn(NO_TF32 % card.name)
    try:
        KERNELS['gpu'] = cudnn.install(libraries(), tf32 and has_tf32)
    except Unavailable as error:
        raise UserError('cuDNN 9 can not compute on the %s: %s; --device cpu computes without it'
                        % (card.name, error))


def kernels(device):
    """The name of the library that computes convolutions on a device, 'cpu' or 'gpu'."""
    return cpu_kernels() if device == 'cpu' else KERNELS[device]


def doubt(card, memory=0):
    """Returns why a card may be unsuitable, as a part of a sentence, or None."""
    fact = 'the %s has compute capability %s' % (card.name, *dotted(card.capability))
    has = 'CNTK 2.7 has code for %s to %s' % dotted(FIRST, LAST)
    if card.capability < FIRST:
        return '%s, and %s' % (fact, has)
    if card.device is None and not has_gpu_part():
        return ('this is CNTK for the CPU, and the %s needs that for the GPU; "make setup '
                'DEVICE=gpu" installs it' % card.name)
    if card.device is None:
        return ('CNTK does not list the %s; its driver must be at least 410.48 (Windows: 411.31), '
                'for CUDA 10.0' % card.name)
    if wants_cudnn_9(card):
        obstacle = obstacle_to_cudnn_9()
        if obstacle:
            return ('%s, and is to be used with cuDNN 9: %s. Without that CNTK takes its own '
                    'cuDNN 7, which has code for %s to %s' % (fact, obstacle, *dotted(FIRST, LAST)))
    elif card.capability > LAST:
        return ('%s, and cuDNN 7 has code for %s to %s: it is reported to hang or fail there' % (
            fact, *dotted(FIRST, LAST)))
    if card.memory < memory:
        return ('the %s has %d MB of memory, and this takes %d or more; a smaller --batch-size, '
                '--image-size or --width takes less' % (card.name, card.memory, memory))
    return None


def dotted(*capabilities):
    """Compute capabilities as NVIDIA writes them."""
    return tuple('%d.%d' % capability for capability in capabilities)


def cntk_cards():
    """The cards that CNTK lists."""
    gpu = C.device.DeviceKind.GPU
    devices = [(device, C.device.get_gpu_properties(device))
               for device in C.device.all_devices() if device.type() == gpu]
    return [Card(p.name, (p.version_major, p.version_minor), p.total_memory, device)
            for device, p in devices]


def driver_cards():
    """The cards that NVIDIA's driver lists, in its order; none without a driver.

    CNTK does not list cards that it can't use, and its package for the CPU lists none.
    """
    try:
        cuda = _driver()
    except OSError:
        return []
    number, cards = ctypes.c_int(), []
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(number)):
        return []
    for i in range(number.value):
        name, memory, device = ctypes.create_string_buffer(100), ctypes.c_size_t(), ctypes.c_int()
        major, minor = ctypes.c_int(), ctypes.c_int()
        if not any([cuda.cuDeviceGet(ctypes.byref(device), i),
                    cuda.cuDeviceGetName(name, len(name), device),
                    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device),
                    cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device),
                    cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)]):
            cards.append(Card(name.value.decode(errors='replace'), (major.value, minor.value),
                              memory.value >> 20, None))
    return cards


def _driver():
    # The Windows branch is untested. It stays, since CNTK has packages for Windows.
    return ctypes.CDLL('nvcuda.dll' if sys.platform == 'win32' else 'libcuda.so.1')


def has_gpu_part():
    """Whether CNTK is the package cntk-gpu."""
    return any('cudart' in name for name in os.listdir(libraries()))


def _note_slow_sums(cards, count):
    """Warns if CNTK will not use NCCL, which sums gradients from card to card.

    count: number of processes on this machine.
    """
    if count > len(cards):
        warn('%d processes of this machine see %d GPU%s: CNTK then adds gradients up on the host, '
             'not with NCCL, which is slower. Start a process for each card, and let each see all '
             'cards (CUDA_VISIBLE_DEVICES the same for all)' % (
                 count, len(cards), 's' * (len(cards) > 1)))


@contextlib.contextmanager
def _waiting_explained(card):
    """Explains the wait while the driver compiles kernels for a card that CNTK has no code for.

    CNTK holds Python's lock meanwhile, so a small process prints it. It ends with this one.
    """
    if card.capability <= LAST or processes.RANK:
        yield
        return
    if os.environ.get('CUDA_CACHE_DISABLE', '0') != '0':
        storage = 'and does not keep them, since CUDA_CACHE_DISABLE is set'
    else:
        storage = 'and keeps them in ' + os.environ.get('CUDA_CACHE_PATH', '~/.nv/ComputeCache')
    process = subprocess.Popen(
        [sys.executable, '-S', '-E', '-c', SAY_WHILE_WAITING,
         "the driver compiles CNTK's kernels for the %s at the first start, which takes about a "
         'minute, %s' % (card.name, storage), *map(str, SPEAK_AFTER)], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()


SPEAK_AFTER = 2, 10             # seconds: what is done at once needs no word; then the time again
SAY_WHILE_WAITING = """
import select, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
texts, seconds, pause = [sys.argv[1]], *map(int, sys.argv[2:])
while not select.select([sys.stdin], [], [], seconds if texts else pause)[0]:
    if not texts:
        seconds += pause
    print(texts.pop() if texts else 'still compiling after %d s' % seconds, file=sys.stderr)
"""


def _use(name, device):
    with quiet(), signals.deadly():             # there is no work to save yet
        try:
            C.device.try_set_default_device(device)
            C.plus([0.0], [0.0]).eval()         # makes the driver compile
        except RuntimeError as error:
            raise UserError(gpu_failure(error) or str(error))
    return name
