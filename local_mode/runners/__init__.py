"""Ways to run a training container on this machine, behind one protocol."""
