"""Which device CNTK computes on: the CPU, or a card, and with which cuDNN.

CNTK 2.7 was built for NVIDIA cards of compute capability 3.0 to 7.0; that code runs on 7.5 as well:
Kepler to Turing. It does not list older cards. For newer ones the driver compiles CNTK's kernels
once, and cuDNN 9 takes the place of cuDNN 7 (cudnn.py). docs/gpu.md says what is known.
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

FIRST, LAST = (3, 0), (7, 5)                    # compute capabilities that there is code for
FIRST_WITH_TF32 = (8, 0)
DRIVERS = {12: '525.60.13', 13: '580.65.06'}    # the first for each version of CUDA, on Linux
KERNELS = {'gpu': 'cuDNN'}                      # what computes convolutions

# name: for people. capability: its compute capability, (major, minor). memory: in MB.
# device: CNTK's, or None if CNTK does not list it.
Card = namedtuple('Card', 'name capability memory device')


def add_device_option(parser):
    parser.add_argument('--device', choices=('auto', 'cpu', 'gpu'), default='auto',
                        help='auto takes a GPU if there is one that will do')


def select_device(name, memory=0, tf32=False):
    """Make CNTK compute on 'cpu', on 'gpu', or, for 'auto', on a GPU that will do.

    memory: what the work takes at least, in MB. tf32: whether a GPU may round to TF32.
    Of several GPUs the first that will do is taken; of several processes of a machine, each takes
    its own. A GPU that may not do is taken for 'gpu' only; what is known of it is said either way.
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
    """The Card to compute on, or None for the CPU: see select_device."""
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
    """Whether cuDNN 9 is to compute on a card: on newer ones, and where the user says so.

    The environment variable WGAN_CUDNN is the switch: 7, which CNTK has by itself, or 9.
    """
    wanted = os.environ.get('WGAN_CUDNN') or ('9' if card.capability > LAST else '7')
    if wanted not in ('7', '9'):
        raise UserError('WGAN_CUDNN is %r: choose 7 or 9' % wanted)
    return wanted == '9'


def obstacle_to_cudnn_9():
    """Why cuDNN 9 can't be used here, as a part of a sentence; None if nothing is known of it."""
    try:
        cuda = cudnn.load().cuda
    except Unavailable as error:
        return '%s; "make setup DEVICE=gpu CUDNN=9" installs it' % error
    return driver_too_old(cuda)


def driver_too_old(cuda):
    """Why the driver can't be used with a version of CUDA, as a part of a sentence; None if it can.
    """
    version = driver_cuda()
    if version is not None and version[0] < cuda:
        return 'it needs a driver for CUDA %d%s, and this one is for CUDA %d.%d' % (
            cuda, ' (%s or newer)' % DRIVERS[cuda] if cuda in DRIVERS else '', *version)
    return None


def driver_cuda():
    """The version of CUDA that NVIDIA's driver is for, (major, minor); None without a driver."""
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
    """What computes the convolutions on a device, 'cpu' or 'gpu'."""
    return cpu_kernels() if device == 'cpu' else KERNELS[device]


def doubt(card, memory=0):
    """Why a card may not do, as a part of a sentence; None if nothing is known against it."""
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
    """The cards that NVIDIA's driver lists, as it orders them; none without a driver.

    CNTK says nothing of cards that it can't use, and its package for the CPU of none.
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
    # The name on Windows was not tried; it stays, since CNTK has packages for it.
    return ctypes.CDLL('nvcuda.dll' if sys.platform == 'win32' else 'libcuda.so.1')


def has_gpu_part():
    """Whether CNTK is the package cntk-gpu."""
    return any('cudart' in name for name in os.listdir(libraries()))


def _note_slow_sums(cards, count):
    """Say so if CNTK will not use NCCL, which sums gradients from card to card.

    count: how many processes this machine has.
    """
    if count > len(cards):
        warn('%d processes of this machine see %d GPU%s: CNTK then adds gradients up on the host, '
             'not with NCCL, which is slower. Start a process for each card, and let each see all '
             'cards (CUDA_VISIBLE_DEVICES the same for all)' % (
                 count, len(cards), 's' * (len(cards) > 1)))


@contextlib.contextmanager
def _waiting_explained(card):
    """Say what takes so long, if it does, and that it goes on: on a card that CNTK has no code for.

    CNTK keeps Python's lock meanwhile, so a small process says it. It ends with this one.
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
         'minute, %s' % (card.name, storage)], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()


SAY_WHILE_WAITING = """
import select, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
texts, seconds = [sys.argv[1]], 2
while not select.select([sys.stdin], [], [], seconds if texts else 10)[0]:
    if not texts:
        seconds += 10
    print(texts.pop() if texts else 'still compiling after %d s' % seconds, file=sys.stderr)
"""


def _use(name, device):
    with quiet(), signals.deadly():             # nothing is begun yet
        try:
            C.device.try_set_default_device(device)
            C.plus([0.0], [0.0]).eval()         # names the device, and has the driver compile
        except RuntimeError as error:
            raise UserError(gpu_failure(error) or str(error))
    return name
