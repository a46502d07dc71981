"""A WGAN with a penalty as public CNTK code has it: its faults are in tests/test_doctor.py."""

import cntk as C
import numpy as np

x, z, penalty = C.input_variable((1, 8, 8)), C.input_variable(4), C.input_variable(1)
critic = C.layers.Sequential([
    C.layers.Convolution2D((3, 3), 4, strides=2), C.layers.BatchNormalization(map_rank=1),
    C.tanh, C.layers.Dense(1)])
real = critic(x)
fake = C.layers.Dense((1, 8, 8), activation=C.tanh)(z)
judged = real.clone('share', {x: fake.output})
mixed = C.random.uniform((1,))
between = real.clone('share', {x: (mixed * x + (1 - mixed) * fake).output})
critic_trainer = C.Trainer(real, (judged - real + 10 * penalty + 0 * between, None),
                           [C.adam(real.parameters, lr=1e-4, momentum=0.0)])
generator_trainer = C.Trainer(judged, (-judged, None), [C.adam(
    fake.parameters, lr=1e-4, momentum=0.0, variance_momentum=0.9,
    minibatch_size=C.learners.IGNORE)])
rng = np.random.RandomState(0)
for _ in range(2):
    images, latents = rng.rand(6, 1, 8, 8).astype('f'), rng.randn(6, 4).astype('f')
    gradient = real.grad({x: images}, wrt=list(real.parameters))
    norm = np.full((6, 1), np.linalg.norm(list(gradient.values())[0]), 'f')
    critic_trainer.train_minibatch({x: images, z: latents, penalty: (norm - 1) ** 2})
    generator_trainer.train_minibatch({z: latents})
print('the program ends')
