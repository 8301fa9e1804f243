"""Training jobs: the request, the state machine, the record on disk."""
