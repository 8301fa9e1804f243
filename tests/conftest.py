"""Plugins of the whole test suite, and signals as they are at a terminal."""

import signal

pytest_plugins = ["tests.containers", "tests.contract.conformance", "tests.real_birds"]

# What a shell without job control starts by `&` ignores Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
