"""By how many MB a process grows that trains: memory.py IMAGE_SIZE WIDTH BATCH_SIZE NETWORK

NETWORK: dcgan, resnet or text. With text, IMAGE_SIZE is the length of a line.
"""

import sys

from helpers import peak_memory
from wgan.machine.device import select_device
from wgan.training.objectives import OBJECTIVES
from wgan.training.updates import Updates
from wgan_training import MODULES
import text_models

import numpy as np


size, width, batch = map(int, sys.argv[1:4])
network = sys.argv[4]
select_device('cpu')
before, rng = peak_memory(), np.random.RandomState(0)
networks = (text_models.networks(40, size, 128, width, rng) if network == 'text'
            else MODULES[network].networks(size, 100, width, 'layer', rng))
objective = OBJECTIVES['wgan-gp']
updates = Updates(*networks, objective, batch, rng, ema=0.999,
                  **dict(objective.settings, beta2=0.9))
for step in (1, 2):
    updates.update_critic(rng.uniform(-1, 1, (batch,) + updates.real.shape).astype(np.float32))
    updates.update_generator(step)
print(peak_memory() - before)
