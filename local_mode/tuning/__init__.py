"""Tuning jobs: searches for hyperparameters, each of whose trials is a training job."""
