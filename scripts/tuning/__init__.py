"""What `tune.py` and `local_tune.py` do: from a sweep in YAML to the best request of it."""
