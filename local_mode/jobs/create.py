"""The one door: `create` takes a CreateTrainingJob request and starts the job."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from local_mode.channels.plan import AUGMENTED_MANIFEST, SHARDED, ChannelPlan, ChannelSpec, plan_channel
from local_mode.channels.s3_source import S3Source
from local_mode.instance.cleaning import remove_tree
from local_mode.instance.cluster import Cluster, share
from local_mode.instance.cores import threads
from local_mode.jobs.choices import DEFAULT, Choices
from local_mode.jobs.clock import steady
from local_mode.jobs.folder import JobFolder, jobs_folder, make_folder
from local_mode.jobs.host_run import PIPE, checkpoint_mount
from local_mode.jobs.job import Job
from local_mode.jobs.listener import Listener, Silent
from local_mode.jobs.outputs import Outputs, model_uri
from local_mode.jobs.record import MESSAGES, Record
from local_mode.jobs.request import Channel, TrainingJobRequest
from local_mode.jobs.shapes import recorded_only, write
from local_mode.jobs.store import Store
from local_mode.jobs.task import Settings, Task
from local_mode.jobs.trace import Trace
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
    tuning_job: str | None = None,
    at_once: int = 1,
) -> Job:
    """Start a job, of the tuning job with this ARN that runs `at_once` at a time.

    All that can be refused is refused before anything is made.

    Raises:
        LocalModeError: a channel has no objects, the runner cannot run this image, or the name is taken.
    """
    listener, config = console or Silent(), request.CheckpointConfig
    place = JobFolder(path=jobs_folder(root.resolve()) / request.TrainingJobName)
    outputs = Outputs(settings.s3)
    s3 = S3Source(settings.s3.access) if settings.s3 else None
    choices = settings.choices
    plans = tuple(plan_channel(channel_spec(request, channel, choices), s3=s3) for channel in request.InputDataConfig)
    hosts = request.ResourceConfig.cluster
    settings = replace(settings, environment={**threads(at_once * len(hosts.hosts)), **settings.environment})
    for uri in written(request):
        outputs.check_output(uri)
    runner.check(
        image=request.AlgorithmSpecification.TrainingImage,
        network_isolation=request.EnableNetworkIsolation,
        pipes=any(plan.spec.mode == PIPE for plan in plans),
        hosts=len(hosts.hosts),
        interface=choices.nic,
        checkpoint_path=checkpoint_mount(config.LocalPath, place, hosts.hosts[0]).target if config else None,
    )
    _say(request, plans, len(hosts.hosts), choices, listener)
    store, shares = Store(root.resolve()), _divided(request, plans, hosts)
    folder, held = make_folder(root.resolve(), request.TrainingJobName)
    try:
        arn = _arn(request, settings.region)
        task = Task(
            request=request,
            cluster=hosts,
            plans=shares,
            outputs=outputs,
            runner=runner,
            folder=folder,
            settings=settings,
            environment=_environment(request, arn, settings),
            listener=listener,
            trace=Trace(store, request.TrainingJobName, shares, listener),
        )
        job = Job(task, held=held, record=_record(task, arn, store, tuning_job))
    except BaseException:
        remove_tree(folder.path)  # a job that never began does not keep its name
        os.close(held)
        raise
    listener.status("Starting", MESSAGES["Starting"])
    job.start()
    return job


def _record(task: Task, arn: str, store: Store, tuning_job: str | None) -> Record:
    request, folder = task.request, task.folder
    folder.request.write_text(json.dumps(write(request), indent=2) + "\n", encoding="utf-8")
    output = request.OutputDataConfig
    model = model_uri(output.S3OutputPath, request.TrainingJobName, compressed=output.is_compressed)
    return Record.create(store, folder.record, request, arn=arn, model=model, clock=steady(), tuning_job=tuning_job)


def written(request: TrainingJobRequest) -> list[str]:
    """The places that a job of this request writes to."""
    config, board = request.CheckpointConfig, request.TensorBoardOutputConfig
    places = [request.OutputDataConfig.S3OutputPath]
    return places + ([config.S3Uri] if config else []) + ([board.S3OutputPath] if board else [])


def channel_spec(request: TrainingJobRequest, channel: Channel, choices: Choices = DEFAULT) -> ChannelSpec:
    """What the request says about one of its channels, and what is chosen where the service is not known."""
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
        contiguous=choices.shards == "contiguous",
        full_keys=choices.manifest_names == "whole-key",
    )


def _divided(
    request: TrainingJobRequest, plans: tuple[ChannelPlan, ...], hosts: Cluster
) -> dict[str, tuple[ChannelPlan, ...]]:
    """What every host gets of the channels, by its name; a channel that is for other groups is not there."""
    shares: dict[str, list[ChannelPlan]] = {host: [] for host in hosts.hosts}
    for channel, plan in zip(request.InputDataConfig, plans, strict=True):
        members = hosts.members(channel.DataSource.S3DataSource.InstanceGroupNames)
        for number, host in enumerate(members):
            shares[host].append(share(plan, host=number, hosts=len(members)))
    return {host: tuple(channels) for host, channels in shares.items()}


def _say(
    request: TrainingJobRequest, plans: tuple[ChannelPlan, ...], hosts: int, choices: Choices, listener: Listener
) -> None:
    if choices.made:
        listener.note(f"by choice: {', '.join(choices.made)}")
    if names := recorded_only(request):
        listener.note(f"kept in the record, without effect on this machine: {', '.join(names)}")
    for plan in plans:
        spec, what = plan.spec, f"{len(plan.objects)} objects, {plan.size / 1e6:.1f} MB"
        if spec.data_type == AUGMENTED_MANIFEST:
            what = f"an augmented manifest of {plan.size / 1e6:.1f} MB"
        listener.note(f"channel {spec.name}: {spec.mode}, {what}")
        if plan.surprise:
            listener.note(f"channel {spec.name}: {plan.surprise}")
        if spec.mode == "FastFile" and spec.distribution == SHARDED and hosts > 1:
            listener.note(f"channel {spec.name}: every host's share is copied, as a mount shows whole folders")
        if spec.seed is not None and spec.mode != PIPE:
            listener.note(f"channel {spec.name}: files have no order, so ShuffleConfig shows in Pipe mode only")


def _arn(request: TrainingJobRequest, region: str) -> str:
    """Lower-case name, as observed; the account is the role's."""
    account = request.RoleArn.split(":")[4]
    return f"arn:aws:sagemaker:{region}:{account}:training-job/{request.TrainingJobName.lower()}"


def _environment(request: TrainingJobRequest, arn: str, settings: Settings) -> dict[str, Any]:
    platform = {"TRAINING_JOB_NAME": request.TrainingJobName, "TRAINING_JOB_ARN": arn, "AWS_REGION": settings.region}
    return {**platform, **settings.environment, **(request.Environment or {})}
