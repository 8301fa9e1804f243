"""A local SageMaker: runs a whole CreateTrainingJob request on this machine."""
