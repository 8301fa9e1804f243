"""All of AWS that is not ours, made while the port is open: to load moto takes as long as all else of a start."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIEnvironment

from local_mode.jobs.log_archive import Archive
from local_mode.object_store.objects import ObjectStore

if TYPE_CHECKING:
    from local_mode.aws import Aws

_PATIENCE_SECONDS = 60
"""What loading takes on the slowest of disks, many times over."""


class AwsLater:
    """An `Aws` that is asked before it is there: whoever comes early waits. Jobs and the page need not."""

    def __init__(self, region: str, store: ObjectStore, archive: Archive, registry: str = "") -> None:
        """Begin to make it, of what `Aws` is made."""
        self._parts = region, store, archive, registry
        self._made: Future[Aws] = Future()
        threading.Thread(target=self._make, daemon=True, name="aws").start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self._aws(environ, start_response)

    def put_logs(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        """Add events to a stream of CloudWatch Logs; see `Logs.put`."""
        self._aws.logs.put(group, stream, events)

    def check(self) -> None:
        """Raise what it could not be made for, if it could not; does not wait."""
        if self._made.done():
            self._made.result()

    @property
    def _aws(self) -> "Aws":
        return self._made.result(_PATIENCE_SECONDS)

    def _make(self) -> None:
        try:
            from local_mode.aws import Aws  # noqa: PLC0415 - here, and nowhere earlier, as this is for

            self._made.set_result(Aws(*self._parts))
        except BaseException as error:  # noqa: BLE001 - raised where it is asked for
            self._made.set_exception(error)
