"""What speed.py asks for, of this project: in CNTK, with the code that trains and generates.

    speed_cntk.py training|generation|layers SIZE BATCH NETWORK OBJECTIVE DEVICE full|tf32 FILE

FILE: the images to train on; for generation, where to export the generator as ONNX.
"""

import sys

import _root  # noqa: F401
from wgan.machine.cntk import C
from wgan.machine.device import kernels, select_device

import numpy as np

from wgan_training import MODULES
from wgan.training import layers
from wgan.generators.evaluation import evaluate_in_training, generate
from wgan.datasets.images import ImageBatches, ImageSet
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import objective_settings, parse
from bench.turns import IMAGES, LATENT, WIDTH, serve
from wgan.training.updates import Updates


def training(size, batch, network, objective, data):
    """The parts of an iteration of wgan_training.py."""
    options = parse(['--objective', objective, '--image-size', str(size), '--batch-size',
                     str(batch)])
    row, rng = OBJECTIVES[objective], np.random.RandomState(0)
    batches = ImageBatches(ImageSet(data, size), batch, rng)
    networks = MODULES[network].networks(size, LATENT, WIDTH, row.normalization, rng)
    updates = Updates(*networks, row, batch, rng, ema=options.ema, **objective_settings(options))
    fixed = batches.next()

    def iteration(next_minibatch):
        for _ in range(options.n_critic):
            updates.update_critic(*next_minibatch())
        updates.update_generator(1)
        updates.row()

    return {'critic step': lambda: updates.update_critic(*fixed),
            'generator step': lambda: updates.update_generator(1),
            'data': batches.next, 'iteration': lambda: iteration(batches.next),
            'iteration, one minibatch': lambda: iteration(lambda: fixed)}


def generation(size, batch, network, objective, onnx):
    """As wgan_generate.py makes images; and the ONNX file of the same generator."""
    from wgan.generators.onnx_file import export      # its packages would count as memory above
    generator, _ = MODULES[network].networks(size, LATENT, WIDTH, 'layer', np.random.RandomState(1))
    latents = np.random.RandomState(0).standard_normal((IMAGES, LATENT)).astype(np.float32)
    evaluate_in_training(generator, {generator.arguments[0]: latents[:64]})     # its statistics
    export(generator, onnx, {})
    return {'generation': lambda: generate(generator, latents, batch)}


def single_layers(size, batch, *_):
    """Layers as they occur at this size: forward, and forward with both gradients."""
    def parts(name, graph, x):
        data = {x: C.Value(np.random.RandomState(0).randn(batch, *x.shape).astype(np.float32))}
        out, wrt = graph.output, set(graph.parameters) | {x}
        seed = C.Value(np.ones((batch,) + graph.shape, np.float32))

        def forward():
            return graph.forward(data, [out], keep_for_backward={out}, as_numpy=False)[0]

        return {name + ', forward': forward, name + ', both ways': lambda: graph.backward(
            forward(), {out: seed}, wrt, as_numpy=False)}

    def variable(*shape):
        return C.input_variable(shape, needs_gradient=True)

    def kernel(*shape):
        return C.parameter(shape, init=C.initializer.normal(0.02, seed=1))

    cases, channels, at = {}, 32, size // 2
    while at > 4:
        large, small = variable(channels, at, at), variable(2 * channels, at // 2, at // 2)
        cases.update(parts('convolution %d → %d, %d pixels' % (channels, 2 * channels, at),
                           layers.convolution(kernel(2 * channels, channels, 3, 3), large), large))
        cases.update(parts('transposed %d → %d, %d pixels' % (2 * channels, channels, at // 2),
                           layers.convolution_transpose(
                               kernel(2 * channels, channels, 5, 5), small), small))
        channels, at = 2 * channels, at // 2
    x = variable(64, size // 4, size // 4)
    for name, graph in (('layer norm', layers.layer_normalization(x)),
                        ('leaky ReLU', layers.leaky_relu(x)), ('ReLU', C.relu(x))):
        cases.update(parts('%s, 64 channels, %d pixels' % (name, size // 4), graph, x))
    return cases


def main():
    mode, size, batch, network, objective, device, precision, file = sys.argv[1:]
    select_device(device, tf32=precision == 'tf32')
    make = {'training': training, 'generation': generation, 'layers': single_layers}[mode]
    parts = make(int(size), int(batch), network, objective, file)
    serve({name: finished(part) for name, part in parts.items()} if device == 'gpu' else parts,
          'CNTK %s, %s' % (C.__version__, kernels(device)))


def finished(part):
    """The part, and the wait for what a GPU still computes of it."""
    one = C.input_variable(1)

    def run():
        part()
        C.negate(one).eval({one: [[1.0]]})
    return run


if __name__ == '__main__':
    main()
