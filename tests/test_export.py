"""wgan_export.py: a generator as an ONNX file."""

import json
import os

import numpy as np
import onnx
import onnxruntime
import pytest

from helpers import latents_of
from wgan.generators import evaluation
from wgan.machine.cntk import C


def test_onnx_in_onnx_runtime(script, untrained, tmp_path):
    result = script('wgan_export.py', untrained, '--out', 'g.onnx')
    assert result.code == 0 and 'differs from CNTK by at most' in result.out
    model = onnx.load(str(tmp_path / 'g.onnx'))
    assert model.opset_import[0].version == 9
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == 'batch'
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata['output'] == 'RGB, -1 to 1'
    assert json.loads(metadata['training'])['settings']['seed'] == 3
    session = onnxruntime.InferenceSession(str(tmp_path / 'g.onnx'))
    generator = C.Function.load(str(untrained / 'wgan_generator.model'))
    for count in (1, 64):
        latents = latents_of(0, count)
        image, = session.run(['image'], {'latent': latents})
        assert image.shape == (count, 3, 32, 32)
        assert np.abs(image - evaluation.generate(generator, latents, count)).max() < 1e-5


@pytest.mark.parametrize('content', [
    b'[1]', b'', b'{"settings"', b'{"seed": 3}', b'\xff\xfe{}', b'null', b'"settings"', b'3',
    b'[' * 100000])
def test_a_damaged_configuration_beside_a_model(script, untrained, tmp_path, content):
    (untrained / 'config.json').write_bytes(content)
    assert 'run/config.json is damaged: it is not what training wrote' in script(
        'wgan_export.py', 'run', '--out', 'x.onnx').sentence
    assert os.listdir(str(tmp_path)) == ['run']


def test_what_an_onnx_file_is_named_after(script, untrained, tmp_path):
    name = os.fsdecode(b'\xff\xce\xbb.model')
    os.rename(str(untrained / 'wgan_generator.model'), str(untrained / name))
    assert script('wgan_export.py', os.path.join('run', name), '--out', 'x.onnx').code == 0
    metadata = {p.key: p.value for p in onnx.load(str(tmp_path / 'x.onnx')).metadata_props}
    assert metadata['name'] == "'\\udcff\\u03bb.model'"
    assert json.loads(metadata['training'])['settings']['seed'] == 3


def test_what_is_not_exported(script, untrained, tmp_path):
    (tmp_path / 'there.png').write_bytes(b'mine')
    assert script('wgan_export.py', 'run', '--out', 'g.onnx').code == 0
    for arguments, said in (
            (['g.onnx', '--out', 'x.onnx'], 'g.onnx is an ONNX file already: copy it'),
            (['run', '--out', 'there.png'], 'there.png exists already; --force'),
            (['run/wgan_critic.model', '--out', 'x.onnx'], 'is a model, but no generator'),
            (['run'], '--out'), (['nowhere', '--out', 'x.onnx'], 'nowhere')):
        assert said in script('wgan_export.py', *arguments).sentence
    assert sorted(os.listdir(str(tmp_path))) == ['g.onnx', 'run', 'there.png']
    assert (tmp_path / 'there.png').read_bytes() == b'mine'
