"""What PyTorch imports only when it is used, for a process that programs are forked from (`trainjob.launching`)."""

import importlib

importlib.import_module("torch._dynamo")  # 800 modules, by the first optimizer
