"""Does CNTK compute rightly on this GPU? And how long does it take to start?

    .venv/bin/python bench/gpu_check.py

Each operation that the project trains with is computed on the GPU and on the CPU, from the same
numbers: values, and gradients by what goes in and by the weights. On a card newer than CNTK's build
the first start compiles for minutes; say CUDA_CACHE_MAXSIZE=4294967296 before it, and it is kept.
Exit code 1 if something deviates. Then bench/speed.py --device gpu tells the times.
"""

import os
import subprocess
import sys
import tempfile
import time

import _root  # noqa: F401
from wgan.command_line import Parser, run

import numpy as np

ALLOWED = 1e-3              # of the largest number; float32 sums in another order differ by 1e-5


def operations():
    """(name, graph): each is computed, and differentiated by its weights and what goes in."""
    from wgan.cntk import C
    from wgan import layers
    import models
    from wgan.objectives import wgan_gp

    def x(*shape):
        return C.input_variable(shape, needs_gradient=True)

    def kernel(*shape):
        return C.parameter(shape, init=np.random.RandomState(1).randn(*shape).astype(np.float32))

    for size in (8, 32):
        yield 'convolution, %d pixels' % size, layers.convolution(kernel(16, 8, 3, 3),
                                                                  x(8, size, size))
        yield 'transposed convolution, %d pixels' % size, layers.convolution_transpose(
            kernel(16, 8, 5, 5), x(16, size // 2, size // 2))
    yield 'batch normalisation', layers.batch_normalization(x(8, 16, 16))
    yield 'layer normalisation', layers.layer_normalization(x(8, 16, 16))
    yield 'leaky ReLU', layers.leaky_relu(x(8, 16, 16))
    yield 'sum', C.reduce_sum(x(8, 16, 16), axis=(0, 1, 2))
    yield 'mean', C.reduce_mean(x(8, 16, 16), axis=(0, 1, 2))
    yield 'product', C.times(x(64), kernel(64, 32))
    yield 'tanh', C.tanh(x(8, 16, 16))
    generator, critic = models.generator(64, seed=1), models.critic(64, seed=2)
    yield 'generator', generator
    objective = wgan_gp(generator, critic, generator.arguments[0], x(3, 64, 64), x(3, 64, 64))
    yield 'critic loss with its penalty', objective.critic_loss
    yield 'generator loss', objective.generator_loss


def compute(device, path):
    """All operations on one device, in a process of its own: CNTK takes one for good."""
    start = time.time()
    from wgan.cntk import select_device
    select_device(device)
    results = {}
    for number, (name, graph) in enumerate(operations()):
        rng = np.random.RandomState(3)
        data = {v: rng.uniform(-1, 1, (16,) + v.shape).astype(np.float32) for v in graph.arguments}
        results[name + ': values'] = graph.eval(data)
        wrt = list(graph.parameters) + [v for v in graph.arguments if v.needs_gradient]
        gradients = graph.grad(data, wrt=wrt)
        gradients = gradients if isinstance(gradients, dict) else {wrt[0]: gradients}
        for i, v in enumerate(wrt):
            results['%s: gradient %d' % (name, i)] = np.asarray(gradients[v])
        if number == 0:
            print('first operation after %.1f s' % (time.time() - start), flush=True)
    np.savez(path, **results)
    print('all after %.1f s' % (time.time() - start), flush=True)


def main():
    parser = Parser(description='Hold a GPU against the CPU.')
    parser.add_argument('--devices', nargs=2, default=['gpu', 'cpu'], choices=['gpu', 'cpu'])
    parser.add_argument('--save', help='only compute, on the first of --devices, and write there')
    options = parser.parse_args()
    if options.save:
        return compute(options.devices[0], options.save)
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for i, device in enumerate(options.devices):
            path = os.path.join(folder, '%d.npz' % i)
            print(device + ':', flush=True)
            code = subprocess.call([sys.executable, os.path.abspath(__file__), '--save', path,
                                    '--devices', device, device])
            if code:
                return code
            results.append(np.load(path, allow_pickle=False))
        wrong = 0
        for name in results[0].files:
            a, b = (r[name] for r in results)
            deviation = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
            wrong += not deviation < ALLOWED
            print('%-50s %.1e%s' % (name, deviation, '' if deviation < ALLOWED else '  WRONG'))
    print('%d of %d deviate by more than %g' % (wrong, len(results[0].files), ALLOWED))
    return 1 if wrong else 0


if __name__ == '__main__':
    run(main)
