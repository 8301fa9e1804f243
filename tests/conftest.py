"""Plugins of the whole test suite, and signals as they are at a terminal."""

import importlib.util
import signal

pytest_plugins = ["tests.containers", "tests.contract.conformance", "tests.real_birds"]

# What a shell without job control starts by `&` ignores Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if importlib.util.find_spec("hypothesis"):  # not in the frameworks' own environments
    from hypothesis import HealthCheck, settings

    # Its bounds on an example's time measure how busy the machine is.
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
