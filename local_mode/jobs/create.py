"""The one door: `create` takes a CreateTrainingJob request and starts the job."""

import json
import os
import time
from pathlib import Path
from typing import Any

from local_mode.instance.cleaning import remove_tree
from local_mode.instance.plan import AUGMENTED_MANIFEST, ChannelPlan, ChannelSpec
from local_mode.jobs.execution import PIPE, Settings, Task
from local_mode.jobs.folder import JobFolder, jobs_folder, make_folder
from local_mode.jobs.job import Job
from local_mode.jobs.listener import Listener, Silent
from local_mode.jobs.record import MESSAGES, Record
from local_mode.jobs.request import Channel, TrainingJobRequest
from local_mode.jobs.shapes import recorded_only, write
from local_mode.jobs.staging import Staging, model_uri
from local_mode.runners.protocol import STOP_GRACE_SECONDS, Runner

SHM_BYTES = 2 << 30
DEFAULT_SETTINGS = Settings(shm_bytes=SHM_BYTES, grace_seconds=STOP_GRACE_SECONDS, region="us-east-1")


def create(
    request: TrainingJobRequest,
    *,
    runner: Runner,
    root: Path,
    console: Listener | None = None,
    settings: Settings = DEFAULT_SETTINGS,
) -> Job:
    """Start a job and return at once; all that can be refused is refused before anything is made.

    Raises:
        LocalModeError: a channel has no objects, the runner cannot run this image, or the name is taken.
    """
    listener = console or Silent()
    place = JobFolder(path=jobs_folder(root.resolve()) / request.TrainingJobName)
    staging = Staging(settings.s3, place.scratch / "s3")
    plans = tuple(staging.plan(_spec(request, channel)) for channel in request.InputDataConfig)
    for uri in _written(request):
        staging.check_output(uri)
    runner.check(
        image=request.AlgorithmSpecification.TrainingImage,
        network_isolation=request.EnableNetworkIsolation,
        pipes=any(plan.spec.mode == PIPE for plan in plans),
    )
    _say(request, plans, listener)
    folder, held = make_folder(root.resolve(), request.TrainingJobName)
    try:
        arn = _arn(request, settings.region)
        environment = _environment(request, arn, settings.region)
        task = Task(
            request=request,
            plans=plans,
            staging=staging,
            runner=runner,
            folder=folder,
            settings=settings,
            environment=environment,
            listener=listener,
        )
        job = Job(task, held=held, record=_record(task, arn))
    except BaseException:
        remove_tree(folder.path)  # a job that never began does not keep its name
        os.close(held)
        raise
    listener.status("Starting", MESSAGES["Starting"])
    job.start()
    return job


def _record(task: Task, arn: str) -> Record:
    request, folder = task.request, task.folder
    folder.request.write_text(json.dumps(write(request), indent=2) + "\n", encoding="utf-8")
    model = model_uri(request.OutputDataConfig.S3OutputPath, request.TrainingJobName)
    return Record.create(folder.record, request, arn=arn, model=model, clock=time.time)


def _written(request: TrainingJobRequest) -> list[str]:
    config = request.CheckpointConfig
    return [request.OutputDataConfig.S3OutputPath, *([config.S3Uri] if config else [])]


def _spec(request: TrainingJobRequest, channel: Channel) -> ChannelSpec:
    source = channel.DataSource.S3DataSource
    return ChannelSpec(
        name=channel.ChannelName,
        uri=source.S3Uri,
        mode=request.input_mode(channel),
        data_type=source.S3DataType,
        attributes=source.AttributeNames,
        content_type=channel.ContentType,
        distribution=source.S3DataDistributionType,
        record_wrapper=channel.RecordWrapperType,
        compression=channel.CompressionType,
        seed=channel.ShuffleConfig.Seed if channel.ShuffleConfig else None,
    )


def _say(request: TrainingJobRequest, plans: tuple[ChannelPlan, ...], listener: Listener) -> None:
    if names := recorded_only(request):
        listener.note(f"kept in the record, without effect on this machine: {', '.join(names)}")
    for plan in plans:
        spec, what = plan.spec, f"{len(plan.objects)} objects, {plan.size / 1e6:.1f} MB"
        if spec.data_type == AUGMENTED_MANIFEST:
            what = f"an augmented manifest of {plan.size / 1e6:.1f} MB"
        listener.note(f"channel {spec.name}: {spec.mode}, {what}")
        if plan.surprise:
            listener.note(f"channel {spec.name}: {plan.surprise}")
        if spec.seed is not None and spec.mode != PIPE:
            listener.note(f"channel {spec.name}: files have no order, so ShuffleConfig shows in Pipe mode only")


def _arn(request: TrainingJobRequest, region: str) -> str:
    """Lower-case name, as observed; the account is the role's."""
    account = request.RoleArn.split(":")[4]
    return f"arn:aws:sagemaker:{region}:{account}:training-job/{request.TrainingJobName.lower()}"


def _environment(request: TrainingJobRequest, arn: str, region: str) -> dict[str, Any]:
    platform = {"TRAINING_JOB_NAME": request.TrainingJobName, "TRAINING_JOB_ARN": arn, "AWS_REGION": region}
    return {**platform, **(request.Environment or {})}
