"""What List operations share: filters, order and pages, as their documentation has them."""

import base64
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_mode.api.wire import ApiError
from local_mode.jobs.store import Place, Query

Document = dict[str, Any]
_PAGE = 10
"""Items of a page when MaxResults is not given."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What one List operation lists."""

    operation: str
    answer: str
    """The member of the answer that has the list."""
    name: str
    """The member of an item that has its name; likewise status."""
    status: str
    sort: str
    """SortBy when it is not given."""
    value: str = "Value"
    """The member that FinalObjectiveMetricValue goes by."""

    @property
    def keys(self) -> dict[str, str]:
        """The members of an item that SortBy goes by."""
        return {
            "Name": self.name,
            "CreationTime": "CreationTime",
            "Status": self.status,
            "FinalObjectiveMetricValue": self.value,
        }


TRAINING_JOBS = Kind(
    operation="ListTrainingJobs",
    answer="TrainingJobSummaries",
    name="TrainingJobName",
    status="TrainingJobStatus",
    sort="CreationTime",
)
TUNING_JOBS = Kind(
    operation="ListHyperParameterTuningJobs",
    answer="HyperParameterTuningJobSummaries",
    name="HyperParameterTuningJobName",
    status="HyperParameterTuningJobStatus",
    sort="Name",
)
TRIALS = Kind(
    operation="ListTrainingJobsForHyperParameterTuningJob",
    answer="TrainingJobSummaries",
    name="TrainingJobName",
    status="TrainingJobStatus",
    sort="Name",
)
_COLUMNS = {"Name": "name", "CreationTime": "created", "Status": "status"}
_NUMBERS = ("CreationTime", "FinalObjectiveMetricValue")


def list_jobs(request: Document, find: Callable[[Query], list[Document]]) -> Document:
    """ListTrainingJobs: the page that the request asks for of the jobs that `find` finds.

    Raises:
        ApiError: NextToken is none of ours, or belongs to another request.
    """
    query = _query(request, TRAINING_JOBS)
    # No job here has a warm pool or a training plan.
    chosen = [] if {"WarmPoolStatusEquals", "TrainingPlanArnEquals"} & request.keys() else find(query)
    page = _page(request, chosen, TRAINING_JOBS)
    if status := request.get("StatusEquals"):
        # As documented: a page is cut first, and only then those of another status are left out of it.
        page[TRAINING_JOBS.answer] = [job for job in page[TRAINING_JOBS.answer] if job[TRAINING_JOBS.status] == status]
    return page


def list_tuning_jobs(request: Document, find: Callable[[Query], list[Document]]) -> Document:
    """ListHyperParameterTuningJobs, likewise.

    Raises:
        ApiError: as for ListTrainingJobs.
    """
    return _page(request, find(_query(request, TUNING_JOBS, status=request.get("StatusEquals"))), TUNING_JOBS)


def list_trials(request: Document, found: list[Document]) -> Document:
    """ListTrainingJobsForHyperParameterTuningJob, of all that a tuning job has.

    Raises:
        ApiError: as for ListTrainingJobs.
    """
    sort = request.get("SortBy", TRIALS.sort)
    key, backwards = TRIALS.keys[sort], request.get("SortOrder") == "Descending"
    if status := request.get("StatusEquals"):
        found = [each for each in found if each[TRIALS.status] == status]
    places = sorted(((each[key], each[TRIALS.name], each) for each in found), key=lambda it: it[:2], reverse=backwards)
    if after := _after(request, TRIALS):
        places = [place for place in places if (place[:2] < tuple(after) if backwards else place[:2] > tuple(after))]
    return _page(request, [each for _, _, each in places], TRIALS)


def _query(request: Document, kind: Kind, status: str | None = None) -> Query:
    return Query(
        contains=request.get("NameContains", ""),
        status=status,
        created=_between(request, "CreationTime"),
        modified=_between(request, "LastModifiedTime"),
        sort=_COLUMNS[request.get("SortBy", kind.sort)],
        backwards=request.get("SortOrder") == "Descending",
        after=_after(request, kind),
        limit=request.get("MaxResults", _PAGE) + 1,
    )


def _page(request: Document, chosen: list[Document], kind: Kind) -> Document:
    """The first of what was chosen, with a token when there is more."""
    most = request.get("MaxResults", _PAGE)
    page = chosen[:most]
    answer: Document = {kind.answer: page}
    if len(chosen) > most:
        key = kind.keys[request.get("SortBy", kind.sort)]
        answer["NextToken"] = _write((page[-1][key], page[-1][kind.name]), request)
    return answer


def _between(request: Document, field: str) -> tuple[float, float]:
    return request.get(f"{field}After", -math.inf), request.get(f"{field}Before", math.inf)


def _filters(request: Document) -> Document:
    return {key: value for key, value in sorted(request.items()) if key not in ("NextToken", "MaxResults")}


def _write(last: Place, request: Document) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, _filters(request)]).encode()).decode()


def _after(request: Document, kind: Kind) -> Place | None:
    """The key of the last job shown: jobs that were made or removed since do not shift the pages."""
    if not (token := request.get("NextToken")):
        return None
    foreign = ApiError("ValidationException", f"The NextToken is not one that {kind.operation} returned.")
    try:
        (value, name), filters = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise foreign from None
    if not isinstance(name, str) or not isinstance(value, int | float if _is_number(request, kind) else str):
        raise foreign
    if filters != _filters(request):
        raise ApiError("ValidationException", "The NextToken belongs to a request with other filters or another order.")
    return value, name


def _is_number(request: Document, kind: Kind) -> bool:
    return request.get("SortBy", kind.sort) in _NUMBERS
