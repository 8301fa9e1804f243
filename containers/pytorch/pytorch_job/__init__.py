"""The training programs of the PyTorch image."""
