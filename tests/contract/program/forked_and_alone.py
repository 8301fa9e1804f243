"""Runs one job forked and one alone, by whoever runs this, and prints what their programs saw: FOLDER."""

import json
import os
import sys
import tarfile
from pathlib import Path

from local_mode.console import Console
from local_mode.jobs.create import create
from local_mode.jobs.forking import FORK, TAG
from local_mode.jobs.rules import parse
from local_mode.jobs.task import Settings
from local_mode.runners.forks import ForkServers
from local_mode.runners.process import ProcessRunner
from local_mode.runners.stand_in import StandIn

folder, seen, notes = Path(sys.argv[1]), [], []
stand_in = StandIn(
    interpreter=Path(sys.executable), python_path=(Path(__file__).parent,), environment={},
    train=("-m", "contract_job"), preload="contract_preload:load",
)  # fmt: skip
forks = ForkServers(folder / "fork-servers", notes.append)
runner = ProcessRunner(stand_ins={"image": stand_in}, caller=dict(os.environ), why_plain="", forks=forks)
for number, tags in enumerate(([{"Key": TAG, "Value": FORK}], [])):
    request = {
        "TrainingJobName": f"job-{number}",
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "HyperParameters": {"act": json.dumps(["look_closely"])},
        "OutputDataConfig": {"S3OutputPath": str(folder / "out")},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "Tags": tags,
    }
    settings = Settings(shm_bytes=1 << 26, grace_seconds=5, region="us-east-1")
    job = create(parse(request), runner=runner, root=folder / "root", console=Console(), settings=settings)
    job.wait(60)
    with tarfile.open(folder / "root" / "jobs" / f"job-{number}" / "model.tar.gz") as archive:
        seen.append(json.load(archive.extractfile("report.json")))
forks.close()
print("\n" + json.dumps({"seen": seen, "notes": notes}))
