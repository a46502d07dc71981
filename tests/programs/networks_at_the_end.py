"""Train a convolution, and leave the network to be deleted by what ends Python."""

import builtins

from wgan.machine.cntk import C
from wgan.machine.device import select_device

import numpy as np

select_device('cpu')
x = C.input_variable((16, 8, 8), needs_gradient=True)
y = C.convolution(C.parameter((16, 16, 3, 3), init=0.1), x, auto_padding=[False, True, True])
loss = C.reduce_sum(C.square(y))
trainer = C.Trainer(loss, (loss, None), [C.sgd(loss.parameters, 0.1)])
trainer.train_minibatch({x: np.ones((2, 16, 8, 8), np.float32)})
builtins.kept = [y, loss, trainer]
builtins.kept.append(builtins.kept)             # a cycle
print('done')
