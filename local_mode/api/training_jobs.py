"""SageMaker's operations on training jobs, each from a validated request to the members of its answer."""

from collections.abc import Callable
from typing import Any, Protocol

from local_mode.api.experiments import ARN_KINDS, ExperimentOperations, ExperimentRecords
from local_mode.api.listing import list_jobs
from local_mode.api.tuning_jobs import TuningJobs, TuningOperations
from local_mode.api.validation import answered, check
from local_mode.api.wire import ApiError
from local_mode.errors import LocalModeError, ResourceInUseError, UnknownEntityError, UnknownJobError
from local_mode.jobs.store import Query

Document = dict[str, Any]
_MOST_TAGS = 50
_JOB_ARN, _TUNING_ARN = ":training-job/", ":hyper-parameter-tuning-job/"
_NOT_RUN = {
    "CreateProcessingJob": "run processing jobs",
    "CreateTransformJob": "run transform jobs",
    "CreateAutoMLJob": "run AutoML jobs",
    "CreateAutoMLJobV2": "run AutoML jobs",
    "CreateCompilationJob": "compile models",
    "CreateLabelingJob": "run labeling jobs",
    "StartPipelineExecution": "run pipelines",
}
"""Operations whose mere record would look like work that was done."""

_UPDATED = ("ResourceConfig", "ProfilerConfig", "RemoteDebugConfig")
_DEBUGGABLE = ("Downloading", "Training")


class Jobs(Protocol):
    """What the handlers need of the jobs; `local_mode.jobs.service` has it."""

    def create(self, document: Document) -> Document:
        """Start a job; its record."""
        ...

    def describe(self, name: str) -> Document:
        """A job's record."""
        ...

    def find(self, query: Query) -> list[Document]:
        """Summaries of the jobs that a query asks for."""
        ...

    def stop(self, name: str) -> None:
        """Begin to stop a job."""
        ...

    def delete(self, name: str) -> None:
        """Remove an ended job."""
        ...

    def tag(self, name: str, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
        """Change a job's tags; those it has then."""
        ...

    def amend(self, name: str, fields: Document) -> None:
        """Change fields of a running job's record."""
        ...


class TrainingJobs:
    """The operations, by name; those on tuning jobs go on to theirs."""

    def __init__(self, jobs: Jobs, tuning: TuningJobs, experiments: ExperimentRecords) -> None:
        self._jobs, self._tuning, self._experiments = jobs, tuning, experiments
        self._experiment_operations = ExperimentOperations(experiments, jobs)
        self._tuning_operations = TuningOperations(tuning)
        self._operations: dict[str, Callable[[Document], Document | None]] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": lambda request: list_jobs(request, self._jobs.find),
            "StopTrainingJob": lambda request: self._jobs.stop(request["TrainingJobName"]),
            "DeleteTrainingJob": self._delete,
            "UpdateTrainingJob": self._update,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def has(self, operation: str, document: Document) -> bool:
        """Whether an operation is answered here; tags of other resources are not."""
        if operation in ("AddTags", "ListTags", "DeleteTags"):
            return any(kind in str(document.get("ResourceArn")) for kind in (_JOB_ARN, _TUNING_ARN, *ARN_KINDS))
        return self._experiment_operations.has(operation, document) or operation in {
            *self._operations,
            *_NOT_RUN,
            *self._tuning_operations.operations,
        }

    def answer(self, operation: str, document: Document) -> Document | None:
        """Do what is asked; the members of the answer.

        Raises:
            ApiError: with the code and the words AWS has for it.
        """
        if what := _NOT_RUN.get(operation):
            raise ApiError("ValidationException", f"local_mode does not {what} yet.")
        if operation in self._tuning_operations.operations:
            return self._tuning_operations.answer(operation, document)
        check(operation, document)
        try:
            act = self._operations.get(operation) or self._experiment_operations.operations[operation]
            return act(document)
        except UnknownEntityError as error:
            raise ApiError("ResourceNotFound", str(error)) from None
        except UnknownJobError:
            raise ApiError("ValidationException", "Requested resource not found.") from None
        except ResourceInUseError as error:
            raise ApiError("ResourceInUse", str(error)) from None
        except LocalModeError as error:
            raise ApiError("ValidationException", str(error)) from None

    def _create(self, request: Document) -> Document:
        if config := request.get("ExperimentConfig"):
            self._experiments.check(config)
        record = self._jobs.create(request)
        if config:
            self._experiments.follow(record)
        return {"TrainingJobArn": record["TrainingJobArn"]}

    def put_metrics(self, request: Document) -> Document:
        """BatchPutMetrics, which is of a service of its own.

        Raises:
            ApiError: as `answer`.
        """
        return self._experiment_operations.put_metrics(request)

    def _delete(self, request: Document) -> None:
        name = request["TrainingJobName"]
        said = self._experiments.remember(name)
        self._jobs.delete(name)
        if said:
            self._experiments.keep(name, said)

    def _describe(self, request: Document) -> Document:
        record = self._jobs.describe(request["TrainingJobName"])
        # SDK v2 reads the key of every job that it attaches to, as AWS answers an empty one where there is none.
        output = {"KmsKeyId": "", **record["OutputDataConfig"]}
        return answered("DescribeTrainingJob", {**record, "OutputDataConfig": output})

    def _update(self, request: Document) -> Document:
        """Record what changes in a running job; none of it has an effect on this machine."""
        name, fields = request["TrainingJobName"], {key: request[key] for key in _UPDATED if request.get(key)}
        if request.get("ProfilerRuleConfigurations"):
            raise ApiError("ValidationException", "local_mode does not run Profiler's rules yet.")
        if not fields:
            raise ApiError("ValidationException", "Invalid UpdateTrainingJobRequest, the request cannot be empty")
        job = self._jobs.describe(name)
        status = job["SecondaryStatus"]
        # As documented of this field; a job that has ended is refused by the jobs themselves.
        if "RemoteDebugConfig" in fields and job["TrainingJobStatus"] == "InProgress" and status not in _DEBUGGABLE:
            text = f"RemoteDebugConfig can be changed in status {' or '.join(_DEBUGGABLE)}, and the job is in {status}."
            raise ApiError("ValidationException", text)
        self._jobs.amend(name, {key: {**(job.get(key) or {}), **value} for key, value in fields.items()})
        return {"TrainingJobArn": job["TrainingJobArn"]}

    def _add_tags(self, request: Document) -> Document:
        new = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return {"Tags": _shown(self._tag(request, lambda tags: _join(tags, new)))}

    def _list_tags(self, request: Document) -> Document:
        return {"Tags": _shown(self._tag(request, lambda _: None))}

    def _delete_tags(self, request: Document) -> Document:
        self._tag(request, lambda tags: _remove(tags, request["TagKeys"]))
        return {}

    def _tag(self, request: Document, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
        arn = request["ResourceArn"]
        if any(kind in arn for kind in ARN_KINDS):
            return self._experiments.tag(arn, change)
        # An ARN has the name in lower case, which more than one job may share.
        if _TUNING_ARN in arn:
            found = self._tuning.find(Query(arn=arn))
            names, tag = [job["HyperParameterTuningJobName"] for job in found], self._tuning.tag
        else:
            names, tag = [job["TrainingJobName"] for job in self._jobs.find(Query(arn=arn))], self._jobs.tag
        if not names:
            raise UnknownJobError(arn)
        return tag(names[0], change)


def _join(tags: dict[str, str], new: dict[str, str]) -> None:
    if len({**tags, **new}) > _MOST_TAGS:
        raise ApiError("ValidationException", f"A job has at most {_MOST_TAGS} tags.")
    tags.update(new)


def _remove(tags: dict[str, str], keys: list[str]) -> None:
    for key in keys:
        tags.pop(key, None)


def _shown(tags: dict[str, str]) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
