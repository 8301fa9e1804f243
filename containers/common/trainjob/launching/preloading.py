"""Imports what this image's programs need into a process that they are then forked from; runs nothing of it.

PyTorch has no threads before its first operation and TensorFlow none before its first tensor: to import them starts
neither, and what a fork finds is as fresh as in an interpreter of its own. NumPy's OpenBLAS has threads from the start
and ends them itself when it is forked.
"""

import importlib
import os
import sys

from trainjob import launch
from trainjob.launching import forked
from trainjob.training import pictures


def load() -> None:
    """Do it.

    Raises:
        TrainJobError: Nothing says which programs there are.
        ImportError: A program, or its package's module `late`, needs what is not installed.
    """
    for name, value in launch.SHORT_WAITS.items():
        os.environ.setdefault(name, value)  # read once, when OpenMP is loaded
    package = launch.package(os.environ)
    for dataset in launch.datasets(package):
        name = launch.module(package, dataset)
        importlib.import_module(name)
        # It is to be run as a program, not to be found as a module that is there.
        del sys.modules[name]
    importlib.import_module(f"{package}.late")
    pictures.preload()
    forked.ready = True
