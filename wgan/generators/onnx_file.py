"""Exports a generator to an ONNX file, and loads it.

    input   'latent'   float32 (batch, N), drawn from N(0, 1)
    input   'label'    float32 (batch, K), 1 for the label and 0 for the others, if it takes labels
    output  'image'    float32 (batch, 3, S, S), RGB in [-1, 1], or (batch, 1, S, S), grey
    output  'text'     instead: float32 (batch, characters, 1, length), probabilities

The batch axis is free. ONNX opset 9, IR 4: what CNTK 2.7 writes and reads.
"""

import json
import os
import shutil
import tempfile

from wgan.machine.command_line import UserError
from wgan.machine.disk import check_space, replacing
from wgan.machine.cntk import C, quiet
from wgan.machine.cntk_files import size_of
from wgan.generators.evaluation import generate, label_input, latent_input, makes_text
from wgan.datasets.labels import one_hot
from wgan.generators.latents import draw_latents

import numpy as np
import onnx
from onnx import numpy_helper
import onnxruntime

TOLERANCE = 1e-5            # largest difference of ONNX Runtime from CNTK, for images in [-1, 1]
LARGEST_FILE = 2 ** 31 - (1 << 20)          # bytes of weights: a limit of protocol buffers


def export(generator, path, metadata):
    """Writes the generator to an ONNX file and compares it with CNTK.

    metadata: dict of str → str, saved in the file.
    Returns the largest deviation of ONNX Runtime's output from CNTK's, for 16 latents. Raises
    UserError if it is larger than TOLERANCE, or the generator can't be an ONNX file; OSError if
    the file can't be written. An existing file then stays unchanged.
    """
    if size_of(generator) > LARGEST_FILE:
        raise UserError('%s can not be written: an ONNX file has at most 2 GiB' % path)
    model = _for_any_batch(_as_cntk_exports(_with_constants(generator)), _output_name(generator),
                           metadata)
    with replacing(path) as aside:
        onnx.save(model, aside)
        deviation = _deviation(generator, aside)
        if not deviation < TOLERANCE:
            raise UserError('the exported generator differs from CNTK by %g (allowed: %g); %s was '
                            'not written' % (deviation, TOLERANCE, path))
    return deviation


def _with_constants(generator):
    """Returns the generator with constants for what it computes from weights alone, such as the
    kernels of a residual network. CNTK exports these operations, but can't load them.
    """
    functions = C.logging.graph.depth_first_search(
        generator, lambda node: isinstance(node, C.Function) and not node.is_composite)
    computed = {x for f in functions if C.combine(f.outputs).arguments for x in f.inputs
                if x.is_output and not C.combine([x]).arguments}
    constants = {x: C.constant(C.combine([x]).eval(), dtype=x.dtype) for x in computed}
    return generator.clone(C.CloneMethod.share, constants) if constants else generator


def _as_cntk_exports(generator):
    # CNTK truncates a path at a letter that the locale lacks, so the folder has a plain name.
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = os.path.join(folder, 'generator.onnx')
        check_space(path, size_of(generator))
        try:
            generator.save(path, format=C.ModelFormat.ONNX)
        except (RuntimeError, ValueError) as error:             # an operation that ONNX lacks
            raise UserError('CNTK can not write this generator as an ONNX file (%s)'
                            % str(error).split('\n')[0])
        return onnx.load(path)


def _output_name(generator):
    return 'text' if makes_text(generator) else 'image'


def _for_any_batch(model, output, metadata):
    _drop_initializers_from_inputs(model.graph)     # CNTK may list weights before the latent
    _free_the_batch_axis(model.graph)
    _rename(model.graph, model.graph.output[0].name, output)
    if len(model.graph.input) == 1:
        _rename(model.graph, model.graph.input[0].name, 'latent')
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model


def _deviation(generator, path):
    inputs, labels = {'latent': draw_latents(16, latent_input(generator).shape[0], seed=0)}, None
    if label_input(generator) is not None:
        count = label_input(generator).shape[0]
        labels = inputs['label'] = one_hot(np.arange(16) % count, count)
    with open(path, 'rb') as file:
        session = onnxruntime.InferenceSession(file.read())
    output, = session.run([_output_name(generator)], inputs)
    return float(np.abs(output - generate(generator, inputs['latent'], 16, labels)).max())


def load(path):
    """Loads an ONNX file as a CNTK Function, latent (N,) → image (3, S, S).

    Raises RuntimeError or ValueError, as CNTK does, if it can't read the file.
    """
    with tempfile.TemporaryDirectory() as folder:               # a plain name, as in the export
        plain = shutil.copyfile(path, os.path.join(folder, 'generator.onnx'))
        network = C.Function.load(plain, format=C.ModelFormat.ONNX)
    # CNTK reads the free batch axis as an axis of the data; it has to be a batch axis.
    inputs = [C.input_variable(x.shape[1:], name=x.name if len(network.arguments) > 1 else 'latent')
              for x in network.arguments]
    return C.to_batch(network(*map(C.unpack_batch, inputs)))


def training_of(path):
    """Returns the config.json in an ONNX file that `export` wrote; {} if there is none."""
    about = {p.key: p.value for p in onnx.load(path).metadata_props}
    try:
        config = json.loads(about.get('training', '{}'))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise UserError('%s is damaged: it does not say how it was trained' % path)
    return config


def _free_the_batch_axis(graph):
    """Makes the batch axis free: CNTK exports for minibatches of one."""
    for value in list(graph.input) + [graph.output[0]]:
        value.type.tensor_type.shape.dim[0].dim_param = 'batch'
    weights = {tensor.name for tensor in graph.initializer}
    targets = {node.input[1] for node in graph.node
               if node.op_type == 'Reshape' and node.input[0] not in weights}
    for tensor in graph.initializer:
        if tensor.name in targets:
            shape = numpy_helper.to_array(tensor).copy()
            shape[0] = -1
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    del graph.value_info[:]                         # shapes of intermediate results for one image


def _drop_initializers_from_inputs(graph):
    """Removes weights from the inputs, since ONNX Runtime warns of each."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)


def _rename(graph, old, new):
    for value in list(graph.input) + list(graph.output):
        if value.name == old:
            value.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
