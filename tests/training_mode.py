import numpy as np


def in_training(generator, latents):
    """Pictures as a trainer's graph would see them, batch normalised by their own statistics.

    It moves the running statistics.
    """
    image = generator.output
    # CNTK is in training mode when it is asked to keep what a backward pass would need.
    _, values = generator.forward({generator.arguments[0]: latents.astype(image.dtype)}, [image],
                                  keep_for_backward={image})
    return np.asarray(values[image]).reshape((len(latents),) + image.shape)
