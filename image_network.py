"""An image classifier from a file: pictures in, features and class probabilities out."""

import hashlib
import os
import tempfile

import cv2
import numpy as np
import onnx
import onnxruntime

from command_line import UserError
from quiet_cntk import C, quiet

SCALES = ('inception', 'torchvision', 'raw')
RESIZES = ('tensorflow1', 'opencv')
# Names by which outputs are known, best first. Without the bias the score is the published one.
FEATURES = ('pool', 'pool3', 'pool1024', 'features')
CLASSES = ('logits_unbiased', 'logits', 'prob', 'probabilities', 'softmax')


class ImageNetwork:
    """`network(pictures)` gives (features, probabilities) of RGB pictures, uint8 (N, H, W, 3).

    path: an ONNX file or a CNTK model.
    engine: 'auto', 'onnxruntime' or 'cntk'. auto takes CNTK on a GPU and for CNTK models, else
        ONNX Runtime, which is several times as fast on a CPU.
    device: 'cpu' or 'gpu', what CNTK computes on.
    resize: 'tensorflow1' or 'opencv'. scale: 'inception', (x − 128) / 128; 'torchvision', ImageNet's
        mean and deviation; 'raw', 0 … 255.
    features, classes: names of outputs; None: found by name.
    Raises UserError if the file can't be read, or an output or the input size can't be made out.
    """

    def __init__(self, path, engine='auto', device='cpu', resize='tensorflow1', scale='inception',
                 features=None, classes=None):
        self.path, self.resize, self.scale = path, resize, scale
        is_onnx = path.lower().endswith('.onnx')
        if not os.path.isfile(path):
            raise UserError('there is no network %s' % path)
        if engine == 'onnxruntime' and not is_onnx:
            raise UserError('--engine onnxruntime takes an ONNX file; %s is none' % path)
        if engine == 'auto':
            engine = 'onnxruntime' if is_onnx and device == 'cpu' else 'cntk'
        self.engine = engine
        names = (self._open_onnxruntime() if engine == 'onnxruntime'
                 else self._open_cntk(is_onnx, one_by_one=device == 'cpu'))
        self.features = self._choose(features, FEATURES, names, '--features-output')
        self.classes = self._choose(classes, CLASSES, names, '--classes-output')
        self.sha256 = _sha256(path)

    def __call__(self, pictures):
        x = np.stack([resize_picture(p, self.size, self.resize) for p in pictures])
        x = np.ascontiguousarray(np.moveaxis(scale_pictures(x, self.scale), 3, 1))
        if self.batch == 1:                         # an axis fixed at 1: one by one
            results = [self._run(x[i:i + 1]) for i in range(len(x))]
            features, classes = (np.concatenate(r) for r in zip(*results))
        else:
            features, classes = self._run(x)
        features, classes = features.reshape(len(x), -1), classes.reshape(len(x), -1)
        if not (np.isfinite(features).all() and np.isfinite(classes).all()):
            raise UserError('the network %s gave a value that is no number; is --scale %s what it '
                            'was trained with?' % (self.path, self.scale))
        return features, self._probabilities(classes)

    def _probabilities(self, classes):
        if not classes.min() < 0 and np.allclose(classes.sum(axis=1), 1, atol=1e-3):
            return classes                          # a softmax is in the network already
        e = np.exp(classes.astype(np.float64) - classes.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def _open_onnxruntime(self):
        self.session = _session(self.path)
        argument, = self.session.get_inputs()
        self.argument, shape = argument.name, argument.shape
        self.size = self._picture_size(shape[1:])
        self.batch = 1 if shape[0] == 1 else None
        self._run = self._run_onnxruntime
        return [o.name for o in self.session.get_outputs()]

    def _run_onnxruntime(self, x):
        return self.session.run([self.features, self.classes], {self.argument: x})

    def _open_cntk(self, is_onnx, one_by_one):
        with quiet():
            try:
                self.model = (_load_onnx_in_cntk(self.path, one_by_one) if is_onnx
                              else C.Function.load(self.path))
            except Exception as error:
                way_out = ('; CNTK reads ONNX up to opset 9, and this may be a later one: '
                           '--engine onnxruntime reads those too' if is_onnx else '')
                raise UserError('CNTK can not read the network %s (%s)%s'
                                % (self.path, str(error).split('\n')[0], way_out))
        argument, = self.model.arguments
        # From ONNX, CNTK has the batch as the first axis of the data; from its own files not.
        self.batched_data = len(argument.shape) == 4
        self.size = self._picture_size(argument.shape[-3:])
        self.batch = 1 if self.batched_data and argument.shape[0] == 1 else None
        self.outputs = (self._match_outputs() if is_onnx
                        else {o.name or o.owner.name: o for o in self.model.outputs})
        self._run = self._run_cntk
        return list(self.outputs)

    def _match_outputs(self):
        """Which CNTK output is which of the ONNX file: CNTK does not keep their names.

        Told by what they and ONNX Runtime's make of the same picture; so it is checked, too, that
        both engines agree.
        """
        session = _session(self.path)
        probe = np.random.RandomState(0).uniform(-1, 1, (1, 3, self.size, self.size))
        probe = probe.astype(np.float32)
        expected = session.run(None, {session.get_inputs()[0].name: probe})
        _, found = self.model.forward({self.model.arguments[0]: probe}, self.model.outputs)
        names = {}
        for output, value in zip(session.get_outputs(), expected):
            same = [o for o in self.model.outputs if np.size(found[o]) == value.size and
                    np.allclose(np.ravel(found[o]), value.ravel(), rtol=1e-3, atol=1e-4)]
            if same:
                names[output.name] = same[0]
        return names

    def _run_cntk(self, x):
        wanted = [self.outputs[self.features], self.outputs[self.classes]]
        _, values = self.model.forward({self.model.arguments[0]: x}, wanted)
        return [np.asarray(values[o]) for o in wanted]

    def _picture_size(self, shape):
        if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2] or not shape[1] > 0:
            raise UserError('the network %s takes %s; expected pictures (3, S, S)'
                            % (self.path, tuple(shape)))
        return int(shape[1])

    def _choose(self, name, known, names, option):
        candidates = [name] if name else [k for k in known if k in names]
        if not candidates or candidates[0] not in names:
            raise UserError('the network %s has no output %s; it has %s: choose with %s'
                            % (self.path, name or ' or '.join(known), ', '.join(names), option))
        return candidates[0]


def _load_onnx_in_cntk(path, one_by_one):
    """On a CPU, CNTK takes several times as long for an ONNX file with a free batch axis."""
    if not one_by_one:
        return C.Function.load(path, format=C.ModelFormat.ONNX)
    model = onnx.load(path)
    for value in list(model.graph.input) + list(model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions and dimensions[0].dim_param:
            dimensions[0].dim_value = 1
    with tempfile.TemporaryDirectory() as folder:
        fixed = os.path.join(folder, 'network.onnx')
        onnx.save(model, fixed)
        return C.Function.load(fixed, format=C.ModelFormat.ONNX)


def _session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3                  # errors only
    try:
        return onnxruntime.InferenceSession(path, options)
    except Exception as error:
        raise UserError('%s is no ONNX file that ONNX Runtime can read (%s)'
                        % (path, str(error).split('\n')[0]))


def resize_picture(picture, size, how):
    """(H, W, 3) → float32 (size, size, 3). how: 'tensorflow1' or 'opencv'.

    Both are bilinear. TensorFlow 1 takes output pixel i from input position i · in / out, where
    others, among them OpenCV, take (i + ½) · in / out − ½. The published scores are TensorFlow 1's.
    """
    if how == 'opencv':
        return cv2.resize(picture.astype(np.float32), (size, size),
                          interpolation=cv2.INTER_LINEAR)
    x = picture.astype(np.float32)
    for axis in (0, 1):
        old = x.shape[axis]
        position = np.arange(size, dtype=np.float32) * np.float32(old / size)
        low = np.minimum(position.astype(int), old - 1)
        part = (position - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        a, b = np.take(x, low, axis), np.take(x, np.minimum(low + 1, old - 1), axis)
        x = a + (b - a) * part
    return x


def scale_pictures(x, how):
    """0 … 255 to what a network was trained with; float32 (…, 3)."""
    if how == 'inception':
        x = (x - 128) / 128
    elif how == 'torchvision':
        x = (x / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return x.astype(np.float32)


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
