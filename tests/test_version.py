"""One version: that of the package is the one that CITATION.cff and CHANGELOG.md name."""

import os
import re

from helpers import ROOT
import wgan


def test_version():
    def read(name):
        with open(os.path.join(ROOT, name), encoding='utf-8') as file:
            return file.read()
    assert re.search('(?m)^version: (.*)$', read('CITATION.cff')).group(1) == wgan.__version__
    assert re.search('(?m)^## (.*)$', read('CHANGELOG.md')).group(1) == wgan.__version__
