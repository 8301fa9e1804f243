"""The training programs of the Keras image."""
