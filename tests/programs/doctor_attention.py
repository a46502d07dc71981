"""A network that multiplies each sample with itself, beside a part that nothing trains: its faults
are in tests/test_doctor.py.
"""

import cntk as C
import numpy as np

x = C.input_variable((1, 9, 4))
h = C.layers.Convolution2D((1, 1), 32, strides=3, pad=True)(x)
vector = C.layers.Dense(4)(h)
agreement = C.times(vector, C.reshape(vector, (4, 1)))
largest = C.reduce_max(C.splice(vector, vector, axis=0))
aside = C.layers.Dense(2, activation=C.tanh)(x)
network = agreement + largest
loss = C.square(network) + C.reduce_sum(C.stop_gradient(aside))
trainer = C.Trainer(network, (loss, None), [
    C.adam(network.parameters, lr=1e-3, momentum=0.9, variance_momentum=0.999, minibatch_size=5),
    C.sgd(aside.parameters, lr=0.1)])
for _ in range(2):
    trainer.train_minibatch({x: np.random.RandomState(0).rand(5, 1, 9, 4).astype('f')})
