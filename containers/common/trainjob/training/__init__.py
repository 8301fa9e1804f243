"""What a training loop of either framework needs beside its framework: settings, checkpoints, ranks, results."""
