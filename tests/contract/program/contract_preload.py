"""What the contract suite's program has imported for it where it is forked: something that can be seen."""

import sys


def load():
    sys.contract_preloaded = True
