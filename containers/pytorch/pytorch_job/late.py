"""What PyTorch imports only when it is used, for a process that programs are forked from (`trainjob.launching`)."""

import importlib

import torch

importlib.import_module("torch._dynamo")  # 800 modules, by the first optimizer
# Notes who seeds, by lines of their sources, which are read once: 2 ms. The seed is the one that there is.
torch.manual_seed(torch.initial_seed())
