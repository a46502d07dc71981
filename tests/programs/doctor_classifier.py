"""A classifier that begins alike in all layers, leaves one out of training, and is saved at a path
that its arguments give: its faults are in tests/test_doctor.py.
"""

import sys

import cntk as C
import numpy as np

C.cntk_py.set_fixed_random_seed(1)
x, label = C.input_variable((2, 6, 6)), C.input_variable(3)
network = C.layers.Sequential([
    C.layers.Convolution2D((3, 3), 4, pad=True, activation=C.relu, init=C.normal(0.02)),
    C.layers.LayerNormalization(), C.layers.Dense(8, init=C.normal(0.02)),
    C.layers.Dense(3, init=C.normal(0.02))])(x)
network.eval({x: np.ones((1, 2, 6, 6), 'f')})
loss = C.cross_entropy_with_softmax(network, label)
trained = [p for p in network.parameters if p.shape != (8, 3)]
trainer = C.Trainer(network, (loss, None), [C.sgd(trained, lr=0.1)])
for _ in range(2):
    trainer.train_minibatch({x: np.ones((5, 2, 6, 6), 'f'), label: np.eye(3, dtype='f')[[0] * 5]})
if len(sys.argv) > 1:
    network.save(sys.argv[1])
