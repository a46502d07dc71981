"""Images of a generator to play with on a page: moved along directions, and mixed."""

from wgan.datasets.images import grid, shrunk
from wgan.datasets.labels import one_hot
from wgan.generators.directions import direction_rows, directions, from_label_to_label
from wgan.generators.evaluation import generated
from wgan.generators.latents import draw_latents, walk
from wgan.machine.command_line import Progress

import numpy as np

COUNT = 12                      # latents
DIRECTIONS = 6
LABELS = 6                      # other labels that a latent is led to, at most
STEPS = 7                       # images along a direction, and from one latent to another
LARGEST_SIDE = 128              # of an image, pixels
BATCH = 36


def latent_sheets(generator, encode, room):
    """The images of a Generator, as dict: `images`, a sheet with all latents in a row; `moved`,
    of each latent a sheet with a row for each direction, and one to each of the next labels;
    `rows`, of each latent the names of these rows; `mixed`, of each latent but the last a sheet
    with a row for each later one, from this to that; and the numbers of directions and columns. Of
    labels, the latents have each in turn.

    encode: from an image to text. room: how many characters the sheets may take: the images are
    shrunk until they fit.
    """
    (latents, numbers, labels), names = latents_of_page(generator), generator.labels.names
    vectors = directions(generator.network, DIRECTIONS)
    others = [[(i + k) % len(names) for k in range(1, min(len(names), LABELS + 1))]
              for i in numbers]
    parts = [(latents[None], labels[None])]
    parts += [direction_rows(latent, vectors, label, [(number, other) for other in some], STEPS)
              for latent, label, number, some in zip(latents, labels, numbers, others)]
    for i in range(COUNT - 1):
        ends = range(i + 1, COUNT)
        parts.append((
            np.concatenate([walk(latents[[i, k]], STEPS, False, False) for k in ends]),
            from_label_to_label([(numbers[i], numbers[k]) for k in ends], len(names), STEPS)))
    images = _images(generator, *(np.concatenate([row for rows in both for row in rows])
                                  for both in zip(*parts)))

    side, cuts = images.shape[1], np.cumsum([part.shape[0] * part.shape[1] for part, _ in parts])
    while True:
        sheets = [encode(grid(part, COUNT if i == 0 else STEPS)) for i, part in enumerate(
            np.split(shrunk(images, side), cuts[:-1])) if len(part)]
        if sum(map(len, sheets)) <= room or side <= 8:
            break
        side = side * 3 // 4
    return {'images': sheets[0], 'moved': sheets[1:-COUNT + 1], 'mixed': sheets[-COUNT + 1:],
            'rows': [['Direction %d' % (i + 1) for i in range(len(vectors))]
                     + ['To ' + names[other] for other in some] for some in others],
            'directions': len(vectors), 'steps': STEPS, 'side': images.shape[1],
            'labels': [names[number] if names else '' for number in numbers]}


def latents_of_page(generator):
    """(latents (COUNT, N), the number of each one's label, these labels one-hot). The labels of a
    Generator take turns.
    """
    count = len(generator.labels.names)
    numbers = np.arange(COUNT) % max(count, 1)
    return draw_latents(COUNT, generator.latent_size, seed=0), numbers, one_hot(numbers, count)


def _images(generator, latents, labels):
    """All images, of at most LARGEST_SIDE pixels."""
    progress, made = Progress('generating', len(latents)), []
    for images in generated(generator.network, latents, BATCH, generator.name, labels):
        made.append(shrunk(images, min(LARGEST_SIDE, images.shape[1])))
        progress.show(sum(map(len, made)))
    progress.end('%d images for the page' % len(latents))
    return np.concatenate(made)
