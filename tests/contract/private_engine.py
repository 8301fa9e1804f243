"""A Docker Engine of a test's own, which it may end and start again, and an image of a few files for it."""

import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path

import docker

from local_mode.channels.mounts import detach_below
from local_mode.runners.docker import connect
from tests.contract.lab import eventually

IMAGE = "engine-restart:1"
PROGRAM = b"""#!/bin/sh
trap 'echo stopped > /opt/ml/model/weights; exit 7' TERM
echo ready >&2
n=0
until [ -e /opt/ml/input/data/train/go ]; do n=$((n + 1)); echo "line $n"; sleep 0.02; done
echo "last $n"
echo trained > /opt/ml/model/weights
"""
"""Needs a shell and `sleep`, says numbered lines, ends when its channel has a file `go`, or by SIGTERM with code 7."""
CALL_SECONDS = 30
UP_SECONDS = 60
DOWN_SECONDS = 60


def why_not():
    """Why no engine can be started here; empty when one can."""
    if os.geteuid():
        return "only root may start a Docker Engine"
    missing = [program for program in ("dockerd", "containerd", "runc", "unshare") if shutil.which(program) is None]
    return f"{missing[0]} is not installed" if missing else ""


class PrivateEngine:
    """An engine with no bridge, on a socket of its own. `close` must follow."""

    def __init__(self, folder, *, live_restore):
        """`folder` has its images and containers, too."""
        self._folder = folder
        # Below /tmp itself: the path of a socket has at most 107 bytes.
        self._state = Path(tempfile.mkdtemp(prefix="local-mode-engine-", dir="/tmp"))
        self._options = ["--live-restore"] if live_restore else []
        self._process = None
        self.address = f"unix://{self._state}/socket"

    def start(self):
        # A network namespace of its own: without a bridge to have, an engine removes the docker0 that it finds.
        argv = [
            "unshare",
            "--net",
            "--",
            "dockerd",
            "--data-root",
            str(self._folder),
            "--exec-root",
            str(self._state / "exec"),
        ]
        argv += ["--pidfile", str(self._state / "pid"), "-H", self.address, *self._options]
        argv += ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        with (self._state / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(lambda: self._answers() or self._process.poll() is not None, UP_SECONDS)
        assert self._process.poll() is None, (self._state / "log").read_text()[-2000:]

    def end(self):
        """SIGTERM, as by `systemctl stop docker`."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(DOWN_SECONDS)

    def enter(self):
        """What begins a command line that is to run in its network, where nothing but loopback is."""
        network = ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", "--"]
        subprocess.run([*network, "ip", "link", "set", "lo", "up"], check=True, timeout=CALL_SECONDS)
        return network

    def client(self):
        return docker.DockerClient(base_url=self.address, timeout=CALL_SECONDS)

    def close(self):
        try:
            self.end()
        finally:
            for process in self._left():  # with live-restore its containers and their keepers outlive it
                os.kill(process, signal.SIGKILL)
            eventually(lambda: not self._left())
            for folder in (self._folder, self._state):
                detach_below(folder)
                shutil.rmtree(folder)

    def _answers(self):
        runner, _ = connect({"DOCKER_HOST": self.address})
        if runner is None:
            return False
        runner._client.close()
        return True

    def _left(self):
        """Processes that name its folder on their command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if f"{self._state}/".encode() in words:
                    found.append(int(entry.name))
        return found


def put_image(client):
    """An image of this machine's own shell and `sleep`, with the libraries they need, and `train`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for source, name in {"/bin/sh": "bin/sh", "/bin/sleep": "bin/sleep", **_libraries()}.items():
            archive.add(Path(source).resolve(), arcname=name.lstrip("/"))
        member = tarfile.TarInfo("bin/train")
        member.size, member.mode = len(PROGRAM), 0o755
        archive.addfile(member, io.BytesIO(PROGRAM))
    repository, tag = IMAGE.split(":")
    client.api.import_image_from_data(buffer.getvalue(), repository, tag, changes=["ENV PATH=/bin"])


def _libraries():
    said = subprocess.run(["ldd", "/bin/sh", "/bin/sleep"], capture_output=True, text=True, check=True).stdout
    paths = {word for line in said.splitlines() for word in line.split() if word.startswith("/")}
    return {path: path for path in paths if not path.endswith(":")}
