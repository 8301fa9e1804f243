"""Images on their way to a registry: ECR's repository and token, the push, the scan, and what was pushed last."""
