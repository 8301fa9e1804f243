"""Takes the place of AWS's package of this name, which ended at TensorFlow 2.14: the same names, the same arguments."""

from sagemaker_tensorflow.pipemode import PipeModeDataset, PipeModeDatasetException

__all__ = ["PipeModeDataset", "PipeModeDatasetException"]
