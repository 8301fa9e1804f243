"""Starts the feeder program for a job, listens to its progress, and ends it."""

import contextlib
import importlib.util
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import trainjob

import local_mode
from local_mode.channels.feeders import Feeders
from local_mode.channels.gauge import Spent
from local_mode.channels.plan import ChannelPlan, feeder_document
from local_mode.channels.s3_access import S3Access
from local_mode.channels.sending import fifo, make_fifo
from local_mode.errors import FeederError

_WITHOUT_S3, _WITH_S3 = Feeders(options=["-S"]), Feeders(modules=["boto3"])
"""Without S3 a feeder imports the standard library alone, and no site-packages, which are a quarter of its start."""
_END_SECONDS = 10
"""The feeder ends within its next wake-up; a second or two on a machine under load."""

Progress = Callable[[str, int, int, Spent], None]
"""Called with channel, epoch, bytes sent over all epochs, and where the time went."""


class Feeding:
    """The feeder of one job."""

    def __init__(
        self,
        plans: Iterable[ChannelPlan],
        *,
        folder: Path,
        marker: dict[str, str],
        progress: Progress,
        s3: S3Access | None = None,
    ) -> None:
        """Feed FIFOs in `folder`; `folder`'s parent must be writable for the plan; `marker` goes to its environment.

        So does the key to `s3`: no file has it, and no other user can read it there. When this returns a program finds
        the first FIFO of each channel, and can start while the feeder does.

        Raises:
            FeederError: a FIFO cannot be made.
        """
        plans = list(plans)
        self._progress = progress
        self._error: FeederError | None = None
        self._is_stopped = False
        with contextlib.ExitStack() as made:
            for plan in plans:
                path = fifo(folder, plan.spec.name, 0)
                try:
                    make_fifo(path)
                except OSError as error:
                    raise FeederError(f"Cannot make the FIFO {path}: {error.strerror}.") from None
                made.callback(path.unlink, missing_ok=True)
            file = folder.parent / "feeder.json"
            made.callback(file.unlink, missing_ok=True)
            document = feeder_document(plans, folder=folder, parent=os.getpid())
            file.write_text(json.dumps(document), encoding="utf-8")
            source = _WITH_S3 if s3 else _WITHOUT_S3
            common = _surroundings(with_s3=s3 is not None)
            self._feeder = source.start(file, s3.environment() if s3 else {}, marker, common)
            self._made = made.pop_all()  # the feeder may end before it knows of a FIFO
        self._listener = threading.Thread(target=self._listen, daemon=True, name="feeder-progress")
        self._listener.start()

    @property
    def error(self) -> FeederError | None:
        """Why a channel cannot be fed any more; None while all is well."""
        return self._error

    def stop(self) -> None:
        """End the feeder; its FIFOs are removed when this returns."""
        if not self._feeder.wait(0):
            self._is_stopped = True
            self._feeder.send(signal.SIGTERM)
        if not self._feeder.wait(_END_SECONDS):
            self._feeder.send(signal.SIGKILL)
        self._listener.join(_END_SECONDS)
        self._feeder.close()
        self._made.close()

    def _listen(self) -> None:
        stray: list[str] = []
        if reason := self._feeder.begin():
            self._error = FeederError(f"The feeder cannot be started: {reason}.")
            return
        for line in self._feeder.lines:
            if not line.startswith("{"):
                stray.append(line.strip())
                continue
            news = json.loads(line)
            if "error" in news:
                self._error = FeederError(f"Channel {news['channel']!r}: {news['error']}")
            else:
                self._progress(news["channel"], news["epoch"], news["bytes"], Spent(**news["seconds"]))
        code = self._feeder.end()
        if self._is_stopped and code == -signal.SIGTERM:
            return  # it had not come to where it ends in order: a program can be done before its feeder is there
        if code and not self._error:
            self._error = FeederError(f"The feeder ended with code {code}: {' / '.join(stray[-3:]) or 'no output'}")


def environment(marker: dict[str, str], s3: S3Access | None) -> dict[str, str]:
    """All that a program of ours beside a container is given: where its modules are, a key to S3, and `marker`."""
    return {**_surroundings(with_s3=s3 is not None), **(s3.environment() if s3 else {}), **marker}


def _surroundings(*, with_s3: bool) -> dict[str, str]:
    folders = [str(Path(module.__path__[0]).parent) for module in (local_mode, trainjob)]
    for needed in ("boto3", "mfusepy") if with_s3 else ():
        if (found := importlib.util.find_spec(needed)) and found.origin:
            folders.append(str(Path(found.origin).parents[1 if found.submodule_search_locations else 0]))
    path = os.pathsep.join(dict.fromkeys(folders))
    return {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
