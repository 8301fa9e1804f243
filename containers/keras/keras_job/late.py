"""What Keras imports and TensorFlow lists only when it is used, for a process that programs are forked from.

`trainjob.launching` imports it; nothing of it starts a thread, which a fork would be without.
"""

import importlib

from tensorflow.python.framework import kernels, op_def_registry

importlib.import_module("numpy.random")  # by its seed
for _name in ("flat_map", "from_generator", "from_tensors", "rebatch"):  # by the first channel
    importlib.import_module(f"tensorflow.python.data.ops.{_name}_op")

# All operations, at the first name that is none, as a function's is; all kernels, at the first operation: 9 ms.
op_def_registry.get("NoOperation")
kernels.get_registered_kernels_for_op("NoOp")
