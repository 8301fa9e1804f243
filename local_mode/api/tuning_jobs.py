"""SageMaker's operations on tuning jobs, each from a validated request to the members of its answer."""

from collections.abc import Callable
from typing import Any, Protocol

from local_mode.api.listing import TRIALS, list_trials, list_tuning_jobs
from local_mode.api.validation import answered, check
from local_mode.api.wire import ApiError
from local_mode.errors import LocalModeError, ResourceInUseError, UnknownTuningJobError
from local_mode.jobs.store import Query

Document = dict[str, Any]
Change = Callable[[dict[str, str]], None]
_NAME = "HyperParameterTuningJobName"
_SUMMARY = (
    _NAME, "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus", "CreationTime", "LastModifiedTime",
    "HyperParameterTuningEndTime", "TrainingJobStatusCounters", "ObjectiveStatusCounters",
)  # fmt: skip
_METRIC = "FinalHyperParameterTuningJobObjectiveMetric"


class TuningJobs(Protocol):
    """What the handlers need of the tuning jobs; `local_mode.tuning.service` has it."""

    def create(self, request: Document) -> Document:
        """Start a tuning job; its record."""
        ...

    def describe(self, name: str) -> Document:
        """A tuning job's record."""
        ...

    def find(self, query: Query) -> list[Document]:
        """Records of the tuning jobs that a query asks for."""
        ...

    def trials(self, name: str) -> list[Document]:
        """Summaries of a tuning job's training jobs."""
        ...

    def stop(self, name: str) -> None:
        """Begin to stop a tuning job."""
        ...

    def delete(self, name: str) -> None:
        """Remove the entry of an ended tuning job."""
        ...

    def tag(self, name: str, change: Change) -> dict[str, str]:
        """Change a tuning job's tags; those it has then."""
        ...


class TuningOperations:
    """The operations, by name."""

    def __init__(self, tuning: TuningJobs) -> None:
        self._tuning = tuning
        self.operations: dict[str, Callable[[Document], Document | None]] = {
            "CreateHyperParameterTuningJob": self._create,
            "DescribeHyperParameterTuningJob": self._describe,
            "ListHyperParameterTuningJobs": lambda request: list_tuning_jobs(request, self._summaries),
            "StopHyperParameterTuningJob": lambda request: self._tuning.stop(request[_NAME]),
            "DeleteHyperParameterTuningJob": lambda request: self._tuning.delete(request[_NAME]),
            "ListTrainingJobsForHyperParameterTuningJob": self._trials,
        }

    def answer(self, operation: str, request: Document) -> Document | None:
        """Do what is asked; the members of the answer.

        Raises:
            ApiError: with the code and the words AWS has for it.
        """
        check(operation, request)
        try:
            return self.operations[operation](request)
        except UnknownTuningJobError as error:
            raise ApiError("ResourceNotFound", str(error)) from None
        except ResourceInUseError as error:
            raise ApiError("ResourceInUse", str(error)) from None
        except LocalModeError as error:
            raise ApiError("ValidationException", str(error)) from None

    def _create(self, request: Document) -> Document:
        return {"HyperParameterTuningJobArn": self._tuning.create(request)["HyperParameterTuningJobArn"]}

    def _describe(self, request: Document) -> Document:
        return answered("DescribeHyperParameterTuningJob", self._tuning.describe(request[_NAME]))

    def _trials(self, request: Document) -> Document:
        found = self._tuning.trials(request[_NAME])
        if request.get("SortBy") == "FinalObjectiveMetricValue":
            # As documented: those without a value are not listed then.
            found = [{**each, TRIALS.value: each[_METRIC]["Value"]} for each in found if _METRIC in each]
        page = list_trials(request, found)
        kept = [{key: value for key, value in each.items() if key != TRIALS.value} for each in page[TRIALS.answer]]
        return {**page, TRIALS.answer: kept}

    def _summaries(self, query: Query) -> list[Document]:
        return [_summary(record) for record in self._tuning.find(query)]


def _summary(record: Document) -> Document:
    config = record["HyperParameterTuningJobConfig"]
    more = {"Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}
    return {**{key: record[key] for key in _SUMMARY if key in record}, **more}
