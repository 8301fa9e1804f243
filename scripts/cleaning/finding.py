"""Finds what the project's verbs made: training and tuning jobs, what they left, uploaded data, repositories.

A role needs for it: sagemaker:Search, ListTags, ListHyperParameterTuningJobs, DeleteTrainingJob and
DeleteHyperParameterTuningJob; logs:DescribeLogStreams and DeleteLogStream; s3:ListBucket, GetObjectTagging and
DeleteObject; ecr:DescribeRepositories, ListTagsForResource and DeleteRepository.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from scripts.cleaning import mark
from scripts.submitting.destination import Destination

LOGS = "/aws/sagemaker/TrainingJobs"
ENDED = ("Completed", "Failed", "Stopped")
_SCHEME = "s3://"
_THREADS = 8
_GONE = ("NoSuchBucket", "404", "ResourceNotFoundException")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that was made."""

    kind: str
    name: str
    delete: Callable[[], object] = field(repr=False, compare=False)
    size: int = 0
    """Bytes, of an object."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that was made, in the order in which it can be deleted."""

    items: list[Item]
    kept: list[str]
    """What stays, and why."""


def find(place: Destination, ecr: Any) -> Found:
    """Everything with the mark, and what marked training jobs left in folders of their own.

    Raises:
        ClientError, BotoCoreError: the service has said what is wrong.
    """
    jobs = list(_jobs(place.sagemaker))
    kept = [f"training job {job['TrainingJobName']} is {job['TrainingJobStatus']}: stop it first, and clean then"
            for job in jobs if job["TrainingJobStatus"] not in ENDED]  # fmt: skip
    going = [job for job in jobs if job["TrainingJobStatus"] not in ENDED]
    over = [job for job in jobs if job["TrainingJobStatus"] in ENDED]
    busy = tuple(_folder(uri) for job in going for uri in _channels(job))
    objects = [item for job in over for item in _left(place.s3, job)]
    objects += _uploaded(place.s3, {_folder(uri) for job in over for uri in _channels(job)})
    objects = [item for item in objects if not item.name.startswith(busy)]
    streams = [item for job in over for item in _streams(place.logs, job["TrainingJobName"])]
    names = [(job["TrainingJobName"], place.sagemaker.delete_training_job) for job in over]
    deletions = [
        Item(kind="training job", name=name, delete=lambda name=name, act=act: act(TrainingJobName=name))
        for name, act in names
    ]
    tuning, more = _tuning_jobs(place.sagemaker)
    unique = {(item.kind, item.name): item for item in objects}
    items = [*unique.values(), *streams, *deletions, *tuning, *_repositories(ecr)]
    return Found(items=items, kept=[*kept, *more])


def _jobs(sagemaker: Any) -> Iterator[dict[str, Any]]:
    expression = {"Filters": [{"Name": f"Tags.{mark.KEY}", "Operator": "Exists"}]}
    for page in sagemaker.get_paginator("search").paginate(Resource="TrainingJob", SearchExpression=expression):
        for result in page["Results"]:
            job = result["TrainingJob"]
            if mark.is_ours(_tags(sagemaker, job["TrainingJobArn"])):  # an index may be behind
                yield job


def _tuning_jobs(sagemaker: Any) -> tuple[list[Item], list[str]]:
    items: list[Item] = []
    kept: list[str] = []
    for page in sagemaker.get_paginator("list_hyper_parameter_tuning_jobs").paginate():
        for job in page["HyperParameterTuningJobSummaries"]:
            name, status = job["HyperParameterTuningJobName"], job["HyperParameterTuningJobStatus"]
            if not mark.is_ours(_tags(sagemaker, job["HyperParameterTuningJobArn"])):
                continue
            if status not in ENDED:
                kept.append(f"tuning job {name} is {status}: stop it first, and clean then")
                continue
            delete = sagemaker.delete_hyper_parameter_tuning_job
            items.append(
                Item(
                    kind="tuning job",
                    name=name,
                    delete=lambda name=name, act=delete: act(HyperParameterTuningJobName=name),
                )
            )
    return items, kept


def _tags(sagemaker: Any, arn: str) -> list[dict[str, str]]:
    return [tag for page in sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn) for tag in page["Tags"]]


def _left(s3: Any, job: dict[str, Any]) -> Iterator[Item]:
    """What the job wrote into the folder that has its name, below its S3OutputPath."""
    own = f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/"
    checkpoints = (job.get("CheckpointConfig") or {}).get("S3Uri", "").rstrip("/") + "/"
    places = [f"{own}output/", f"{own}tensorboard-output/", *([checkpoints] if checkpoints.startswith(own) else [])]
    for uri in places if own.startswith(_SCHEME) else ():
        bucket, prefix = _split(uri)
        for entry in _objects(s3, bucket, prefix):
            yield _object(s3, bucket, entry)


def _uploaded(s3: Any, uris: set[str]) -> Iterator[Item]:
    """The objects below channels of these jobs that were uploaded for them: those with the mark."""
    for uri in sorted(uris):
        bucket, prefix = _split(uri)
        entries = list(_objects(s3, bucket, prefix))

        def is_marked(entry: dict[str, Any], bucket: str = bucket) -> bool:
            try:
                return mark.is_ours(s3.get_object_tagging(Bucket=bucket, Key=entry["Key"])["TagSet"])
            except ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", *_GONE):
                    return False  # deleted meanwhile
                raise

        with ThreadPoolExecutor(_THREADS) as threads:
            for entry, ours in zip(entries, threads.map(is_marked, entries), strict=True):
                if ours:
                    yield _object(s3, bucket, entry)


def _streams(logs: Any, job: str) -> Iterator[Item]:
    try:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=LOGS, logStreamNamePrefix=f"{job}/")
        names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return  # nobody has trained here
        raise
    for name in names:
        place = {"logGroupName": LOGS, "logStreamName": name}
        yield Item(kind="log stream", name=name, delete=lambda place=place: logs.delete_log_stream(**place))


def _repositories(ecr: Any) -> Iterator[Item]:
    for page in ecr.get_paginator("describe_repositories").paginate():
        for repository in page["repositories"]:
            if mark.is_ours(ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]):
                place = {"registryId": repository["registryId"], "repositoryName": repository["repositoryName"]}
                yield Item(
                    kind="ECR repository with its images",
                    name=repository["repositoryName"],
                    delete=lambda place=place: ecr.delete_repository(**place, force=True),
                )


def _object(s3: Any, bucket: str, entry: dict[str, Any]) -> Item:
    place = {"Bucket": bucket, "Key": entry["Key"]}
    return Item(
        kind="object",
        name=f"{_SCHEME}{bucket}/{entry['Key']}",
        delete=lambda: s3.delete_object(**place),
        size=entry["Size"],
    )


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", [])
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise


def _channels(job: dict[str, Any]) -> list[str]:
    uris = [
        (each["DataSource"].get("S3DataSource") or {}).get("S3Uri", "") for each in job.get("InputDataConfig") or ()
    ]
    return [uri for uri in uris if uri.startswith(_SCHEME)]


def _folder(uri: str) -> str:
    """The folder that a channel's objects lie in: a manifest's photographs lie beside it."""
    last = uri.rpartition("/")[2]
    return uri.rpartition("/")[0] + "/" if "." in last else f"{uri.rstrip('/')}/"


def _split(uri: str) -> tuple[str, str]:
    bucket, _, prefix = uri.removeprefix(_SCHEME).partition("/")
    return bucket, prefix
