"""An image classifier from a file: images in, features and class probabilities out."""

import functools
import os
import tempfile

from wgan.machine.command_line import UserError
from wgan.machine.disk import sha256
from wgan.machine.cntk import C, quiet
from wgan.machine.cntk_files import load_model

import cv2
import numpy as np
import onnx
import onnxruntime

# Exceptions of the two engines for a file that they can't read or compute. Those of ONNX Runtime
# have no common base class.
ENGINE_ERRORS = tuple(getattr(onnxruntime.capi.onnxruntime_pybind11_state, name) for name in (
    'EPFail', 'Fail', 'InvalidArgument', 'InvalidGraph', 'InvalidProtobuf', 'NoSuchFile',
    'NotImplemented', 'RuntimeException')) + (
        RuntimeError, ValueError, TypeError, LookupError, AttributeError)

SCALES = ('inception', 'torchvision', 'raw')
RESIZES = ('tensorflow1', 'opencv')
# Usual names of outputs, best first. The published scores use logits without bias.
FEATURES = ('pool', 'pool3', 'pool1024', 'features')
CLASSES = ('logits_unbiased', 'logits', 'prob', 'probabilities', 'softmax')


def add_network_options(parser, required=True):
    """Adds the options for `open_network`."""
    g = parser.add_argument_group('the network that scores are measured with')
    g.add_argument('--inception', required=required, metavar='FILE', help='image classifier, ONNX '
                   'or CNTK; data/convert_inception.py makes the real one')
    g.add_argument('--resize', choices=RESIZES, help='how images are brought to its size '
                   '(default: what its file says, or tensorflow1)')
    g.add_argument('--scale', choices=SCALES, help='what 0 … 255 becomes (default: what its file '
                   'says, or inception)')
    g.add_argument('--features-output', help='its output for FID and KID (found by name)')
    g.add_argument('--classes-output', help='its logits or probabilities (found by name)')
    g.add_argument('--engine', choices=('auto', 'onnxruntime', 'cntk'), default='auto',
                   help='auto: ONNX Runtime for ONNX files on a CPU, else CNTK')


def open_network(options, device):
    return ImageNetwork(options.inception, options.engine, device, options.resize, options.scale,
                        options.features_output, options.classes_output)


class ImageNetwork:
    """`network(images)` gives (features, probabilities) of RGB images, uint8 (N, H, W, 3).

    path: an ONNX file or a CNTK model.
    engine: 'auto', 'onnxruntime' or 'cntk'. auto takes CNTK on a GPU and for CNTK models, else
        ONNX Runtime, which is several times as fast on a CPU.
    device: 'cpu' or 'gpu', what CNTK computes on.
    resize: 'tensorflow1' or 'opencv'.
    scale: 'inception', (x − 128) / 128; 'torchvision', ImageNet's mean and deviation; 'raw',
        0 … 255. None, for both: what the metadata of an ONNX file says under these names; if they
        say nothing, 'tensorflow1' and 'inception'.
    features, classes: names of outputs; None: found by name.
    Raises UserError if the file can't be read, or an output or the input size can't be made out;
    a call, if the network can't be computed or gives something else than a row for each image.
    """

    def __init__(self, path, engine='auto', device='cpu', resize=None, scale=None, features=None,
                 classes=None):
        is_onnx = path.lower().endswith('.onnx')
        if not os.path.isfile(path):
            raise UserError('there is no network %s%s' % (
                path, ': it is a folder' if os.path.isdir(path) else ''))
        if engine == 'onnxruntime' and not is_onnx:
            raise UserError('--engine onnxruntime takes an ONNX file; %s is none' % path)
        if engine == 'auto':
            engine = 'onnxruntime' if is_onnx and device == 'cpu' else 'cntk'
        self.path, self.engine = path, engine
        self.runner = (_OnnxRuntime(path) if engine == 'onnxruntime'
                       else _CntkFromOnnx(path, device) if is_onnx else _Cntk(path))
        metadata = self.runner.metadata
        self.resize = resize or self._checked(
            metadata.get('resize', 'tensorflow1'), RESIZES, '--resize')
        self.scale = scale or self._checked(metadata.get('scale', 'inception'), SCALES, '--scale')
        self.size = self.runner.size
        self.features = self._choose(features, FEATURES, '--features-output')
        self.classes = self._choose(classes, CLASSES, '--classes-output')
        self.sha256 = sha256(path)

    def __call__(self, images):
        x = scale_images(np.stack([resize_image(p, self.size, self.resize) for p in images]),
                         self.scale)
        step, names = self.runner.at_once, (self.features, self.classes)
        results = [_compute(self.runner, x[i:i + step], names) for i in range(0, len(x), step)]
        features, classes = (self._rows(name, values, x)
                             for name, values in zip(names, zip(*results)))
        if not (np.isfinite(features).all() and np.isfinite(classes).all()):
            raise UserError('the network %s gave a value that is NaN or infinite; is --scale %s '
                            'what it was trained with?' % (self.path, self.scale))
        return features, self._probabilities(classes)

    def _rows(self, name, values, images):
        """Joins the parts of an output: (N, …)."""
        values = np.concatenate([np.atleast_1d(value) for value in values])
        if len(values) != len(images) or not np.issubdtype(values.dtype, np.number):
            raise UserError('the output %s of the network %s does not have a row of numbers for '
                            'each image' % (name, self.path))
        return values.reshape(len(values), -1)

    def _probabilities(self, classes):
        if classes.shape[1] < 2:
            raise UserError('the output %s of the network %s is one number an image, not one for '
                            'each class: choose with --classes-output' % (self.classes, self.path))
        if not classes.min() < 0 and np.allclose(classes.sum(axis=1), 1, atol=1e-3):
            return classes                          # a softmax is in the network already
        e = np.exp(classes.astype(np.float64) - classes.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def _checked(self, name, names, option):
        if name not in names:
            raise UserError('the metadata of %s ask for %s, which is none of %s: choose with %s'
                            % (self.path, name, ', '.join(names), option))
        return name

    def _choose(self, name, usual_names, option):
        names = self.runner.names
        candidates = [name] if name else [k for k in usual_names if k in names]
        if not candidates or candidates[0] not in names:
            raise UserError('the network %s has no output %s; it has %s: choose with %s'
                            % (self.path, name or ' or '.join(usual_names), ', '.join(names),
                               option))
        if candidates[0] in self.runner.unlike:
            raise UserError('CNTK gives other values than ONNX Runtime for the output %s of the '
                            'network %s: choose --engine onnxruntime' % (candidates[0], self.path))
        return candidates[0]


# The engines. Called with images (N, 3, S, S) and names of outputs, they return these outputs.
# names: of all outputs. unlike: outputs for which the other engine has different values. size: of
# an image. at_once: number of images for one call.

def _first_line(error):
    return str(error).split('\n')[0]


def _compute(runner, x, names):
    with quiet():
        try:
            return runner(x, names)
        except ENGINE_ERRORS as error:
            raise UserError('the network %s can not be computed (%s)'
                            % (runner.path, _first_line(error)))


def _image_size(path, shapes):
    """Returns the image size S from the shapes of a network's inputs. Raises UserError if there is
    no single input for images.
    """
    if len(shapes) != 1:
        raise UserError('the network %s has %d inputs; expected one, for images'
                        % (path, len(shapes)))
    colours, *sides = shapes[0] if len(shapes[0]) == 3 else (0, 0)
    if colours != 3 or not isinstance(sides[0], int) or not 0 < sides[0] == sides[1]:
        raise UserError('the network %s takes %s; expected images (3, S, S)'
                        % (path, tuple(shapes[0])))
    return sides[0]


class _OnnxRuntime:
    unlike = ()

    def __init__(self, path):
        self.path, options = path, onnxruntime.SessionOptions()
        options.log_severity_level = 4                  # errors are raised as well
        try:
            self.session = onnxruntime.InferenceSession(path, options)
        except ENGINE_ERRORS as error:
            raise UserError('%s is no ONNX file that ONNX Runtime can read (%s)'
                            % (path, _first_line(error)))
        inputs = self.session.get_inputs()
        self.size, argument = _image_size(path, [x.shape[1:] for x in inputs]), inputs[0]
        self.argument = argument.name
        if argument.type != 'tensor(float)':
            raise UserError('the network %s takes %s; expected images of 32-bit floating-point '
                            'numbers, tensor(float)' % (path, argument.type))
        if isinstance(argument.shape[0], int) and argument.shape[0] != 1:
            raise UserError('the network %s takes %d images at a time; expected one, or any '
                            'number (a free batch axis)' % (path, argument.shape[0]))
        self.at_once = 1 if argument.shape[0] == 1 else 16
        self.names = [o.name for o in self.session.get_outputs()]
        self.metadata = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, x, names):
        return self.session.run(list(names), {self.argument: x})


class _Cntk:
    metadata, unlike, at_once = {}, (), 16

    def __init__(self, path):
        self.path = path
        with quiet():
            try:
                self.model = load_model(path)
            except ENGINE_ERRORS as error:
                raise UserError('CNTK can not read the network %s (%s)'
                                % (path, _first_line(error)))
        self.outputs = {o.name or o.owner.name: o for o in self.model.outputs}
        self.names = list(self.outputs)
        self.size = _image_size(path, [x.shape for x in self.model.arguments])

    def __call__(self, x, names):
        wanted = [self.outputs[name] for name in names]
        _, values = self.model.forward({self.model.arguments[0]: x}, wanted)
        return [np.asarray(values[o]) for o in wanted]


class _CntkFromOnnx(_Cntk):
    """An ONNX file in CNTK, which loses the names of the outputs. They are found by comparing the
    outputs for two images with ONNX Runtime's, which also shows that both engines agree.

    A batch axis fixed at 1 is made free, because CNTK is twice as fast for several images as for
    single ones. If the results are then wrong, it stays fixed.
    """

    def __init__(self, path, device):
        self.path, peer = path, _OnnxRuntime(path)
        self.size, self.metadata = peer.size, peer.metadata
        probe = np.random.RandomState(0).uniform(-1, 1, (2, 3, self.size, self.size))
        probe = probe.astype(np.float32)
        expected = [np.concatenate(r) for r in zip(*(
            _compute(peer, probe[i:i + 1], peer.names) for i in range(2)))]
        # On a CPU, four images are as fast as more, and Inception-v3 needs 0.3 GB for each.
        for self.at_once in (4 if device == 'cpu' else 16, 1):
            with quiet():
                try:
                    self.model = _load_onnx(path, free_batch=self.at_once > 1)
                except ENGINE_ERRORS as error:
                    raise UserError(
                        'CNTK can not read the network %s (%s); it reads ONNX up to opset 9, this '
                        'file is of opset %d: --engine onnxruntime reads it'
                        % (path, _first_line(error), onnx.load(path).opset_import[0].version))
                self.outputs = self._match(probe[:self.at_once], peer.names, expected)
            if self.outputs:
                break
        self.names, self.unlike = peer.names, set(peer.names) - set(self.outputs)

    def _match(self, probe, names, expected):
        try:
            _, results = self.model.forward({self.model.arguments[0]: probe}, self.model.outputs)
        except (ValueError, RuntimeError):              # CNTK can't compute with the free axis
            return {}
        matches = {}
        for name, value in zip(names, expected):
            value = value[:len(probe)].ravel()
            for output in self.model.outputs:
                values = np.ravel(results[output])
                if values.size == value.size and np.allclose(
                        values, value, rtol=1e-3, atol=1e-4, equal_nan=True):
                    matches[name] = output
        return matches


def _load_onnx(path, free_batch):
    file = onnx.load(path)
    weights = {w.name for w in file.graph.initializer}
    for value in list(file.graph.input) + list(file.graph.output):
        if free_batch and value.name not in weights:
            value.type.tensor_type.shape.dim[0].dim_param = 'batch'
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, 'network.onnx')
        onnx.save(file, copy)
        return C.Function.load(copy, format=C.ModelFormat.ONNX)


def resize_image(image, size, method):
    """Resizes (H, W, 3) to float32 (3, size, size). method: 'tensorflow1' or 'opencv'.

    Both are bilinear. TensorFlow 1 takes output pixel i from input position i · in / out; OpenCV
    and others from (i + ½) · in / out − ½. The published scores use TensorFlow 1.
    """
    image = image.astype(np.float32)
    if method == 'opencv':
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(np.moveaxis(image, 2, 0))
    rows, columns = (_interpolation(n, size) for n in image.shape[:2])
    return rows @ np.moveaxis(image, 2, 0) @ columns.T


@functools.lru_cache(maxsize=16)                        # images of a set are mostly alike
def _interpolation(old, new):
    """TensorFlow 1's resize of `old` pixels to `new` as a matrix, (new, old)."""
    position = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = np.minimum(position.astype(int), old - 1)
    part = position - low
    matrix = np.zeros((new, old), np.float32)
    np.add.at(matrix, (np.arange(new), low), 1 - part)
    np.add.at(matrix, (np.arange(new), np.minimum(low + 1, old - 1)), part)
    return matrix


def scale_images(x, scale):
    """Scales 0 … 255 to the range of the network's training: float32 (N, 3, S, S)."""
    if scale == 'inception':
        return x / np.float32(128) - 1
    if scale == 'torchvision':
        mean, deviation = np.float32([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
        return (x / 255 - mean[:, None, None]) / deviation[:, None, None]
    return x
