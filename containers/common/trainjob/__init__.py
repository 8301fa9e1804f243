"""What a SageMaker training program needs around its model: contract, data channels, life cycle."""
