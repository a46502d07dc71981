"""Write weights.pth for a narrow Inception-v3: inception_weights.py CLASSES. Needs PyTorch.

They are made as the converter asks for them: two channels a convolution, 3 × 3.
"""

import sys

from convert_inception import Inception

import torch


class Recorder(Inception):
    def __init__(self, classes):
        torch.nn.Module.__init__(self)
        self.is_2015 = classes == 1008
        self.made = {'fc.weight': torch.randn(classes, 12), 'fc.bias': torch.randn(classes)}

    def weight(self, name):
        return self.made[name]

    def conv(self, x, *path):
        for name in path:
            self.made.setdefault(name + '.conv.weight', torch.randn(2, x.shape[1], 3, 3) / 4)
            for part in 'running_mean', 'running_var', 'weight', 'bias':
                self.made.setdefault('%s.bn.%s' % (name, part), torch.rand(2) + 0.5)
            x = super().conv(x, name)
        return x


def main():
    torch.manual_seed(0)
    recorder = Recorder(int(sys.argv[1]))
    recorder(torch.zeros(1, 3, 299, 299))
    recorder.made['AuxLogits.fc.weight'] = torch.zeros(1000, 768)
    torch.save(recorder.made, 'weights.pth')


if __name__ == '__main__':
    main()
