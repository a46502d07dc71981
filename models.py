"""The two networks: a DCGAN generator and a critic.

Both are functions of one argument, as CNTK Functions: call one on a Function or Variable and get
its graph, with the same parameters each time.

    DCGAN: Radford, Metz, Chintala 2016, https://arxiv.org/abs/1511.06434
    Layer normalisation in the critic: Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028,
    section 4. Batch normalisation would tie the samples of a minibatch together there, and the
    penalty is on the gradient of each sample's own score. Objectives without a penalty have it.
"""

import cntk as C
import numpy as np

IMAGE_SIZES = (32, 64, 128, 256)


def generator(image_size, latent_size=100, width=32, seed=None):
    """Latent (latent_size,) ~ N(0, 1) → RGB image (3, image_size, image_size) in [-1, 1].

    width: maps of the last hidden layer, each layer before it having twice as many: 1024 … 32 at
        256 pixels and width 32.
    seed: decides the initial weights; None: others each time.
    Raises ValueError for an image size that is not in IMAGE_SIZES.
    """
    _check(image_size)
    weights = _weights(seed)
    maps, size = width * image_size // 8, 4

    latent = C.input_variable(latent_size, name='latent')
    h = C.reshape(latent, (latent_size, 1, 1))
    # At 256 pixels and width 32; at 128 it begins with 512 maps, at 64 with 256, at 32 with 128.
    h = _upsample(h, next(weights), (4, 4), maps, strides=1, pad=False, size=4)     # 1024 × 4 × 4
    while size < image_size // 2:
        maps, size = maps // 2, size * 2        # 512 × 8, 256 × 16, 128 × 32, 64 × 64, 32 × 128
        h = _upsample(h, next(weights), (5, 5), maps, strides=2, pad=True, size=size)
    image = C.layers.ConvolutionTranspose2D(                                # 3 × 256 × 256
        (5, 5), 3, strides=2, pad=True, output_shape=(image_size, image_size),
        init=next(weights), activation=C.tanh, name='image')(h)
    return image


def critic(image_size, width=32, seed=None, normalization='layer'):
    """RGB image (3, image_size, image_size) in [-1, 1] → score (1,), any real number.

    width: maps of the first layer, each layer after it having twice as many: 32 … 1024 at 256
        pixels and width 32.
    seed: decides the initial weights; None: others each time.
    normalization: of all layers but the first, 'layer' or 'batch'.
    Raises ValueError for an image size that is not in IMAGE_SIZES.
    """
    _check(image_size)
    weights = _weights(seed)
    normalize = {'layer': layer_normalization, 'batch': batch_normalization}[normalization]
    maps, size = width, image_size // 2

    image = C.input_variable((3, image_size, image_size), name='image')
    h = C.leaky_relu(_downsample(maps, next(weights))(image), 0.2)          # 32 × 128 × 128
    while size > 4:
        maps, size = maps * 2, size // 2        # 64 × 64, 128 × 32, 256 × 16, 512 × 8, 1024 × 4
        h = C.leaky_relu(normalize(_downsample(maps, next(weights))(h)), 0.2)
    score = C.layers.Convolution2D((4, 4), 1, pad=False, init=next(weights))(h)   # 1 × 1 × 1
    return C.reshape(score, (1,), name='score')


def layer_normalization(x, epsilon=1e-5):
    """Normalise each sample over all its maps, then scale and shift each map.

    x: (maps, height, width). Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450, eq. 3-4.
    It learns one gain and one bias a map, as the WGAN-GP authors' code does.
    `C.layers.LayerNormalization` learns them for the last axis alone, which in a picture is one
    number for each column of pixels; and it adds epsilon to the deviation, not to the variance.
    """
    maps = x.shape[0]
    gain = C.parameter((maps, 1, 1), init=1, dtype=x.dtype, name='gain')
    bias = C.parameter((maps, 1, 1), init=0, dtype=x.dtype, name='bias')
    centred = x - C.reduce_mean(x, axis=(0, 1, 2))
    variance = C.reduce_mean(C.square(centred), axis=(0, 1, 2))
    return centred / C.sqrt(variance + epsilon) * gain + bias


def batch_normalization(x):
    """Normalise each map over the minibatch, then scale and shift it, x: (maps, height, width).

    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1; ε = 1e-5.
    """
    return C.layers.BatchNormalization(map_rank=1)(x)


def _upsample(h, weights, kernel, maps, strides, pad, size):
    h = C.layers.ConvolutionTranspose2D(kernel, maps, strides=strides, pad=pad, bias=False,
                                        output_shape=(size, size), init=weights)(h)
    return C.relu(batch_normalization(h))


def _downsample(maps, weights):
    return C.layers.Convolution2D((3, 3), maps, strides=2, pad=True, init=weights)


def _weights(seed):
    """Initializers without end, each of N(0, 0.02).

    Each gets a seed of its own: after `C.cntk_py.set_fixed_random_seed`, CNTK would begin every
    layer with the same numbers.
    """
    rng = np.random.RandomState(seed)
    while True:
        yield C.initializer.normal(0.02, seed=rng.randint(2 ** 31))


def _check(image_size):
    if image_size not in IMAGE_SIZES:
        raise ValueError('image size %s is not supported; choose one of %s'
                         % (image_size, ', '.join(map(str, IMAGE_SIZES))))


def generate(generator, latents, batch_size):
    """Pictures for latents (N, latent_size): float32 (N, 3, S, S) in [-1, 1].

    batch_size: how many are computed at once. Batch normalisation uses its running statistics, so
    a picture depends on its own latent alone.
    """
    return np.concatenate([
        generator.eval({generator.arguments[0]: latents[i:i + batch_size]})
        for i in range(0, len(latents), batch_size)])


def generate_in_training(generator, latents):
    """Pictures as a trainer's graph would see them, batch normalised by their own statistics.

    Returns a cntk.Value, on the device, to be fed on at once: it is valid until the generator is
    evaluated again.
    """
    image = generator.output
    # CNTK is in training mode when it is asked to keep what a backward pass would need.
    _, values = generator.forward({generator.arguments[0]: latents}, [image],
                                  keep_for_backward={image}, as_numpy=False)
    return values[image]
