"""What the notebooks share: where they run, pictures of what they see, and taking away what they made.

The SDK's own code, which is what to copy, stays in their cells. Knows local_mode by its command line alone.
"""

import io
import json
import logging
import os
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3

if TYPE_CHECKING:
    import numpy as np
    from IPython.display import Image
    from sagemaker import Session

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
PLACES = ("local", "aws")
LOGS = "/aws/sagemaker/TrainingJobs"
MARK = "workshop"
"""Key of the tag on every job of a notebook; its value is the run's name."""
_LOCAL_ROLE = "arn:aws:iam::123456789012:role/any"
_MINUTES = 60
_SETUP_SECONDS = 30 * _MINUTES
"""Bounds what is installed the first time."""


class WorkshopError(Exception):
    """What a notebook cannot go on without, for its reader to mend."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a notebook runs, and what its jobs are called there."""

    session: "Session"
    bucket: str
    role: str
    image: str
    instance_type: str
    run: str
    """Begins the names of all jobs of this run, and is the prefix of all its objects."""

    @property
    def uri(self) -> str:
        """All that is uploaded or left lies below it."""
        return f"s3://{self.bucket}/{self.run}"

    @property
    def tags(self) -> list[dict[str, str]]:
        """The mark of all jobs of this run."""
        return [{"Key": MARK, "Value": self.run}]


def begin(where: str, framework: str, label: str) -> Place:
    """Find the place; a local endpoint is started where none runs, and all of this process's calls are led there.

    Args:
        where: `local` or `aws`.
        framework: A key of images.json.
        label: Begins the run's name.

    Raises:
        WorkshopError: There is no such place, or something is missing there.
    """
    if where not in PLACES:
        raise WorkshopError(f"WHERE is '{where}'; it must be one of {', '.join(PLACES)}.")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if where == "aws" and endpoint:
        raise WorkshopError(
            f"WHERE is 'aws', but AWS_ENDPOINT_URL leads every call to {endpoint}; start the notebook from a shell "
            "without it, or set WHERE to 'local'."
        )
    if where == "local" and not endpoint:
        _lead(framework)
    os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")  # it would stand between all cells
    logging.disable(logging.INFO)  # the SDK sets levels of its own, from its import on, and would fill cells
    from sagemaker import Session  # noqa: PLC0415 - only now is it settled where its calls go

    session = Session()
    local = where == "local"
    entry = json.loads((ROOT / "images.json").read_text())[framework]
    return Place(
        session=session,
        bucket=session.default_bucket(),
        role=_LOCAL_ROLE if local else _role(),
        image=f"{entry['repository']}:dev" if local else pushed(framework),
        instance_type="ml.c5.xlarge" if local else "ml.g5.xlarge",
        run=f"{label}-{time.strftime('%m%d-%H%M%S')}",
    )


def script(name: str, *arguments: str | Path) -> None:
    """Run a script of this project under its own Python, and show what it says.

    Raises:
        CalledProcessError: it failed; what it said is above.
    """
    _make("host")
    command = [str(PYTHON), str(ROOT / name), *map(str, arguments)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=ROOT, env=_outside()
    )
    print(done.stdout.replace(f"{ROOT}/", ""), end="")
    done.check_returncode()


def archive(place: Place, uri: str) -> dict[str, bytes]:
    """The files of a .tar.gz that a job left, by name."""
    bucket, key = _split(uri)
    packed = place.session.boto_session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry))}


def sheet(images: "Sequence[np.ndarray]", captions: Sequence[str], columns: int = 10, side: float = 1.0) -> "Image":
    """Pictures in rows, a caption above each; `side` inches each."""
    from IPython.display import Image  # noqa: PLC0415 - what only a notebook has
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows = -(-len(images) // columns)
    figure = Figure(figsize=(side * columns, (side + 0.25) * rows), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).ravel():
        axes.axis("off")
    for axes, image, caption in zip(figure.axes, images, captions, strict=False):
        axes.imshow(image)
        axes.set_title(caption, fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return Image(drawn.getvalue())


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a run has made, by kind."""

    objects: list[str]
    """Keys in the bucket."""
    streams: list[str]
    """Of the jobs' logs."""
    training_jobs: list[str]
    tuning_jobs: list[str]
    trials: list[str]
    """Of the experiments; their jobs' components go with them."""
    experiments: list[str]

    def __str__(self) -> str:
        lines = (f"{len(names):4d} {kind.replace('_', ' ')}: {_few(names)}" for kind, names in vars(self).items())
        return "\n".join(lines)


def made(place: Place) -> Made:
    """Everything with the run's mark, and nothing else: jobs by their tag, objects below the run's own prefix."""
    session = place.session.boto_session
    sagemaker, s3, logs = (session.client(name) for name in ("sagemaker", "s3", "logs"))
    training = _marked(sagemaker, place, "list_training_jobs", "TrainingJob")
    tuning = _marked(sagemaker, place, "list_hyper_parameter_tuning_jobs", "HyperParameterTuningJob")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=f"{place.run}/")
    streams = [
        stream["logStreamName"]
        for name in training
        for page in logs.get_paginator("describe_log_streams").paginate(
            logGroupName=LOGS, logStreamNamePrefix=f"{name}/"
        )
        for stream in page["logStreams"]
    ]
    return Made(
        objects=[entry["Key"] for page in pages for entry in page.get("Contents", ())],
        streams=streams,
        training_jobs=training,
        tuning_jobs=tuning,
        trials=_tagged(sagemaker, place, "ExperimentTrial", "Trial"),
        experiments=_tagged(sagemaker, place, "Experiment", "Experiment"),
    )


def clean(place: Place, found: Made) -> None:
    """Delete what was found, once the reader agrees; in a run that nobody sits before, YES=1 agrees."""
    if not os.environ.get("YES") and input(f"Delete all of this from {place.uri} and its account? [y/N] ") != "y":
        print("nothing was deleted")
        return
    session = place.session.boto_session
    sagemaker, s3, logs = (session.client(name) for name in ("sagemaker", "s3", "logs"))
    for first in range(0, len(found.objects), 1000):
        keys = [{"Key": key} for key in found.objects[first : first + 1000]]
        answer = s3.delete_objects(Bucket=place.bucket, Delete={"Objects": keys, "Quiet": True})
        if refused := answer.get("Errors"):
            raise WorkshopError(f"S3 kept {refused[0]['Key']}: {refused[0]['Message']}; delete {place.uri}/ yourself.")
    for trial in found.trials:
        _take_apart(sagemaker, trial)
    for name in found.experiments:
        sagemaker.delete_experiment(ExperimentName=name)
    for stream in found.streams:
        logs.delete_log_stream(logGroupName=LOGS, logStreamName=stream)
    for name in found.tuning_jobs:
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    for name in found.training_jobs:
        sagemaker.delete_training_job(TrainingJobName=name)
    print(f"deleted; left of {place.run}:\n{made(place)}")


def _marked(sagemaker: Any, place: Place, operation: str, kind: str) -> list[str]:
    """Names of the jobs with the mark; the name alone would do for most, but is not asked for by anybody."""
    found = []
    for page in sagemaker.get_paginator(operation).paginate(NameContains=place.run):
        for job in page[f"{kind}Summaries"]:
            tags = sagemaker.list_tags(ResourceArn=job[f"{kind}Arn"])["Tags"]
            if all(tag in tags for tag in place.tags):
                found.append(job[f"{kind}Name"])
    return found


def _tagged(sagemaker: Any, place: Place, resource: str, kind: str) -> list[str]:
    """Names of experiments or of trials with the mark."""
    wanted = [{"Name": f"Tags.{tag['Key']}", "Operator": "Equals", "Value": tag["Value"]} for tag in place.tags]
    pages = sagemaker.get_paginator("search").paginate(Resource=resource, SearchExpression={"Filters": wanted})
    return [result[kind][f"{kind}Name"] for page in pages for result in page["Results"]]


def _take_apart(sagemaker: Any, trial: str) -> None:
    """Delete a trial, and the components that belong to no other."""
    pages = sagemaker.get_paginator("list_trial_components").paginate(TrialName=trial)
    for name in [each["TrialComponentName"] for page in pages for each in page["TrialComponentSummaries"]]:
        sagemaker.disassociate_trial_component(TrialName=trial, TrialComponentName=name)
        if not sagemaker.list_trials(TrialComponentName=name)["TrialSummaries"]:
            sagemaker.delete_trial_component(TrialComponentName=name)
    sagemaker.delete_trial(TrialName=trial)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")


def _split(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _role() -> str:
    """The role of jobs on AWS: told, or the notebook's own in SageMaker Studio."""
    from sagemaker import get_execution_role  # noqa: PLC0415

    return os.environ.get("SAGEMAKER_ROLE_ARN") or str(get_execution_role())


def pushed(framework: str) -> str:
    """The URI of the image that was pushed last.

    Raises:
        WorkshopError: none was from here.
    """
    path = ROOT / "dist" / "pushed" / f"{framework}.json"
    if not path.exists():
        raise WorkshopError(f"There is no {path}, which a push leaves; run: make build/{framework} push/{framework}")
    return str(json.loads(path.read_text())["uri"])


def _lead(framework: str) -> None:
    """Have an endpoint run on this machine, and lead this process there."""
    _make("serve")
    runtime = os.environ.get("RUNTIME") or "auto"
    said(PYTHON, ROOT / "scripts" / "local_up.py", framework, "--runtime", runtime)
    obey(said(PYTHON, "-m", "local_mode", "env", "--root", ROOT / ".local_mode"))
    boto3.DEFAULT_SESSION = None  # one that was made before has the old variables


def obey(commands: str) -> None:
    """Do in this process what lines of `unset` and `export` do in a shell."""
    for line in commands.splitlines():
        verb, *words = shlex.split(line)
        for word in words:
            name, _, value = word.partition("=")
            if verb == "export":
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


def _make(environment: str) -> None:
    """The project's own environment, made the first time."""
    said(sys.executable, ROOT / "scripts" / "make_environment.py", environment)


def said(*command: str | Path) -> str:
    """What a command answers; its news goes to the notebook.

    Raises:
        WorkshopError: it failed; with what it said.
    """
    argv = [str(word) for word in command]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=ROOT, env=_outside(), timeout=_SETUP_SECONDS
    )
    if done.returncode != 0:
        raise WorkshopError(f"{Path(argv[1]).name} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _outside() -> dict[str, str]:
    """The environment but for what the kernel set for itself: matplotlib elsewhere does not know its backend."""
    return {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
