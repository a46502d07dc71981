"""Which device CNTK computes on: the CPU, or a card that it has code for.

CNTK 2.7 was built for NVIDIA cards of compute capability 3.0 to 7.0; that code runs on 7.5 as well:
Kepler to Turing. It does not list older cards. Newer ones it takes without a word: the driver then
compiles for them, which takes long, and may not work. docs/gpu.md says what is known.
"""

import ctypes
import os
import sys
from collections import namedtuple

from wgan import processes, signals
from wgan.cntk import C, CPU_KERNELS, LIBRARIES, quiet
from wgan.command_line import UserError, gpu_failure, warn

FIRST, LAST = (3, 0), (7, 5)                    # compute capabilities that there is code for

# name: for people. capability: its compute capability, (major, minor). memory: in MB.
# device: CNTK's, or None if CNTK does not list it.
Card = namedtuple('Card', 'name capability memory device')


def add_device_option(parser):
    parser.add_argument('--device', choices=('auto', 'cpu', 'gpu'), default='auto',
                        help='auto takes a GPU if CNTK has code for one')


def select_device(name, memory=0):
    """Make CNTK compute on 'cpu', on 'gpu', or, for 'auto', on a GPU that it has code for.

    memory: what the work takes at least, in MB.
    Of several GPUs the first that will do is taken; of several processes of a machine, each takes
    its own. A GPU that may not do is taken for 'gpu' only; what is known of it is said either way.
    Returns 'cpu' or 'gpu'. Raises UserError if a GPU is asked for and CNTK finds none.
    """
    if name == 'cpu':
        return _use('cpu', C.device.cpu())
    cards = cntk_cards() or driver_cards()
    listed = [card for card in cards if card.device is not None]
    good = [card for card in listed if doubt(card, memory) is None]
    if name == 'gpu' and not listed:
        raise UserError('--device gpu: %s; or use --device cpu' % (
            doubt(cards[0], memory) if cards else
            'CNTK finds no GPU. It needs an NVIDIA card of compute capability %s to %s with its '
            'driver, and the cntk-gpu package ("make setup DEVICE=gpu")' % shown(FIRST, LAST)))
    if name == 'auto' and not good:
        if cards:
            warn('the CPU computes: %s. --device cpu chooses it without this warning%s' % (
                doubt(cards[0], memory), ', --device gpu tries the card' if listed else ''))
        return _use('cpu', C.device.cpu())
    if not good:
        warn(doubt(listed[0], memory) + '. If it fails, use --device cpu, or an older card')
    usable = good or listed
    _note_slow_sums(usable)
    return _use('gpu', usable[processes.LOCAL_RANK % len(usable)].device)


def kernels(device):
    """What computes the convolutions on a device, 'cpu' or 'gpu'."""
    return CPU_KERNELS if device == 'cpu' else 'cuDNN'


def doubt(card, memory=0):
    """Why a card may not do, as a part of a sentence; None if nothing is known against it."""
    what = 'the %s has compute capability %s' % (card.name, *shown(card.capability))
    has = 'CNTK 2.7 has code for %s to %s' % shown(FIRST, LAST)
    if card.capability < FIRST:
        return '%s, and %s' % (what, has)
    if card.device is None and not has_gpu_part():
        return ('this is CNTK for the CPU, and the %s needs that for the GPU; "make setup '
                'DEVICE=gpu" installs it' % card.name)
    if card.device is None:
        return ('CNTK does not list the %s; its driver must be at least 410.48 (Windows: 411.31), '
                'for CUDA 10.0' % card.name)
    if card.capability > LAST:
        return ('%s, and %s: the driver first compiles it for this card, which can take half an '
                'hour without a word, and it is reported to hang or fail there' % (what, has))
    if card.memory < memory:
        return ('the %s has %d MB of memory, and this takes %d or more; a smaller --batch-size, '
                '--image-size or --width takes less' % (card.name, card.memory, memory))
    return None


def shown(*capabilities):
    """Compute capabilities as NVIDIA writes them."""
    return tuple('%d.%d' % capability for capability in capabilities)


def cntk_cards():
    """The cards that CNTK lists."""
    gpu = C.device.DeviceKind.GPU
    found = [(device, C.device.get_gpu_properties(device))
             for device in C.device.all_devices() if device.type() == gpu]
    return [Card(p.name, (p.version_major, p.version_minor), p.total_memory, device)
            for device, p in found]


def driver_cards():
    """The cards that NVIDIA's driver lists, as it orders them; none without a driver.

    CNTK says nothing of cards that it can't use, and its package for the CPU of none.
    """
    try:
        cuda = ctypes.CDLL('nvcuda.dll' if sys.platform == 'win32' else 'libcuda.so.1')
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


def has_gpu_part():
    """Whether CNTK is the package cntk-gpu."""
    return any('cudart' in name for name in os.listdir(LIBRARIES))


def _note_slow_sums(cards):
    """Say so if CNTK will not use NCCL, which sums gradients from card to card."""
    if processes.LOCAL_COUNT > len(cards):
        warn('%d processes of this machine see %d GPU%s: CNTK then adds gradients up on the host, '
             'not with NCCL, which is slower. Start a process for each card, and let each see all '
             'cards (CUDA_VISIBLE_DEVICES the same for all)' % (
                 processes.LOCAL_COUNT, len(cards), 's' * (len(cards) > 1)))


def _use(name, device):
    with quiet(), signals.deadly():             # nothing is begun yet
        try:
            C.device.try_set_default_device(device)
            C.plus([0.0], [0.0]).eval()         # names the device, and has the driver compile
        except RuntimeError as error:
            raise UserError(gpu_failure(error) or str(error))
    return name
