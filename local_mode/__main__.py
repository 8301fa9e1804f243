"""Command line of local_mode.

Run:  python -m local_mode train REQUEST.json [--runtime auto|docker|process] [--stand-ins FILE]
      python -m local_mode doctor IMAGE|REQUEST.json [--log FILE]   what would fail, before it does
      python -m local_mode serve [--port N] [--background]     AWS's API on this machine
      eval "$(python -m local_mode env)"                       lead this shell's AWS clients there
      python -m local_mode page                                print a link to the endpoint's page
      python -m local_mode down                                end it
      python -m local_mode interrupt JOB [--wait SECONDS]      take a spot job's instance away

Exit code of train: 0 Completed, 1 Failed or refused, 2 Stopped; of doctor: 1 when something must be mended.
"""

import argparse
import contextlib
import gc
import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from local_mode import host
from local_mode.api.reach import LOOPBACK, Reach
from local_mode.channels.s3_access import S3Access
from local_mode.console import Console
from local_mode.doctor import examination
from local_mode.endpoint import DEFAULT_PORT, Files, end, find, start_in_background
from local_mode.errors import LocalModeError
from local_mode.jobs.choices import listed
from local_mode.jobs.choices import parse as parse_choices
from local_mode.jobs.create import create
from local_mode.jobs.database import Database
from local_mode.jobs.interrupt import interrupt
from local_mode.jobs.job import Job
from local_mode.jobs.listener import Both
from local_mode.jobs.record import COMPLETED, STOPPED
from local_mode.jobs.rules import parse
from local_mode.jobs.sweep import sweep
from local_mode.jobs.task import Settings
from local_mode.page.access import link
from local_mode.runners import process
from local_mode.runners.choose import RUNTIMES, choose, connected, digest
from local_mode.runners.protocol import STOP_GRACE_SECONDS
from local_mode.runners.stand_in import StandIn, StandInFile, read_stand_ins
from local_mode.shell import exports, without_proxy
from local_mode.stopping import stop_signals
from local_mode.tracking.service import Tracking, followed, shared, where

if TYPE_CHECKING:
    from local_mode.channels.s3 import S3

EXIT_COMPLETED, EXIT_FAILED, EXIT_STOPPED = 0, 1, 2
_PACKING_SECONDS = 300
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        arguments = _parser().parse_args(words)
        arguments.words = words
        host.check()
        return _COMMANDS[arguments.command](arguments)
    except LocalModeError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def _train(arguments: argparse.Namespace) -> int:
    request = parse(_read_json(arguments.request))
    stand_ins, settings = _stand_ins(arguments), _settings(arguments)
    image = request.AlgorithmSpecification.TrainingImage
    runner, why = choose(arguments.runtime, image=image, stand_ins=stand_ins, caller=os.environ)
    console = Console(hosts=request.ResourceConfig.host_count)
    console.note(why)
    root = arguments.root.resolve()
    for name in sweep(root, _CLEANERS):
        console.note(f"cleaned up after job {name}, whose local_mode was killed; it is marked Failed")
    if arguments.aws:
        settings = replace(settings, s3=_callers_s3(settings.region))
    uri = where(arguments.track, root, os.environ)
    settings = replace(settings, environment=shared(uri))
    tracking = Tracking(root, uri=uri, note=console.note, image_id=lambda name: digest(os.environ, name))
    with stop_signals() as signals, Database(root).held():
        job = create(
            request, runner=runner, root=root, console=Both(console, followed(tracking, request)), settings=settings
        )
        tracking.start()
        _follow(job, signals, console, arguments.stop_grace)
    description = job.describe()
    console.summary(description, job.folder.path)
    tracking.close()
    return {COMPLETED: EXIT_COMPLETED, STOPPED: EXIT_STOPPED}.get(description["TrainingJobStatus"], EXIT_FAILED)


def _follow(job: Job, signals: list[int], console: Console, grace: float) -> None:
    """Wait for the end; the first signal stops the job as StopTrainingJob does, the second kills it."""
    answered = 0
    while not job.wait(0.1):
        if len(signals) > answered:
            name = signal.Signals(signals[answered]).name
            if answered == 0:
                console.note(f"{name}: stopping the job; SIGKILL follows in {grace:g} s, or at the next {name}")
                job.stop()
            else:
                console.note(f"{name}: killing the job")
                job.kill()
            answered += 1


def _doctor(arguments: argparse.Namespace) -> int:
    engine, reason = connected(os.environ)
    inspect = engine.inspect if engine else None
    target = Path(arguments.target)
    if target.suffix == ".json" or target.is_file():
        log = arguments.log.read_text(encoding="utf-8", errors="replace").splitlines() if arguments.log else None
        s3, unserved = _s3_to_look_at(arguments)
        findings = examination.of_request(
            _read_json(target), log=log, inspect=inspect, reason=reason, s3=s3, unserved=unserved
        )
    else:
        findings = examination.of_image(arguments.target, inspect=inspect, reason=reason)
    print("\n".join(map(str, findings)))
    return EXIT_FAILED if examination.has_failed(findings) else EXIT_COMPLETED


def _s3_to_look_at(arguments: argparse.Namespace) -> "tuple[S3 | None, str]":
    """AWS's own where that is asked for, else the endpoint's; why there is none."""
    if arguments.aws:
        return _callers_s3(os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"), ""
    try:
        here = find(Files(root=arguments.root.resolve()))
    except LocalModeError as error:
        return None, str(error)
    from local_mode.channels.s3 import S3  # noqa: PLC0415  # where an endpoint runs there is boto3

    access = S3Access(endpoint=here.url, region=here.region, access_key=here.access_key, secret=here.secret)
    return S3(access), ""


def _serve(arguments: argparse.Namespace) -> int:
    files = Files(root=arguments.root.resolve())
    reach = Reach(address=arguments.address, names=tuple(arguments.name), exposed=arguments.exposed)
    if arguments.background:
        if reach.warning:
            print(reach.warning, file=sys.stderr)
        with contextlib.suppress(LocalModeError):
            print(f"runs already: process {find(files).pid}; other options need `down` first", file=sys.stderr)
        print(start_in_background(files, [word for word in arguments.words[1:] if word != "--background"]).url)
        return 0
    gc.disable()  # a thousand modules of objects that all stay: to look through them costs a twelfth of the start
    try:
        from local_mode.serve import Plan, serve  # noqa: PLC0415  # brings moto, which `train` does without
    except ModuleNotFoundError as error:
        raise LocalModeError(
            f"`serve` needs {error.name}, which is not installed: `make local-up` installs it, and so does "
            "pip install 'local-mode[serve]'."
        ) from None
    gc.freeze()
    gc.enable()
    serve(
        Plan(
            root=files.root,
            port=arguments.port,
            reach=reach,
            runtime=arguments.runtime,
            stand_ins=StandInFile(arguments.stand_ins) if arguments.stand_ins else {},
            caller=without_proxy(os.environ),
            settings=_settings(arguments),
            cleaners=_CLEANERS,
            registry=arguments.registry,
            track=where(arguments.track, files.root, os.environ),
            tied=arguments.tied,
        )
    )
    return 0


def _env(arguments: argparse.Namespace) -> int:
    files = Files(root=arguments.root.resolve())
    print(exports(files, find(files), os.environ))
    return 0


def _page(arguments: argparse.Namespace) -> int:
    endpoint = find(Files(root=arguments.root.resolve()))
    print(link(endpoint.url, endpoint.secret, time.time()))
    return 0


def _down(arguments: argparse.Namespace) -> int:
    # SIGTERM gives every job its grace; after it comes what artifacts need to be packed.
    end(Files(root=arguments.root.resolve()), patience=arguments.stop_grace + _PACKING_SECONDS)
    return 0


def _interrupt(arguments: argparse.Namespace) -> int:
    interrupt(arguments.root.resolve(), arguments.job, wait=arguments.wait)
    print(f"{arguments.job}: interrupted")
    return 0


def _stand_ins(arguments: argparse.Namespace) -> dict[str, StandIn]:
    return dict(read_stand_ins(arguments.stand_ins)) if arguments.stand_ins else {}


def _settings(arguments: argparse.Namespace) -> Settings:
    region = arguments.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    choices = parse_choices(arguments.choose)
    return Settings(shm_bytes=arguments.shm_size, grace_seconds=arguments.stop_grace, region=region, choices=choices)


def _callers_s3(region: str) -> "S3":
    try:
        from local_mode.channels.s3 import of_caller  # noqa: PLC0415  # brings boto3, which jobs of folders do without
    except ModuleNotFoundError as error:
        text = f"`--aws` needs {error.name}, which is not installed: pip install 'local-mode[serve]' does that."
        raise LocalModeError(text) from None
    return of_caller(region)


def _remove_containers(job_folder: Path) -> None:
    """Remove containers of a dead job, where an engine answers; where none does, none can run."""
    engine, _ = connected(os.environ)
    if engine is not None:
        engine.remove_leftovers(job_folder)


_CLEANERS = (process.remove_leftovers, _remove_containers)
_COMMANDS = {
    "train": _train, "doctor": _doctor, "serve": _serve, "env": _env, "page": _page, "down": _down,
    "interrupt": _interrupt,
}  # fmt: skip


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalModeError(f"Cannot read the request {path}: {error.strerror}; give a JSON file.") from None
    except ValueError as error:
        raise LocalModeError(f"The request {path} is not JSON: {error}.") from None


def _size(text: str) -> int:
    """Bytes of a size such as 512m or 2g."""
    match = re.fullmatch(r"(\d+)([kmg]?)b?", text.lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write one like 512m or 2g")
    return int(match[1]) * _UNITS[match[2]]


def _log(text: str) -> Path:
    if not os.access(text, os.R_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read; give the log of a run")
    return Path(text)


class _Parser(argparse.ArgumentParser):
    """Ends with exit code 1 on a wrong command line, as on every mistake of the user: 2 means Stopped."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_FAILED, f"error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    # As it can be typed: messages name it.
    program = "local-mode" if Path(sys.argv[0]).name == "local-mode" else "python -m local_mode"
    parser = _Parser(prog=program, description="A local SageMaker.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    train = commands.add_parser("train", help="run a CreateTrainingJob request", epilog="Exit code: 0 Completed, "
                                "1 Failed or refused, 2 Stopped.")  # fmt: skip
    train.add_argument("request", type=Path, metavar="REQUEST.json", help="a CreateTrainingJob request")
    doctor = commands.add_parser("doctor", help="what would fail in an image or a request, before it does")
    doctor.add_argument("target", metavar="IMAGE|REQUEST.json", help="an image's name, or a request's file")
    doctor.add_argument("--log", type=_log, metavar="FILE", help="log of a run, for the request's metrics")
    doctor.add_argument("--aws", action="store_true",
                        help="look at s3:// places in AWS's own S3, with this user's credentials; else in the "
                             "endpoint that runs in --root, if one does")  # fmt: skip
    train.add_argument("--aws", action="store_true",
                       help="let s3:// be that of your AWS account, with your credentials of now; AWS charges for it"
                       )  # fmt: skip
    # No abbreviations: --background is taken out of what the process in the background is given.
    serve = commands.add_parser("serve", help="AWS's API on this machine, until SIGTERM", allow_abbrev=False)
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 is any free one (%(default)s)")
    serve.add_argument("--address", default=LOOPBACK, help="of this machine, to listen on (%(default)s)")
    serve.add_argument("--exposed", action="store_true", help="let --address be one that other machines get to")
    serve.add_argument("--name", action="append", default=[], help="one that clients call this machine by; repeatable")
    serve.add_argument("--registry", default="", metavar="HOST:PORT",
                       help="of this machine, which ECR then stands before, as in localhost:5000")  # fmt: skip
    serve.add_argument("--background", action="store_true", help="return when it answers, and leave it running")
    serve.add_argument("--tied", action="store_true", help="end when standard input does")
    env = commands.add_parser("env", help="print what leads a shell's AWS clients to the endpoint")
    page = commands.add_parser("page", help="print a link, good for an hour, to the endpoint's page in a browser")
    down = commands.add_parser("down", help="stop the endpoint and its jobs")
    interruption = commands.add_parser("interrupt", help="take the instance of a managed spot training job away")
    interruption.add_argument("job", metavar="JOB", help="the name of a job that trains")
    interruption.add_argument("--wait", type=float, default=0.0, metavar="SECONDS",
                              help="until there is an instance again (%(default)s)")  # fmt: skip
    for command in (train, serve):
        command.add_argument("--runtime", choices=RUNTIMES, default="auto",
                             help="default: Docker if it can, else process")  # fmt: skip
        command.add_argument("--stand-ins", type=Path, metavar="FILE",
                             help="what runs in place of images, without Docker")  # fmt: skip
        command.add_argument("--region", help="default: AWS_REGION, else us-east-1")
        command.add_argument("--shm-size", type=_size, default=_size("2g"), metavar="SIZE",
                             help="shared memory in Docker (2g)")  # fmt: skip
        command.add_argument("--choose", action="append", default=[], metavar="NAME=VALUE",
                             help=f"where SageMaker is not known, or not to be relied upon: {listed()}; the first of "
                             "each is taken")  # fmt: skip
        command.add_argument("--track", nargs="?", const="", metavar="URI",
                             help="send jobs to MLflow as runs: at URI, else at MLFLOW_TRACKING_URI, else in a file "
                             "beside the jobs")  # fmt: skip
    for command in (train, serve, down):
        command.add_argument("--stop-grace", type=float, default=STOP_GRACE_SECONDS, metavar="SECONDS",
                             help="from SIGTERM to SIGKILL (%(default)s)")  # fmt: skip
    for command in (train, doctor, serve, env, page, down, interruption):
        command.add_argument("--root", type=Path, default=Path(".local_mode"), help="folder of all jobs (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
