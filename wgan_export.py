"""Write a generator as an ONNX file, for other programs.

    python wgan_export.py runs/faces --out faces.onnx
"""

import json
import os

from wgan.machine.command_line import Parser, UserError, check_outputs, one_line, report, run
from wgan.machine.device import select_device
from wgan.generators.evaluation import makes_text
from wgan.generators.files import Generator
from wgan.generators.onnx_file import export


def describe(generator):
    """The metadata of a Generator for its ONNX file: dict of str → str."""
    about = {'name': one_line(os.path.basename(generator.path)), 'latent': 'drawn from N(0, 1)',
             'output': 'probabilities of characters' if makes_text(generator.network) else
             '%s, -1 to 1' % {1: 'grey', 3: 'RGB'}[generator.network.output.shape[0]]}
    config = generator.config
    return dict(about, training=json.dumps(config, sort_keys=True)) if config else about


def main():
    p = Parser(description='Write a generator as an ONNX file, and compare it with CNTK.')
    p.add_argument('model', metavar='RUN-OR-MODEL', help='run folder, or generator file of CNTK')
    p.add_argument('--out', required=True, metavar='FILE', help='ONNX file to write')
    p.add_argument('--force', action='store_true', help='overwrite without asking')
    options = p.parse_args()
    check_outputs(options.out, force=options.force)
    select_device('cpu')
    generator = Generator(options.model)
    if generator.path.lower().endswith('.onnx'):
        raise UserError('%s is an ONNX file already: copy it' % one_line(generator.path))
    report('wrote %s; ONNX Runtime differs from CNTK by at most %.1e' % (
        options.out, export(generator.network, options.out, describe(generator))))


if __name__ == '__main__':
    run(main)
