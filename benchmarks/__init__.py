"""Ours beside the alternative, in one run."""
