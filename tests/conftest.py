"""Plugins of the whole test suite."""

pytest_plugins = ["tests.containers", "tests.contract.conformance", "tests.real_birds"]
