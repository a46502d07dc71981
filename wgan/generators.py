"""A trained generator from its file, of CNTK or ONNX."""

import faulthandler
import os

from wgan.command_line import UserError
from wgan.cntk import C, quiet
from wgan import onnx_generator

try:
    import resource
except ImportError:                                     # Windows
    resource = None

# What a run folder calls its generators, best first: the one of the lowest FID, if the run was
# scored; then averaged weights, which make steadier pictures.
GENERATORS = ('wgan_generator_best.model', 'wgan_generator_average.model', 'wgan_generator.model')


def find_generator(path):
    """The model file that `path`, a run folder or a file, stands for. Raises UserError."""
    if os.path.isfile(path):
        return path
    for name in GENERATORS:
        if os.path.isfile(os.path.join(path, name)):
            return os.path.join(path, name)
    if not os.path.isdir(path):
        raise UserError('%s is no run folder and no model file' % path)
    raise UserError('there is no model in %s; training writes %s with each checkpoint'
                    % (path, GENERATORS[-1]))


def load_generator(path):
    """The generator in a CNTK or ONNX file. Raises UserError if there is none in it."""
    kind = 'ONNX' if path.lower().endswith('.onnx') else 'CNTK'
    with quiet():
        try:
            model = onnx_generator.load(path) if kind == 'ONNX' else _load_cntk(path)
        except (RuntimeError, ValueError) as error:
            raise UserError('%s is no %s model that can be read (%s)' % (
                path, kind, str(error).split('\n')[0] or 'damaged'))
    shapes = [x.shape for x in model.arguments], [y.shape for y in model.outputs]
    if not (len(shapes[0]) == len(shapes[1]) == 1 and len(shapes[0][0]) == 1
            and len(shapes[1][0]) == 3 and shapes[1][0][0] == 3):
        raise UserError('%s is a model, but no generator: it makes %s from %s, not one picture '
                        '(3, S, S) from one latent (N,)' % (path, shapes[1], shapes[0]))
    return model


def _load_cntk(path):
    with open(path, 'rb') as file:          # CNTK itself can't open each name that there may be
        data = file.read()
    if not data or _crashes(data):
        raise RuntimeError('CNTK crashes when it reads it' if data else 'it is empty')
    return C.Function.load(data)


def _crashes(data):
    """Whether CNTK brings the process down when it loads these bytes, as some damaged ones do.

    Tried in a copy of this process. Not where a GPU is in use, which copies can't share.
    """
    if resource is None or C.use_default_device().type() != C.device.DeviceKind.CPU:
        return False
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))        # it may die in silence
            faulthandler.disable()
            C.Function.load(data)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
