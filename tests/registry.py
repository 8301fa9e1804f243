"""Debian's docker-registry as a process of a test's own, on a folder that may outlive it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

PROGRAM = "docker-registry"
USER = "AWS:123456789012-auth-token"
"""As moto's ECR gives it out, with the one hash that docker-registry takes, which Python no longer makes."""
_HASHED = "AWS:$2b$04$jVu9/nK0Pi603CMHbGDVHeAekCDm6SlUprpKVJD2VgYcnWpzoGn46"
_UP_SECONDS = 30
_DOWN_SECONDS = 10


def why_not():
    """Why no registry can be started here; empty when one can."""
    return "" if shutil.which(PROGRAM) else f"there is no {PROGRAM}; as root run .ci/registry, or install the package"


class Registry:
    """One registry. `end` must follow `start`; what was pushed stays in its folder."""

    def __init__(self, folder, *, private=False, port=0):
        """`private` asks for USER; `port` 0 is a free one, which it keeps when it is started again."""
        self.folder, self._private = Path(folder), private
        self.host = f"127.0.0.1:{port or _free_port()}"
        self._process = None

    def start(self, enter=()):
        """Serve; `enter` begins the command line, as nsenter does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "htpasswd").write_text(_HASHED + "\n")
        config = self.folder / "config.yml"
        config.write_text(self._config())
        with (self.folder / "log").open("ab") as log:
            begin = log.tell()
            argv = [*enter, PROGRAM, "serve", str(config)]
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _UP_SECONDS
        # In another network it cannot be called from here, but it says when it listens.
        while not (b"listening on" in (self.folder / "log").read_bytes()[begin:] if enter else self._answers()):
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.05)

    def kill(self):
        """As a machine that fails."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(_DOWN_SECONDS)

    def freeze(self):
        """It takes nothing more, and says nothing, until it is thawed."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def end(self):
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            self._process.wait(_DOWN_SECONDS)

    def tags(self, repository):
        """By tag, the digest that it names."""
        folder = self.folder / "data/docker/registry/v2/repositories" / repository / "_manifests/tags"
        return {path.name: (path / "current/link").read_text() for path in folder.iterdir()} if folder.exists() else {}

    def uploaded_bytes(self):
        """Of layers that are under way."""
        return sum(size for path, size in self._layers("repositories") if "_uploads" in path.parts)

    def blobs(self):
        """Digest and size of all that has arrived whole."""
        return {path.name: size for path, size in self._layers("blobs/sha256")}

    def _layers(self, folder):
        """Folder and size of each layer's bytes; os.walk passes over what the registry moves meanwhile, glob fails."""
        for path, _, names in os.walk(self.folder / "data/docker/registry/v2" / folder):
            if "data" in names:
                with contextlib.suppress(FileNotFoundError):
                    yield Path(path), Path(path, "data").stat().st_size

    def _config(self):
        auth = f"auth: {{htpasswd: {{realm: test, path: {self.folder}/htpasswd}}}}\n" if self._private else ""
        return (
            "version: 0.1\nlog: {level: info}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n{auth}"
        )

    def _answers(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(f"http://{self.host}/v2/", timeout=5).close()
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 401
        except OSError:
            return False
        return True


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
