"""Beneath the first process: the program and its ranks started, watched and ended; a user's own script made ready."""
