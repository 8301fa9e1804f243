"""What PyTorch imports only when it is used, for a process that programs are forked from (`trainjob.launching`)."""

import importlib
import weakref

import torch

importlib.import_module("torch._dynamo")  # 800 modules, by the first optimizer
# At its end a fork would take 174 operations out of a table that it shares with its server, and copy that: 26 ms.
for _removal in list(weakref.finalize._registry):  # type: ignore[attr-defined]  # no public name lists them
    if (_removal.peek() or (None, None))[1] is torch.library._del_library:
        _removal.atexit = False
