"""A classifier without a fault."""

import sys

import cntk as C
import numpy as np

C.cntk_py.disable_cpueval_optimization()
x, label = C.input_variable(6), C.input_variable(3)
network = C.layers.Sequential([C.layers.Dense(5, activation=C.relu),
                               C.layers.BatchNormalization(), C.layers.Dense(3)])(x)
loss = C.cross_entropy_with_softmax(network, label)
trainer = C.Trainer(network, (loss, None), [C.adam(
    network.parameters, lr=1e-3, momentum=0.9, variance_momentum=0.999,
    minibatch_size=C.learners.IGNORE)])
for _ in range(3):
    trainer.train_minibatch(arguments={
        x: np.ones((4, 6), 'f'), label: np.eye(3, dtype='f')[[0, 1, 2, 0]]}, is_sweep_end=False)
network.eval(arguments={x: np.ones((1, 6), 'f')}, as_numpy=True)
network.save(filename='sound.model')
print('the program ends')
if 'fail' in sys.argv:
    raise ValueError('it is to fail')
sys.exit(5 if 'exit' in sys.argv else 0)
