"""From files to minibatches: images, labels, lines of text."""
