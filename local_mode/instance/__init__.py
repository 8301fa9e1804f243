"""What a training instance does around a container: data, configuration, checkpoints, artifacts."""
