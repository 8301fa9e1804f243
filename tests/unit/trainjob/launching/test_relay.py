import subprocess
import sys

PROLOGUE = """
import os, signal, subprocess, sys
from trainjob.launching.relay import Relay
from trainjob.stop import StopRequested
"""
WAITING = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {15})
print(1, flush=True)
signal.sigwait({15})
sys.exit(6)
"""


def run(program: str) -> str:
    argv = [sys.executable, "-c", PROLOGUE + program]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout


def test_a_signal_that_came_before_the_child_reaches_it_when_it_is_there() -> None:
    out = run(f"""
relay = Relay()
os.kill(os.getpid(), signal.SIGTERM)
print(list(map(int, relay.early)), flush=True)
child = subprocess.Popen([sys.executable, "-c", {WAITING!r}], stdout=subprocess.PIPE)
child.stdout.readline()
relay.watch(child)
print(relay.wait(child), relay.early, signal.getitimer(signal.ITIMER_REAL)[0] > 100)
""")
    assert out.splitlines() == ["[15]", "6 [] True"]


def test_no_signal_is_lost_wherever_it_falls_while_the_child_starts() -> None:
    out = run("""
import random, threading, time
lost = 0
for _ in range(30):
    relay = Relay()
    # Dies of SIGTERM unless that never comes.
    threading.Timer(random.random() * 0.008, os.kill, (os.getpid(), signal.SIGTERM)).start()
    child = subprocess.Popen(["sleep", "15"])
    relay.watch(child)
    lost += relay.wait(child) != -signal.SIGTERM
print(lost)
""")
    assert out == "0\n"


def test_a_signal_ends_work_that_nothing_can_be_lost_by() -> None:
    out = run("""
relay = Relay()
try:
    with relay.interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            print("went on")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            print("cleared up")
except StopRequested:
    print(list(map(int, relay.early)))
try:
    with relay.interruptible():
        print("began")
except StopRequested:
    print("not begun")
""")
    assert out.splitlines() == ["cleared up", "[2, 15]", "not begun"]


def test_a_signal_after_the_child_has_gone_is_harmless() -> None:
    out = run("""
relay = Relay()
child = subprocess.Popen(["true"])
relay.watch(child)
child.wait()
os.kill(os.getpid(), signal.SIGTERM)
print("fine")
""")
    assert out == "fine\n"
