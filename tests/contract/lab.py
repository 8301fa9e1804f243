"""Runs jobs for the contract suite and looks at what they leave."""

import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import docker

from local_mode.jobs.choices import parse as parse_choices
from local_mode.jobs.create import create
from local_mode.jobs.rules import parse
from local_mode.jobs.task import Settings
from local_mode.runners.docker_network import JOB_LABEL
from local_mode.runners.leftovers import temporary_folder
from local_mode.runners.protocol import mark

PROGRAM = Path(__file__).parent / "program"
# Of this checkout and this worker: others may test on the same engine at the same time.
TESTER = f"{PROGRAM} {os.environ.get('PYTEST_XDIST_WORKER', '')}"
IMAGE = f"local-mode-contract:{sha256(TESTER.encode()).hexdigest()[:12]}"
END_SECONDS = 60
REPOSITORY = Path(__file__).parents[2]
KEPT = {"request.json", "job.json", "logs", "model.tar.gz", "output.tar.gz", "checkpoints", "model", "output"}


def stand_ins(python=sys.executable):
    return {
        IMAGE: {
            "interpreter": python,
            "python_path": [str(PROGRAM)],
            "environment": {"FROM_IMAGE": "yes"},
            "train": ["-m", "contract_job"],
            "preload": "contract_preload:load",
        }
    }


def document(name, act, folder, *, channels=None, mode="Pipe", **fields):
    """A request whose program does `act`; `channels` maps names to URIs."""
    algorithm = {"TrainingImage": IMAGE, "TrainingInputMode": mode, **fields.pop("algorithm", {})}
    sources = {
        key: {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": str(uri)}} for key, uri in (channels or {}).items()
    }
    return {
        "TrainingJobName": name,
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "AlgorithmSpecification": algorithm,
        "HyperParameters": {"act": json.dumps(act), **fields.pop("hyperparameters", {})},
        "InputDataConfig": [{"ChannelName": key, "DataSource": value} for key, value in sources.items()],
        "OutputDataConfig": {"S3OutputPath": str(folder / "out")},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **fields,
    }


@dataclass
class Recorder:
    """A listener that keeps everything."""

    lines: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    """Whose lines they are."""
    notes: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    ready: threading.Event = field(default_factory=threading.Event)

    def line(self, text, host):
        self.lines.append(text.decode("utf-8", "replace"))
        self.hosts.append(host)
        if "ready" in self.lines[-1]:
            self.ready.set()

    def status(self, secondary, message):
        pass

    def progress(self, channel, epoch, bytes_sent, host):
        self.sent[channel] = bytes_sent

    def metric(self, name, value, at):
        pass

    def note(self, text):
        self.notes.append(text)


@dataclass
class Lab:
    """One runner, one root folder."""

    runner: object
    kind: str
    folder: Path
    client: object = None
    count: int = 0
    s3: object = None
    """Serves s3:// places of its jobs."""
    tags: tuple = ()
    """Of every job."""

    @property
    def root(self):
        return self.folder / "root"

    def start(self, act, *, grace=30.0, choose=(), **fields):
        self.count += 1
        if self.tags:
            fields["Tags"] = [*self.tags, *fields.get("Tags", ())]
        request = parse(document(f"job-{self.count}", act, self.folder, **fields))
        recorder = Recorder()
        settings = Settings(
            shm_bytes=64 << 20, grace_seconds=grace, region="eu-west-1", s3=self.s3, choices=parse_choices(choose)
        )
        job = create(request, runner=self.runner, root=self.root, console=recorder, settings=settings)
        return Run(job=job, recorder=recorder, lab=self)

    def run(self, act, **fields):
        return self.start(act, **fields).end()


@dataclass
class Run:
    """A job, and what it left."""

    job: object
    recorder: Recorder
    lab: Lab

    def end(self):
        if not self.job.wait(END_SECONDS):
            self.job.kill()
            raise AssertionError(f"no end: {self.recorder.lines} {self.recorder.notes}")
        assert_nothing_left(self.folder, self.lab.client)
        return self

    @property
    def folder(self):
        return self.job.folder.path

    @property
    def description(self):
        return self.job.describe()

    @property
    def status(self):
        described = self.description
        assert not [note for note in self.recorder.notes if "Traceback" in note], self.recorder.notes
        return described["TrainingJobStatus"]

    @property
    def secondaries(self):
        return [item["Status"] for item in self.description["SecondaryStatusTransitions"]]

    @property
    def report(self):
        assert self.status in ("Completed", "Stopped"), (self.description.get("FailureReason"), self.recorder.lines)
        return json.loads(self.packed("model.tar.gz")["report.json"])

    def packed(self, name):
        """Files of an archive, by name."""
        with tarfile.open(self.folder / name) as archive:
            return {item.name: archive.extractfile(item).read() for item in archive if item.isfile()}


def assert_nothing_left(folder, client):
    """No process, container, FIFO or temporary file of this job."""
    assert {path.name for path in folder.iterdir()} <= KEPT
    assert not [path for path in folder.rglob("*") if path.is_fifo()]
    assert processes(folder) == []
    assert not temporary_folder(folder).exists()
    if client is not None:
        mine = {"label": f"{JOB_LABEL}={folder}"}
        assert client.containers.list(all=True, filters=mine) == []
        assert client.networks.list(filters=mine) == []
        assert client.volumes.list(filters=mine) == []


def processes(folder):
    """Ids of the processes that name the job's folder in their environment or command line, but for ours."""
    found = []
    ((key, value),) = mark(folder).items()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if (f"{key}={value}".encode() in text or f"{folder}/scratch".encode() in text) and state != "Z":
            found.append(int(entry.name))
    return found


def eventually(condition, seconds=20.0):
    """Wait for a condition, with a bound."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def command_line(kind, folder, request, *options, python):
    """argv and environment of the command line for a runner kind."""
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "stand_ins.json").write_text(json.dumps(stand_ins(python)))
    runtime = "docker" if kind == "docker" else "process"
    argv = [python, "-m", "local_mode", "train", str(folder / "request.json"), "--runtime", runtime]
    argv += ["--stand-ins", str(folder / "stand_ins.json"), "--root", str(folder / "root"), *options]
    environment = {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/containers/common:{Path(docker.__file__).parents[1]}",
        "PYTHONDONTWRITEBYTECODE": "1",
        # What is not on PATH is not installed, as far as local_mode can see.
        "PATH": "/nonexistent" if kind == "plain" else os.environ["PATH"],
    }
    return argv, environment


def launch(kind, folder, request, *options, prefix=(), python=sys.executable, **popen):
    argv, environment = command_line(kind, folder, request, *options, python=python)
    return subprocess.Popen(
        [*prefix, *argv], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen
    )
