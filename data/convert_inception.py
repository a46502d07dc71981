"""Make the network that scores are measured with: Inception-v3 as an ONNX file.

    python3 -m venv convert
    convert/bin/pip install torch onnx onnxruntime
    convert/bin/python data/convert_inception.py --out inception.onnx

It runs in any current Python with PyTorch, not in the Python 3.6 of the other programs. Without
--weights it downloads the weights (90 to 110 MB) into the folder of --out; with it, it needs no
internet connection. The file has opset 9, a free batch axis, and metadata for inception_score.py.

Inception-v3: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567.
"""

import argparse
import os
import pickle
import sys
import warnings

import _root  # noqa: F401
from wgan.machine.disk import replacing, sha256
from wgan.machine.terminal import UserError, check_outputs, report, run

# SHA-256 begins with the digits in the name: PyTorch's convention for published weights
# (torch.hub.load_state_dict_from_url, check_hash).
PUBLISHED = {
    # TensorFlow's graph of 2015-12-05, on which the Inception Score and FID are defined, as
    # pytorch-fid converted it and torch-fidelity uses it.
    'fid': ('https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/'
            'pt_inception-2015-12-05-6726825d.pth', '6726825d'),
    'torchvision': ('https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth',
                    '0cc3c7bd'),
}
TOLERANCE = 1e-4        # ONNX Runtime in float32 against PyTorch in float64, per largest value
OUTPUTS = ['pool', 'logits_unbiased', 'logits']


try:
    import onnx
    import onnxruntime
    import torch
    from torch.nn import functional as F
except ImportError as missing:
    raise UserError(
        'this Python (%s) lacks %s; make an environment for it: python3 -m venv convert, '
        'convert/bin/pip install torch onnx onnxruntime' % (sys.executable, missing.name))


class Inception(torch.nn.Module):
    """Images (N, 3, 299, 299) → pool (N, 2048), logits without and with bias (N, classes).

    weights: dict of name → tensor, with the names of torchvision. As the 2015 graph (1,008 classes)
        it takes (x − 128) / 128; its average pooling leaves padding out, and its last block takes
        the maximum instead. As torchvision's (1,000) it takes ImageNet's mean and deviation.
    """

    # Convolutions with stride 2, and those that don't pad. All others pad to keep the size.
    STRIDE_2 = {'Conv2d_1a_3x3', 'Mixed_6a.branch3x3', 'Mixed_6a.branch3x3dbl_3',
                'Mixed_7a.branch3x3_2', 'Mixed_7a.branch7x7x3_4'}
    UNPADDED = STRIDE_2 | {'Conv2d_2a_3x3', 'Conv2d_4a_3x3'}

    def __init__(self, weights):
        super().__init__()
        self.names = {name: name.replace('.', '_') for name in weights
                      if weights[name].is_floating_point() and not name.startswith('AuxLogits')}
        for name, buffer in self.names.items():
            self.register_buffer(buffer, weights[name])
        self.is_2015 = len(weights['fc.weight']) == 1008

    def weight(self, name):
        return getattr(self, self.names[name])

    def conv(self, x, *path):
        """Convolutions in a row, each with batch normalisation (ε = 0.001) and ReLU."""
        for name in path:
            kernel = self.weight(name + '.conv.weight')
            padding = 0 if name in self.UNPADDED else (kernel.shape[2] // 2, kernel.shape[3] // 2)
            x = F.conv2d(x, kernel, stride=2 if name in self.STRIDE_2 else 1, padding=padding)
            mean, variance, gain, bias = (self.weight('%s.bn.%s' % (name, part)) for part in (
                'running_mean', 'running_var', 'weight', 'bias'))
            x = F.relu(F.batch_norm(x, mean, variance, gain, bias, eps=0.001))
        return x

    def pooled(self, x, name):
        if self.is_2015 and name.startswith('Mixed_7c'):
            x = F.max_pool2d(x, 3, stride=1, padding=1)
        else:
            x = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=not self.is_2015)
        return self.conv(x, name)

    def forward(self, x):
        if not self.is_2015:                            # what it was trained with: (x − ½) / ½
            mean, deviation = x.new_tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
            x = x * (deviation[:, None, None] * 2) + (mean[:, None, None] * 2 - 1)
        x = self.conv(x, 'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3')
        x = F.max_pool2d(x, 3, stride=2)
        x = self.conv(x, 'Conv2d_3b_1x1', 'Conv2d_4a_3x3')
        x = F.max_pool2d(x, 3, stride=2)                # (N, 192, 35, 35)
        for block in ('Mixed_5b.', 'Mixed_5c.', 'Mixed_5d.'):
            x = self.block(x, block, 'branch1x1', 'branch5x5_1 branch5x5_2',
                           'branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3')
        x = self.shrink(x, 'Mixed_6a.', 'branch3x3', 'branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3')
        for block in ('Mixed_6b.', 'Mixed_6c.', 'Mixed_6d.', 'Mixed_6e.'):
            x = self.block(x, block, 'branch1x1', 'branch7x7_1 branch7x7_2 branch7x7_3',
                           'branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 '
                           'branch7x7dbl_5')
        x = self.shrink(x, 'Mixed_7a.', 'branch3x3_1 branch3x3_2',
                        'branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4')
        for block in ('Mixed_7b.', 'Mixed_7c.'):
            x = self.block(x, block, 'branch1x1', 'branch3x3_1 branch3x3_2a',
                           'branch3x3_1 branch3x3_2b',
                           'branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a',
                           'branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3b')
        pool = x.mean(dim=(2, 3))                       # of (N, 2048, 8, 8)
        logits = pool @ self.weight('fc.weight').T
        return pool, logits, logits + self.weight('fc.bias')

    def branches(self, x, block, branches):
        return [self.conv(x, *(block + name for name in branch.split())) for branch in branches]

    def block(self, x, block, *branches):
        return torch.cat(self.branches(x, block, branches)
                         + [self.pooled(x, block + 'branch_pool')], dim=1)

    def shrink(self, x, block, *branches):
        """Half the size: the last convolution of each branch has stride 2, and so has the pool."""
        return torch.cat(self.branches(x, block, branches) + [F.max_pool2d(x, 3, stride=2)], dim=1)


def download(network, folder):
    """Fetch published weights into the folder, unless they are there; the path of the file."""
    url, digits = PUBLISHED[network]
    path = os.path.join(folder, os.path.basename(url))
    if not os.path.exists(path):
        report('downloading ' + url)
        try:
            torch.hub.download_url_to_file(url, path, hash_prefix=digits,
                                           progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:        # no connection; another hash
            raise UserError('could not download %s (%s); fetch it in another way and give it with '
                            '--weights' % (url, error))
    return path


def read_weights(path, unverified):
    """(tensors, SHA-256) of a weights file. Never runs code that is in it."""
    digest = sha256(path)
    report('%s: SHA-256 %s' % (path, digest))
    if not unverified and not any(digest.startswith(d) for _, d in PUBLISHED.values()):
        raise UserError('%s is none of the published weights (SHA-256 beginning with %s); if it is '
                        'meant to be, add --unverified'
                        % (path, ' or '.join(d for _, d in PUBLISHED.values())))
    try:
        weights = torch.load(path, map_location='cpu', weights_only=True)
        tensors = {name: tensor for name, tensor in weights.items() if torch.is_tensor(tensor)}
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError,
            AttributeError, TypeError, OverflowError, MemoryError) as error:
        raise UserError('%s is no file of PyTorch weights (%s)'
                        % (path, str(error).split('.')[0]))
    return tensors, digest


def export(network, path, metadata):
    """Write the network as ONNX, opset 9, and add what is needed to use it rightly."""
    with warnings.catch_warnings():
        # The exporter that can write opset 9 is called legacy; this network needs no other.
        warnings.simplefilter('ignore')
        torch.onnx.export(network, (torch.zeros(2, 3, 299, 299),), path, opset_version=9,
                          dynamo=False, input_names=['image'], output_names=OUTPUTS,
                          dynamic_axes={name: {0: 'batch'} for name in ['image'] + OUTPUTS})
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def largest_deviation(network, path):
    """Of ONNX Runtime from PyTorch in float64, over batches of 1 and 3, as a part of the value."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    network = network.double()
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for count in (1, 3):
        x = torch.rand(count, 3, 299, 299, generator=generator) * 2 - 1
        with torch.no_grad():
            expected = network(x.double())
        for a, b in zip(expected, session.run(OUTPUTS, {'image': x.numpy()})):
            difference = (a - torch.from_numpy(b)).abs().max() / a.abs().max()
            worst = max(worst, difference.item())
    return worst


def convert(options):
    if options.weights and options.network:
        raise UserError('--network says what to download, and --weights that nothing is; give one')
    check_outputs(options.out, force=options.force)
    folder = os.path.dirname(os.path.abspath(options.out))
    source = options.weights or download(options.network or 'fid', folder)
    weights, digest = read_weights(source, options.unverified)
    with replacing(options.out) as aside:
        try:
            network = Inception(weights).eval()
            scale, resize = (('inception', 'tensorflow1') if network.is_2015
                             else ('torchvision', 'opencv'))
            export(network, aside, {
                'scale': scale, 'resize': resize, 'weights': os.path.basename(source),
                'weights_sha256': digest})
        # A tensor is missing, or has another shape; names are none.
        except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise UserError('%s holds no weights of Inception-v3 (%s)'
                            % (source, ' '.join(str(error).split())[:200]))
        worst = largest_deviation(network, aside)
        if not worst < TOLERANCE:
            raise UserError('ONNX Runtime deviates from PyTorch by %.1e: the export is wrong, and '
                            'was not kept; try torch 2.13, with which this was tested' % worst)
    report('wrote %s: %d classes, --scale %s, --resize %s; ONNX Runtime differs from PyTorch by at '
           'most %.1e of the largest value' % (options.out, len(weights['fc.weight']), scale,
                                               resize, worst))


def main():
    p = argparse.ArgumentParser(description='Inception-v3 as an ONNX file, for '
                                'inception_score.py and wgan_training.py --inception.')
    p.add_argument('--out', required=True, help='ONNX file to write')
    p.add_argument('--network', choices=sorted(PUBLISHED), help='what to download: '
                   "the network of the published scores (default), or torchvision's")
    p.add_argument('--weights', metavar='FILE', help='convert this file instead')
    p.add_argument('--unverified', action='store_true', help='also if it is not one of the '
                   'published files')
    p.add_argument('--force', action='store_true', help='overwrite --out')
    convert(p.parse_args())


if __name__ == '__main__':
    run(main)
