"""What Keras imports only when it is used, for a process that programs are forked from (`trainjob.launching`)."""

import importlib

importlib.import_module("numpy.random")  # by its seed
for _name in ("flat_map", "from_generator", "from_tensors", "rebatch"):  # by the first channel
    importlib.import_module(f"tensorflow.python.data.ops.{_name}_op")
