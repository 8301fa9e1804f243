"""Assembles the endpoint: jobs, runners, the HTTP face and all of AWS behind it, in one process."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from local_mode.api import server
from local_mode.api.certificates import Authority
from local_mode.api.job_listener import Doors
from local_mode.api.proxy import Proxy, ProxyHandler
from local_mode.api.reach import ON_LOOPBACK, Reach, check_registry
from local_mode.api.signature import AccessKey
from local_mode.api.training_jobs import TrainingJobs
from local_mode.aws_later import AwsLater
from local_mode.channels.s3 import S3
from local_mode.channels.s3_access import S3Access
from local_mode.endpoint import Endpoint, Files, access_key, hold, publish, withdraw
from local_mode.errors import LocalModeError
from local_mode.experiments.service import Experiments
from local_mode.jobs.database import Database
from local_mode.jobs.folder import JobFolder, jobs_folder
from local_mode.jobs.listener import Both
from local_mode.jobs.log_archive import Archive, keep
from local_mode.jobs.log_stream import LogStream
from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.service import Service
from local_mode.jobs.sweep import Cleaner, sweep
from local_mode.jobs.task import Settings
from local_mode.object_store.objects import ObjectStore
from local_mode.page.access import link
from local_mode.page.views import Page
from local_mode.runners.choose import choose, digest
from local_mode.runners.forks import ForkServers
from local_mode.runners.protocol import Runner
from local_mode.runners.stand_in import StandIn
from local_mode.stopping import stop_signals
from local_mode.tracking.service import Tracking, followed, shared
from local_mode.tuning.service import Tuning

_LOOK_SECONDS = 0.1
ACCOUNT = "123456789012"
"""The one that all of AWS is of here, as moto has it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be served, and where."""

    root: Path
    port: int
    """0 is any free one."""
    reach: Reach = ON_LOOPBACK
    """Where, and for whom."""
    runtime: str
    """One of runners.choose.RUNTIMES."""
    stand_ins: Mapping[str, StandIn]
    caller: Mapping[str, str]
    """The environment of whoever serves."""
    settings: Settings
    cleaners: tuple[Cleaner, ...]
    registry: str = ""
    """HOST:PORT of a registry on this machine that ECR stands before; empty for none."""

    track: str = ""
    """MLflow's URI that jobs are sent to as runs; empty for none."""
    tied: bool = False
    """End when standard input does, as it does with whoever started this, however that ended."""

    def __post_init__(self) -> None:
        if self.registry:
            check_registry(self.registry)


def serve(plan: Plan) -> None:
    """Serve until SIGTERM, then stop the jobs and leave nothing behind; a second signal kills them.

    Raises:
        LocalModeError: the folder or the port is taken.
    """
    files = Files(root=plan.root.resolve())
    hold(files)  # to the end of the process: the folder is never without an owner
    with stop_signals() as signals, contextlib.ExitStack() as kept:
        if plan.tied:
            threading.Thread(target=_end_with_input, daemon=True, name="tied").start()
        for name in sweep(files.root, plan.cleaners):
            note(f"cleaned up after job {name}, whose local_mode was killed; it is marked Failed")
        kept.enter_context(Database(files.root).held())
        listener = _listen(plan)
        name, secret = access_key(files)
        key = AccessKey(id=name, secret=secret)
        url = f"http://{plan.reach.host}:{listener.getsockname()[1]}"
        found = Endpoint(pid=os.getpid(), url=url, region=plan.settings.region, access_key=name, secret=secret)
        store = ObjectStore(files.objects)
        aws = AwsLater(plan.settings.region, store, Archive(files.root), plan.registry)
        s3 = S3(S3Access(endpoint=url, region=plan.settings.region, access_key=key.id, secret=key.secret))
        doors = Doors(behind=aws, body=store.body, handler=server.Handler, note=note)
        tracking = Tracking(files.root, uri=plan.track, note=note, image_id=lambda image: digest(plan.caller, image))
        forks = ForkServers(files.root / "fork-servers", note)
        service = Service(
            root=files.root,
            settings=replace(plan.settings, s3=s3, door=doors, environment=shared(plan.track)),
            choose=lambda image: _choose(plan, image, forks),
            listen=lambda request: Both(_log_stream(files.root, request, aws), followed(tracking, request)),
        )
        tuning = Tuning(root=files.root, jobs=service, region=plan.settings.region, note=note)
        experiments = Experiments(root=files.root, jobs=service, region=plan.settings.region, account=ACCOUNT)
        front = server.Front(
            operations=TrainingJobs(service, tuning, experiments),
            behind=aws,
            key=key,
            body=store.body,
            note=note,
            page=Page(jobs=service, secret=secret, root=files.root),
            hosts=plan.reach.hosts,
        )
        http = server.make(front, listener, _handler(files, found.proxy_password))
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True, name="http").start()
        tracking.start()
        _resume(tuning)
        publish(files, found)
        _announce(files, found, plan.reach)
        try:
            _until_stopped(signals, service, tuning, aws)
        finally:
            forks.close()
            tracking.close()
            withdraw(files)
            http.shutdown()
            http.server_close()
            listener.close()
            store.close()
    note("ended")


def _listen(plan: Plan) -> socket.socket:
    try:
        return server.listen(plan.port, plan.reach.address)
    except OSError as error:
        text = (
            f"Cannot listen on {plan.reach.address}, port {plan.port}: {error.strerror}; give another: --port, or "
            "make local-up PORT=N."
        )
        raise LocalModeError(text) from None


def _resume(tuning: Tuning) -> None:
    for name in tuning.resume():
        note(f"going on with tuning job {name}")


def _announce(files: Files, found: Endpoint, reach: Reach) -> None:
    note(f"serving {found.url}, jobs in {files.root}")
    if reach.warning:
        note(reach.warning)
    note(f'for a shell: eval "$({sys.executable} -m local_mode env --root {files.root})"')
    note(f"in a browser, within the hour: {link(found.url, found.secret, time.time())}")


def _log_stream(root: Path, request: TrainingJobRequest, aws: AwsLater) -> LogStream:
    name, hosts = request.TrainingJobName, request.ResourceConfig.cluster.hosts
    kept = partial(keep, JobFolder(path=jobs_folder(root) / name))
    return LogStream(name, aws.put_logs, note, hosts=hosts, keep=kept)


def _handler(files: Files, password: str) -> type[ProxyHandler]:
    authority = Authority(certificate=files.authority, key=files.authority_key)
    proxy = Proxy(authority=authority, password=password, note=note)
    return type("_ProxyHandler", (ProxyHandler,), {"proxy": proxy})


def note(text: str) -> None:
    """Tell whoever runs the service."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _until_stopped(signals: list[int], service: Service, tuning: Tuning, aws: AwsLater) -> None:
    """The port stays open while jobs stop: they upload through it, and clients ask how they end."""
    while not signals:
        aws.check()
        time.sleep(_LOOK_SECONDS)
    while tuning.close(_LOOK_SECONDS):  # first, so that none starts another training job
        if len(signals) > 1:
            break
    if left := service.close():
        note(f"stopping {', '.join(sorted(left))}; a second signal kills")
    while service.close(kill=len(signals) > 1):
        time.sleep(_LOOK_SECONDS)


def _choose(plan: Plan, image: str, forks: ForkServers) -> Runner:
    runner, why = choose(plan.runtime, image=image, stand_ins=plan.stand_ins, caller=plan.caller, forks=forks)
    note(why)
    return runner
