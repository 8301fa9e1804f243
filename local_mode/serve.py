"""Assembles the endpoint: jobs, runners, the HTTP face and all of AWS behind it, in one process."""

import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from local_mode.api import server
from local_mode.api.signature import AccessKey
from local_mode.api.training_jobs import TrainingJobs
from local_mode.aws import Aws, HeaderHandler
from local_mode.endpoint import Endpoint, Files, access_key, hold, publish, withdraw
from local_mode.errors import LocalModeError
from local_mode.instance.s3 import S3
from local_mode.jobs.execution import Settings
from local_mode.jobs.log_stream import LogStream
from local_mode.jobs.service import Service
from local_mode.jobs.sweep import Cleaner, sweep
from local_mode.runners.choose import choose
from local_mode.runners.protocol import Runner
from local_mode.runners.stand_in import StandIn
from local_mode.stopping import stop_signals

_LOOK_SECONDS = 0.1


class _Handler(server.Handler, HeaderHandler):
    """Ours before moto's: raw headers for the signature, and metadata with underscores."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be served, and where."""

    root: Path
    port: int
    """0 is any free one."""
    runtime: str
    """One of runners.choose.RUNTIMES."""
    stand_ins: Mapping[str, StandIn]
    caller: Mapping[str, str]
    """The environment of whoever serves."""
    settings: Settings
    cleaners: tuple[Cleaner, ...]


def serve(plan: Plan) -> None:
    """Serve until SIGTERM, then stop the jobs and leave nothing behind; a second signal kills them.

    Raises:
        LocalModeError: the folder or the port is taken.
    """
    files = Files(root=plan.root.resolve())
    hold(files)  # to the end of the process: the folder is never without an owner
    with stop_signals() as signals:
        for name in sweep(files.root, plan.cleaners):
            note(f"cleaned up after job {name}, whose local_mode was killed; it is marked Failed")
        try:
            listener = server.listen(plan.port)
        except OSError as error:
            text = f"Cannot listen on port {plan.port}: {error.strerror}; give another in --port."
            raise LocalModeError(text) from None
        name, secret = access_key(files)
        key = AccessKey(id=name, secret=secret)
        url = f"http://{server.LOOPBACK}:{listener.getsockname()[1]}"
        aws = Aws(plan.settings.region)
        s3 = S3(endpoint=url, access_key=key.id, secret=key.secret, region=plan.settings.region)
        service = Service(
            root=files.root,
            settings=replace(plan.settings, s3=s3),
            choose=lambda image: _choose(plan, image),
            listen=lambda request: LogStream(request.TrainingJobName, aws.put_log_events, note),
        )
        front = server.Front(operations=TrainingJobs(service), behind=aws, key=key, note=note)
        http = server.make(front, listener, _Handler)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True, name="http").start()
        region = plan.settings.region
        publish(files, Endpoint(pid=os.getpid(), url=url, region=region, access_key=key.id, secret=key.secret))
        note(f"serving {url}, jobs in {files.root}")
        note(f'for a shell: eval "$(python -m local_mode env --root {files.root})"')
        try:
            _until_stopped(signals, service)
        finally:
            withdraw(files)
            http.shutdown()
            http.server_close()
            listener.close()
    note("ended")


def note(text: str) -> None:
    """Tell whoever runs the service."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _until_stopped(signals: list[int], service: Service) -> None:
    """The port stays open while jobs stop: they upload through it, and clients ask how they end."""
    while not signals:
        time.sleep(_LOOK_SECONDS)
    if left := service.close():
        note(f"stopping {', '.join(sorted(left))}; a second signal kills")
    while service.close(kill=len(signals) > 1):
        time.sleep(_LOOK_SECONDS)


def _choose(plan: Plan, image: str) -> Runner:
    runner, why = choose(plan.runtime, image=image, stand_ins=plan.stand_ins, caller=plan.caller)
    note(why)
    return runner
