"""A network with a skip connection, trained by C.Function.train on sequences of CNTK's own reader:
its faults are in tests/test_doctor.py.
"""

import cntk as C
import numpy as np

x, y = C.input_variable((1, 8, 8)), C.input_variable((1, 8, 8))
h = C.layers.Convolution2D((3, 3), 2, pad=True, activation=C.tanh)(x)
up = C.layers.ConvolutionTranspose2D((3, 3), 2, pad=True)
network = C.layers.Convolution2D((3, 3), 1, pad=True)(C.layers.Dropout(0.1)(h + up(h)))
attention = C.softmax(C.layers.Convolution2D((1, 1), 1)(x))
loss = C.reduce_mean(C.square(network * attention - y))
images = np.random.RandomState(0).rand(8, 1, 8, 8).astype('f')
learner = C.rmsprop(loss.parameters, lr=1e-3, gamma=0.9, inc=1.1, dec=0.9, max=1.1, min=0.9)
loss.train((images, images), parameter_learners=[learner], minibatch_size=4)
network.grad({x: images}, wrt=list(network.parameters))
