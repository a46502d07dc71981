"""Which device is chosen, and what is said of it: with lists of cards in the place of real ones."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys

from helpers import ROOT, SMALL, TINY, run_test_program
from wgan.machine import device, processes
from wgan.runs import resuming
from wgan.machine.command_line import Parser, UserError, gpu_failure, run
from wgan.machine.device import Card, cntk_cards, doubt, driver_cards, select_device
from wgan.machine.slots import Unavailable
from wgan.training.image_run import ImageRun
from wgan.training.options import parse
from wgan.training.text_run import TextRun

import pytest

GTX_1060 = ('GeForce GTX 1060 6GB', (6, 1), 6078)
GTX_580 = ('GeForce GTX 580', (2, 0), 1536)
RTX_2080 = ('GeForce RTX 2080', (7, 5), 7952)
RTX_3070 = ('GeForce RTX 3070', (8, 6), 7973)
H100 = ('NVIDIA H100', (9, 0), 81000)
K80 = ('Tesla K80', (3, 7), 11441)


@pytest.fixture
def cards(monkeypatch):
    """cards(listed by CNTK, known to the driver): what select_device finds from then on.

    obstacle: to the use of cuDNN 9.
    Returns the list of the devices that it then has CNTK compute on, as their numbers or 'cpu';
    where cuDNN 9 is to compute, as a pair with whether it may round to TF32.
    """
    used = []

    def install(_, tf32):
        used.append(tf32)
        return 'cuDNN 9'

    def replace(listed=(), unlisted=(), obstacle='libcudnn.so.9 is not installed'):
        for module in (device, resuming):
            monkeypatch.setattr(module, 'cntk_cards', lambda: [
                Card(*card, device=i) for i, card in enumerate(listed)])
        monkeypatch.setattr(device, 'driver_cards', lambda: [
            Card(*card, device=None) for card in listed + unlisted])
        monkeypatch.setattr(device, 'obstacle_to_cudnn_9', lambda: obstacle)
        monkeypatch.setattr(device.cudnn, 'install', install)
        monkeypatch.setitem(device.KERNELS, 'gpu', 'cuDNN')
        monkeypatch.setattr(device, '_use', use)
        return used

    def use(name, chosen):
        chosen = 'cpu' if name == 'cpu' else chosen
        used.append((chosen, used.pop()) if used and isinstance(used[-1], bool) else chosen)
        return name
    return replace


@pytest.mark.parametrize('card', [GTX_1060, RTX_2080, K80])
@pytest.mark.parametrize('name', ['auto', 'gpu'])
def test_cards_that_there_is_code_for(cards, capfd, card, name):
    used = cards((card,))
    assert select_device(name, memory=3000) == 'gpu' and used == [0]
    assert capfd.readouterr().err == ''


def test_cpu_on_purpose(cards, capfd):
    used = cards((GTX_1060, H100))
    assert select_device('cpu') == 'cpu' and used == ['cpu']
    assert capfd.readouterr().err == ''


def test_no_card(cards, capfd):
    cards()
    assert select_device('auto') == 'cpu' and capfd.readouterr().err == ''
    with pytest.raises(UserError, match='CNTK finds no GPU.* 3.0 or newer .*make setup DEVICE=gpu'):
        select_device('gpu')


@pytest.mark.parametrize('card, said', [
    (RTX_3070, ['GeForce RTX 3070', 'capability 8.6', 'cuDNN 9: libcudnn.so.9 is not installed',
                'cuDNN 7, which has code for 3.0 to 7.5']),
    (H100, ['NVIDIA H100', 'capability 9.0', 'libcudnn.so.9 is not installed']),
    (('GeForce GTX 1050', (6, 1), 2000), ['GTX 1050', '2000 MB', '2900 or more',
                                          '--batch-size, --image-size or --width']),
])
def test_cards_in_doubt(cards, capfd, card, said):
    """auto leaves them alone and says why; gpu takes them and says what may come."""
    used = cards((card,))
    assert select_device('auto', memory=2900) == 'cpu' and used == ['cpu']
    err = capfd.readouterr().err
    assert err.count('\n') == 1 and err.startswith('warning: the CPU computes')
    assert all(words in err for words in said + ['--device cpu', '--device gpu tries'])
    assert select_device('gpu', memory=2900) == 'gpu' and used[1:] == [0]
    err = capfd.readouterr().err
    assert err.count('\n') == 1 and all(words in err for words in said + [
        'use --device cpu, or an older card' if card[1] > (7, 5) else '--device cpu'])


@pytest.mark.parametrize('card, has_gpu_part, said', [
    (GTX_580, True, ['GeForce GTX 580', 'capability 2.0', 'code for 3.0 to 7.5']),
    (GTX_580, False, ['GeForce GTX 580', 'capability 2.0', 'code for 3.0 to 7.5']),
    (GTX_1060, False, ['GTX 1060', 'CNTK for the CPU', 'make setup DEVICE=gpu']),
    (GTX_1060, True, ['GTX 1060', 'driver must be at least 410.48']),
])
def test_cards_that_cntk_does_not_list(cards, capfd, monkeypatch, card, has_gpu_part, said):
    used = cards((), (card,))
    monkeypatch.setattr(device, 'has_gpu_part', lambda: has_gpu_part)
    assert select_device('auto') == 'cpu' and used == ['cpu']
    err = capfd.readouterr().err
    assert err.count('\n') == 1 and '--device gpu' not in err
    assert all(words in err for words in said + ['--device cpu'])
    with pytest.raises(UserError) as error:
        select_device('gpu')
    assert all(words in str(error.value) for words in said + ['--device gpu', '--device cpu'])
    assert used == ['cpu']


def test_the_first_card_that_will_do(cards, capfd):
    used = cards((H100, GTX_1060, RTX_2080))
    assert [select_device(name) for name in ('auto', 'gpu')] == ['gpu', 'gpu']
    assert select_device('auto', memory=7000) == 'gpu'
    assert used == [1, 1, 2] and capfd.readouterr().err == ''


@pytest.mark.parametrize('name', ['auto', 'gpu'])
@pytest.mark.parametrize('tf32', [False, True])
@pytest.mark.parametrize('card', [RTX_3070, H100])
def test_newer_cards_with_cudnn_9(cards, capfd, name, tf32, card):
    used = cards((card,), obstacle=None)
    assert select_device(name, tf32=tf32) == 'gpu' and used == [(0, tf32)]
    assert device.kernels('gpu') == 'cuDNN 9' and capfd.readouterr().err == ''


def test_older_cards_with_cudnn_9_if_asked_for(cards, capfd, monkeypatch):
    used = cards((GTX_1060,), obstacle=None)
    assert select_device('auto') == 'gpu' and used == [0] and device.kernels('gpu') == 'cuDNN'
    monkeypatch.setenv('WGAN_CUDNN', '9')
    assert select_device('auto') == 'gpu' and used[1:] == [(0, False)]
    assert capfd.readouterr().err == ''


def test_cudnn_7_on_a_newer_card(cards, capfd, monkeypatch):
    monkeypatch.setenv('WGAN_CUDNN', '7')
    used = cards((H100,), obstacle=None)
    assert select_device('auto') == 'cpu' and used == ['cpu']
    assert 'reported to hang or fail' in capfd.readouterr().err
    assert select_device('gpu') == 'gpu' and used[1:] == [0]
    assert 'reported to hang or fail' in capfd.readouterr().err


def test_a_wrong_switch_of_cudnn(cards, monkeypatch):
    cards((H100,))
    monkeypatch.setenv('WGAN_CUDNN', 'new')
    with pytest.raises(UserError, match="WGAN_CUDNN is 'new': choose 7 or 9"):
        select_device('auto')


@pytest.mark.parametrize('listed, switch', [((), ''), ((GTX_1060,), ''), ((GTX_1060,), '9'),
                                            ((RTX_2080,), '9'), ((H100,), '7')])
def test_tf32_where_there_is_none(cards, capfd, monkeypatch, listed, switch):
    """It is said, and config.json does not claim it."""
    monkeypatch.setenv('WGAN_CUDNN', switch)
    used = cards(listed, obstacle=None)
    select_device('gpu' if listed else 'auto', tf32=True)
    assert '--tf32 has no effect on the ' in capfd.readouterr().err
    assert used in (['cpu'], [0], [(0, False)])


def test_cudnn_9_that_can_not_be_installed(cards, monkeypatch):
    def refuses(*_):
        raise Unavailable('this CNTK is another')
    cards((H100,), obstacle=None)
    monkeypatch.setattr(device.cudnn, 'install', refuses)
    with pytest.raises(UserError, match='on the NVIDIA H100: this CNTK is another; --device cpu'):
        select_device('auto')


@pytest.mark.parametrize('driver, needed, said', [
    ((12, 0), 12, None), ((12, 9), 12, None), ((13, 0), 12, None), (None, 12, None),
    ((11, 4), 12, 'a driver for CUDA 12 (525.60.13 or newer), and this one is for CUDA 11.4'),
    ((12, 9), 13, 'a driver for CUDA 13 (580.65.06 or newer), and this one is for CUDA 12.9')])
def test_the_driver_has_to_know_its_cuda(monkeypatch, driver, needed, said):
    monkeypatch.setattr(device, 'driver_cuda', lambda: driver)
    monkeypatch.setattr(device.cudnn, 'load', lambda: device.cudnn.Libraries(None, None, needed))
    assert device.obstacle_to_cudnn_9() == (said and 'it needs ' + said)


def test_the_version_of_the_driver(monkeypatch, stand_ins):
    load = ctypes.CDLL
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: load(str(stand_ins / name)))
    assert device.driver_cuda() == (12, 9)


def test_without_cudnn_9(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert 'libcudnn.so.9 is not installed' in device.obstacle_to_cudnn_9()
    assert 'make setup DEVICE=gpu CUDNN=9' in device.obstacle_to_cudnn_9()


@pytest.mark.slow
def test_waiting_is_explained(tmp_path):
    """On a newer card, while CNTK keeps Python's lock. Nothing is said of what is done at once."""
    (tmp_path / 'waits.py').write_text(
        'import ctypes, sys\nfrom wgan.machine import device\n'
        'device.C.plus = lambda *_: ctypes.PyDLL(None).usleep(int(1e6 * float(sys.argv[1]))) or x\n'
        'class x:\n    eval = staticmethod(int)\n'
        'card = device.Card("X", (9, 0), 1, device.C.device.cpu())\n'
        'device.SPEAK_AFTER = 1, 2\n'
        'with device._waiting_explained(card):\n    device._use("gpu", card.device)\n'
        'print("done")')

    def said(seconds, **variables):
        return subprocess.run(
            [sys.executable, str(tmp_path / 'waits.py'), str(seconds)], check=True,
            env=dict(os.environ, PYTHONPATH=ROOT, **variables), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE).stderr.decode()

    first = ("the driver compiles CNTK's kernels for the X at the first start, which takes about "
             'a minute, and %s\n')
    assert said(0) == ''
    assert said(4).startswith(
        first % 'keeps them in ~/.nv/ComputeCache' + 'still compiling after 3 s\n')
    assert said(2, CUDA_CACHE_PATH='/x') == first % 'keeps them in /x'
    assert 'does not keep them, since CUDA_CACHE_DISABLE is set' in said(2, CUDA_CACHE_DISABLE='1')


def test_each_process_its_own_card(cards, capfd, monkeypatch):
    used = cards((H100, GTX_1060, RTX_2080))
    for rank in range(2):
        monkeypatch.setattr(processes, 'local_place', lambda: (rank, 2))
        assert select_device('auto') == 'gpu'
    assert used == [1, 2] and capfd.readouterr().err == ''
    monkeypatch.setattr(processes, 'local_place', lambda: (2, 3))
    assert select_device('auto') == 'gpu' and used[2:] == [1]
    err = capfd.readouterr().err
    assert '3 processes' in err and '2 GPUs' in err and 'NCCL' in err and 'CUDA_VISIBLE' in err


def test_what_cntk_lists(monkeypatch):
    """Properties as CNTK gives them, of a device that is made up."""
    gpu = device.C.device.DeviceKind.GPU

    class Listed:
        def __init__(self, kind):
            self.type = lambda: kind

    class Properties:
        name, version_major, version_minor, total_memory = 'X', 6, 1, 5000
    card = Listed(gpu)
    monkeypatch.setattr(device.C.device, 'all_devices', lambda: (
        card, Listed(device.C.device.DeviceKind.CPU)))
    monkeypatch.setattr(device.C.device, 'get_gpu_properties', lambda d: Properties)
    assert cntk_cards() == [Card('X', (6, 1), 5000, card)]
    assert doubt(cntk_cards()[0]) is None


needs_compiler = pytest.mark.skipif(not shutil.which('cc'), reason='needs a C compiler, cc')


@needs_compiler
@pytest.mark.slow
def test_what_the_driver_lists(tmp_path):
    """By a stand-in for the driver, in a process of its own: it is loaded by name."""
    (tmp_path / 'two.c').write_text(r'''
        #include <string.h>
        int cuInit(unsigned flags) { return flags; }
        int cuDeviceGetCount(int *count) { *count = 2; return 0; }
        int cuDeviceGet(int *device, int i) { *device = 10 + i; return 0; }
        int cuDeviceGetName(char *name, int size, int device) {
            strncpy(name, device == 10 ? "GeForce GTX 580" : "Tesla K80", size); return 0; }
        int cuDeviceTotalMem_v2(size_t *bytes, int device) {
            *bytes = device == 10 ? 1536ul << 20 : 11441ul << 20; return 0; }
        int cuDeviceGetAttribute(int *value, int what, int device) {
            *value = what == 75 ? (device == 10 ? 2 : 3) : what == 76 && device == 11 ? 7 : 0;
            return 0; }''')
    subprocess.check_call(['cc', '-shared', '-fPIC', '-o', str(tmp_path / 'libcuda.so.1'),
                           str(tmp_path / 'two.c')])
    said = subprocess.check_output(
        [sys.executable, '-c',
         'from wgan.machine.device import driver_cards; print(driver_cards())'],
        env=dict(os.environ, LD_LIBRARY_PATH=str(tmp_path), PYTHONPATH=ROOT)).decode()
    assert said.strip() == str([Card(*GTX_580, device=None), Card(*K80, device=None)])


def test_no_driver(monkeypatch):
    def no_library(_):
        raise OSError('libcuda.so.1: cannot open shared object file')
    monkeypatch.setattr(ctypes, 'CDLL', no_library)
    assert driver_cards() == []


@pytest.mark.parametrize('text, said', [
    ('CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; expr=cudaMalloc(…)\n\n[CALL STACK]\n…',
     'the GPU failed: CUDA failure 2: out of memory; a smaller --batch-size'),
    ('cuDNN failure 8: CUDNN_STATUS_EXECUTION_FAILED ; GPU=1 ; hostname=x ; expr=y',
     'the GPU failed: cuDNN failure 8: CUDNN_STATUS_EXECUTION_FAILED; bench/gpu_check.py'),
    ('CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=x ; expr=y',
     'the GPU failed: CUBLAS failure 13'),
])
def test_failures_of_a_gpu_are_sentences(capsys, text, said):
    def main():
        raise RuntimeError(text)
    with pytest.raises(SystemExit) as end:
        run(main)
    err = capsys.readouterr().err
    assert end.value.code == 2 and err.startswith('error: ' + said) and err.count('\n') == 1
    assert 'CALL STACK' not in err


def test_other_errors_stay():
    def main():
        raise RuntimeError('something else')
    with pytest.raises(RuntimeError):
        run(main)
    assert gpu_failure(RuntimeError('a CUDA failure')) is None


def test_a_first_use_that_fails(cards, train, images, monkeypatch):
    """As on a card that nothing was compiled for: before anything is written."""
    def fails(_):
        raise RuntimeError('CUDA failure 48: no kernel image is available for execution on the '
                           'device ; GPU=0 ; hostname=x ; expr=y\n\n[CALL STACK]\n…')
    use = device._use
    cards((H100,))
    monkeypatch.setattr(device, '_use', use)
    monkeypatch.setattr(device.C.device, 'try_set_default_device', fails)
    result = train('--data', images, '--device', 'gpu', '--out', 'run', *TINY)
    assert 'no kernel image is available' in result.sentence and '--device cpu' in result.sentence
    assert 'H100' in result.err and not os.path.exists('run')


@pytest.mark.slow
def test_ctrl_c_ends_a_first_use_at_once(tmp_path):
    """Python's own handler would wait for the driver to have compiled."""
    program = ('import signal, time, wgan.machine.device as d\n'
               'd.C.plus = lambda *_: print("compiling", flush=True) or time.sleep(60)\n'
               'signal.signal(signal.SIGINT, lambda *_: None)\n'
               'd.select_device("cpu")')
    process = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE,
                               env=dict(os.environ, PYTHONPATH=ROOT))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT
    process.stdout.close()


def memory_needed(size, width, batch, network='dcgan'):
    arguments = ['--width', str(width), '--batch-size', str(batch)]
    if network == 'text':
        return TextRun(parse(arguments + ['--text', '--length', str(size)]), None,
                       None).memory_needed()
    return ImageRun(parse(arguments + ['--image-size', str(size), '--network', network]), None,
                    None).memory_needed()


@pytest.mark.slow
def test_training_says_what_it_needs(train, images, monkeypatch):
    """The card's memory is held against the settings."""
    monkeypatch.setattr(device, 'cntk_cards', lambda: [Card(*GTX_1060[:2], memory=1, device=0)])
    result = train('--data', images, '--out', 'run', '--iterations', 1, *SMALL, '--width', 8,
                   '--batch-size', 10)
    assert result.code == 0 and json.load(open('run/config.json'))['device'] == 'cpu'
    needed = memory_needed(32, 8, 10)
    assert needed > 1
    assert 'has 1 MB of memory, and this takes %d or more' % needed in result.err


@pytest.mark.slow
@pytest.mark.parametrize('size, width, batch, network', [
    (64, 32, 16, 'dcgan'), (64, 32, 64, 'dcgan'), (64, 64, 16, 'dcgan'), (32, 64, 16, 'resnet'),
    (64, 16, 16, 'resnet'), (128, 8, 8, 'resnet'), (32, 256, 64, 'text'), (100, 64, 64, 'text'),
    (10, 512, 16, 'text')])
def test_memory_needed(size, width, batch, network):
    """Held against what a training on the CPU takes. For text, size is the length."""
    result = run_test_program('memory.py', size, width, batch, network)
    assert result.code == 0, result.err
    assert 0.7 < memory_needed(size, width, batch, network) / float(result.out) < 1.3


@pytest.mark.slow
def test_deterministic(train, monkeypatch, images):
    """It is asked of CNTK before there is a graph, and kept."""
    asked = []
    monkeypatch.setattr(device.C.cntk_py, 'force_deterministic_algorithms',
                        lambda: asked.append(True))
    start = ('--data', images, '--iterations', 1) + tuple(SMALL)
    assert train(*start, '--out', 'a').code == 0 and not asked
    assert train(*start, '--out', 'b', '--deterministic').code == 0 and asked == [True]
    kept = [json.load(open('%s/config.json' % run))['settings']['deterministic'] for run in 'ab']
    assert kept == [False, True]
    assert train('--out', 'b', '--resume', '--iterations', 2).code == 0 and len(asked) == 2


@pytest.mark.slow
def test_a_run_goes_on_where_it_began(run, train, cards):
    used = cards((GTX_1060,))
    path = run / 'config.json'
    assert train('--out', run, '--resume', '--iterations', 4).code == 0 and used == ['cpu']
    about = json.loads(path.read_text())
    about['device'] = 'gpu'
    for listed, expected in (((H100,), 0), ((), 'cpu')):
        path.write_text(json.dumps(about))
        cards(listed)
        result = train('--out', run, '--resume', '--iterations', 5)
        assert result.code == 0 and used.pop() == expected, result.err


def test_the_option_is_that_of_all_programs():
    parser = Parser()
    device.add_device_option(parser)
    assert [parser.parse_args(a).device for a in ([], ['--device', 'gpu'])] == ['auto', 'gpu']
    with pytest.raises(UserError):
        parser.parse_args(['--device', 'tpu'])
