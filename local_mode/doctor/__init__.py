"""Finds what fails people most in an image or a request, before a job does."""
