"""A real endpoint in a process of its own, and real boto3 clients that call it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
import docker
from botocore.config import Config

from tests.contract.lab import IMAGE, REPOSITORY, eventually, stand_ins

END_SECONDS = 60
ROLE = "arn:aws:iam::123456789012:role/any"
BUCKET = "a-bucket"
LOGS = "/aws/sagemaker/TrainingJobs"
_SESSION = boto3.session.Session()
_CLIENTS = {}
ENDED = ("Completed", "Failed", "Stopped")


def environment(path=None):
    return {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/containers/common:{Path(docker.__file__).parents[1]}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": path or os.environ["PATH"],
    }


@dataclass
class Server:
    """One endpoint."""

    root: Path
    process: subprocess.Popen
    log: Path

    @classmethod
    def start(cls, folder, *options, path=None, runtime="process"):
        """Serve on a free port; `folder` keeps root, stand-ins and log."""
        (folder / "stand_ins.json").write_text(json.dumps(stand_ins()))
        argv = [sys.executable, "-m", "local_mode", "serve", "--port", "0", "--runtime", runtime]
        argv += ["--stand-ins", str(folder / "stand_ins.json"), "--root", str(folder / "root"), *options]
        log = folder / "server.log"
        with log.open("ab") as output:
            process = subprocess.Popen(argv, env=environment(path), stdout=output, stderr=output)
        server = cls(root=folder / "root", process=process, log=log)
        eventually(lambda: server.is_up() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        return server

    def is_up(self):
        try:
            return self.found["pid"] == self.process.pid
        except FileNotFoundError:
            return False  # not there yet, or a killed one's that was just taken away

    @property
    def found(self):
        return json.loads((self.root / "endpoint.json").read_text())

    @property
    def url(self):
        return self.found["url"]

    def client(self, service, **changes):
        found = self.found
        settings = {
            "endpoint_url": found["url"],
            "region_name": found["region"],
            "aws_access_key_id": found["access_key"],
            "aws_secret_access_key": found["secret"],
            "config": Config(retries={"total_max_attempts": 1}, proxies={}, parameter_validation=False),
        }
        # Kept, because making one takes a third of a second.
        key = (service, found["url"], found["access_key"], repr(sorted(changes)), *map(str, changes.values()))
        if key not in _CLIENTS:
            _CLIENTS[key] = _SESSION.client(service, **settings | changes)
        return _CLIENTS[key]

    def create(self, name, act, *, channels=None, mode="Pipe", **fields):
        """Create a job; its answer."""
        return self.client("sagemaker").create_training_job(
            **request(name, act, channels=channels, mode=mode, **fields)
        )

    def describe(self, name):
        return self.client("sagemaker").describe_training_job(TrainingJobName=name)

    def ended(self, name):
        """The description of a job at its end."""
        sagemaker = self.client("sagemaker")
        seen = {}

        def is_over():
            seen.update(sagemaker.describe_training_job(TrainingJobName=name))
            return seen["TrainingJobStatus"] in ENDED

        eventually(is_over, END_SECONDS)
        return seen

    def cleared(self, *names):
        """Wait until ended jobs are cleared away: a job's lock goes last, after its status is told."""
        locks = [self.root / "jobs" / name / "lock" for name in names]
        eventually(lambda: not any(lock.exists() for lock in locks), END_SECONDS)

    def log_lines(self, name):
        """Messages of a job's only log stream; none before there is one."""
        logs = self.client("logs")
        groups = logs.describe_log_groups(logGroupNamePrefix=LOGS)["logGroups"]
        if not groups:
            return []
        streams = logs.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix=f"{name}/")["logStreams"]
        if not streams:
            return []
        (stream,) = streams
        events = logs.get_log_events(logGroupName=LOGS, logStreamName=stream["logStreamName"], startFromHead=True)
        return [event["message"] for event in events["events"]]

    def end(self, number=signal.SIGTERM):
        """End it; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(END_SECONDS)


def request(name, act, *, channels=None, mode="Pipe", **fields):
    algorithm = {"TrainingImage": IMAGE, "TrainingInputMode": mode, **fields.pop("algorithm", {})}
    sources = {
        key: {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": str(uri)}} for key, uri in (channels or {}).items()
    }
    inputs = [{"ChannelName": key, "DataSource": value} for key, value in sources.items()]
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": algorithm,
        "HyperParameters": {"act": json.dumps(act)},
        **({"InputDataConfig": inputs} if inputs else {}),
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **fields,
    }
