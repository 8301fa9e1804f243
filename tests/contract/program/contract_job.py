"""The program of the contract suite: standard library only, so that it runs in any image.

The hyperparameter `act` names what it does; what it saw goes to model/report.json.
"""

import contextlib
import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
CONFIG, DATA, MODEL, OUTPUT = BASE / "input/config", BASE / "input/data", BASE / "model", BASE / "output"
CHECKPOINTS = BASE / "checkpoints"
PATIENCE_SECONDS = 20


def report(**facts):
    (MODEL / "report.json").write_text(json.dumps(facts))


def fifo(channel, epoch):
    path = DATA / f"{channel}_{epoch}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            sys.exit(f"no {path}")
        time.sleep(0.001)
    return path.open("rb")


def digest(stream):
    return hashlib.sha256(stream.read()).hexdigest()


def look():
    """Everything a program can see of its surroundings."""
    with contextlib.suppress(OSError):
        resolved = socket.gethostbyname("algo-1")
    report(
        files={path.name: json.loads(path.read_text()) for path in CONFIG.iterdir()},
        environment=dict(os.environ),
        pid=os.getpid(),
        tty=[os.isatty(number) for number in (0, 1, 2)],
        stdin=sys.stdin.read(),
        algo_1=locals().get("resolved"),
        interfaces=sorted(name for _, name in socket.if_nameindex()),
        cwd=str(Path.cwd()),
        arguments=sys.argv[1:],
    )


def epochs():
    """Three epochs of each channel, one after the other."""
    channels = json.loads((CONFIG / "inputdataconfig.json").read_text())
    listing = sorted(path.name for path in DATA.iterdir())
    digests = {name: [] for name in channels}
    for epoch in range(3):
        for name in sorted(channels):
            with fifo(name, epoch) as stream:
                digests[name].append(digest(stream))
            print(f"epoch={epoch} channel={name} loss={1 / (epoch + 1):.3f};", flush=True)
    report(digests=digests, listing=listing)


def streams(count=1):
    """All bytes of the first epochs of each Pipe channel, in hex."""
    channels = json.loads((CONFIG / "inputdataconfig.json").read_text())
    listing = sorted(path.name for path in DATA.iterdir())
    found = {name: [] for name, config in channels.items() if config["TrainingInputMode"] == "Pipe"}
    for epoch in range(count):
        for name, epochs in found.items():
            with fifo(name, epoch) as stream:
                epochs.append(stream.read().hex())
    report(streams=found, channels=channels, listing=listing)


def early():
    """Close epoch 0 after a few bytes, then read epoch 1 whole."""
    with fifo("train", 0) as stream:
        start = stream.read(7)
    with fifo("train", 1) as stream:
        report(start=start.hex(), digest=digest(stream))


def tree():
    """What lies in the folder of channel `train`."""
    top = DATA / "train"
    report(files={str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()})


def write_channel():
    """Try to write, remove and add in the channel's folder."""
    seen = {}
    for name, attempt in {
        "write": lambda: (DATA / "train" / "a.txt").write_text("harm"),
        "remove": (DATA / "train" / "b.txt").unlink,
        "add": lambda: (DATA / "train" / "new.txt").write_text("more"),
    }.items():
        try:
            attempt()
            seen[name] = "done"
        except OSError as error:
            seen[name] = errno.errorcode[error.errno]
    report(seen=seen)


def end(code, failure=None, times=1):
    if failure is not None:
        (OUTPUT / "failure").write_text(failure * times, encoding="utf-8")
    (MODEL / "weights.bin").write_bytes(b"weights")
    (OUTPUT / "data" / "curve.csv").write_text("loss\n")
    print("ending", flush=True)
    sys.exit(code)


def wait_for_stop():
    """Do nothing until SIGTERM, then save and end with a code of our own."""

    def save(*_):
        (CHECKPOINTS / "last.ckpt").write_text("state")
        report(saved=True, pid=os.getpid())
        sys.exit(7)

    signal.signal(signal.SIGTERM, save)
    print("ready", flush=True)
    time.sleep(PATIENCE_SECONDS * 3)


def ignore_stop():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    time.sleep(PATIENCE_SECONDS * 3)


def leave_child():
    """Leave a process behind that has a session of its own and our stdout."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    report(child=child.pid)


def checkpoints():
    """Report what was restored; remove one, add one, half-write one."""
    found = {path.name: path.read_text() for path in CHECKPOINTS.iterdir()}
    (CHECKPOINTS / "old.ckpt").unlink()
    (CHECKPOINTS / "new.ckpt").write_text("new")
    (CHECKPOINTS / "half.ckpt.sagemaker-ignore").write_text("half")
    report(found=found)


def install():
    """Add a module to the environment we run in."""
    place = Path(sysconfig.get_path("purelib")) / "left_by_a_job.py"
    before = place.exists()
    place.write_text("")
    report(before=before, prefix=sys.prefix)


def lock_up():
    """Leave folders that nobody may enter, and a link that leads out."""
    locked = OUTPUT / "locked" / "inner"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    locked.chmod(0)
    (MODEL / "inside").symlink_to("weights.bin")
    (MODEL / "outside").symlink_to("/etc/passwd")
    (MODEL / "weights.bin").write_bytes(b"weights")


def main():
    act = json.loads((CONFIG / "hyperparameters.json").read_text())
    act = json.loads(act["act"])
    globals()[act[0]](*act[1:])


if __name__ == "__main__":
    main()
