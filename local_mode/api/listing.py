"""ListTrainingJobs: filters, order and pages, as its documentation has them."""

import base64
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from local_mode.api.wire import ApiError

Document = dict[str, Any]
_PAGE = 10
"""Jobs of a page when MaxResults is not given."""
_SUMMARY = (
    "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime", "TrainingJobStatus",
    "SecondaryStatus",
)  # fmt: skip
_KEYS = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}
_Key = tuple[Any, str]


def list_jobs(request: Document, jobs: Iterable[Document]) -> Document:
    """The page of `jobs` that the request asks for.

    Raises:
        ApiError: NextToken is none of ours, or belongs to another request.
    """
    field, backwards = _KEYS[request.get("SortBy", "CreationTime")], request.get("SortOrder") == "Descending"
    chosen = sorted((job for job in jobs if _is_wanted(request, job)), key=_key(field), reverse=backwards)
    if token := request.get("NextToken"):
        last = _read(token, request)
        chosen = [job for job in chosen if (_key(field)(job) < last if backwards else _key(field)(job) > last)]
    most = request.get("MaxResults", _PAGE)
    page = chosen[:most]
    status = request.get("StatusEquals")
    # As documented: a page is cut first, and only then those of another status are left out of it.
    shown = [job for job in page if status is None or job["TrainingJobStatus"] == status]
    answer: Document = {"TrainingJobSummaries": [_summary(job) for job in shown]}
    if len(chosen) > most:
        answer["NextToken"] = _write(_key(field)(page[-1]), request)
    return answer


def _is_wanted(request: Document, job: Document) -> bool:
    return (
        request.get("NameContains", "").lower() in job["TrainingJobName"].lower()
        and _is_between(request, "CreationTime", job["CreationTime"])
        and _is_between(request, "LastModifiedTime", job["LastModifiedTime"])
        # No job here has a warm pool or a training plan.
        and "WarmPoolStatusEquals" not in request
        and "TrainingPlanArnEquals" not in request
    )


def _is_between(request: Document, field: str, time: float) -> bool:
    return bool(request.get(f"{field}After", -math.inf) < time < request.get(f"{field}Before", math.inf))


def _key(field: str) -> Callable[[Document], _Key]:
    """Sorts by a field, then by name, so that every job has a place of its own."""
    return lambda job: (job[field], job["TrainingJobName"])


def _summary(job: Document) -> Document:
    return {name: job[name] for name in _SUMMARY if name in job}


def _filters(request: Document) -> Document:
    return {key: value for key, value in sorted(request.items()) if key not in ("NextToken", "MaxResults")}


def _write(last: _Key, request: Document) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, _filters(request)]).encode()).decode()


def _read(token: str, request: Document) -> _Key:
    """The key of the last job shown: jobs that were made or removed since do not shift the pages."""
    try:
        (value, name), filters = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise ApiError("ValidationException", "The NextToken is not one that ListTrainingJobs returned.") from None
    kind = str if request.get("SortBy", "CreationTime") != "CreationTime" else int | float
    if not isinstance(name, str) or not isinstance(value, kind):
        raise ApiError("ValidationException", "The NextToken is not one that ListTrainingJobs returned.")
    if filters != _filters(request):
        raise ApiError("ValidationException", "The NextToken belongs to a request with other filters or another order.")
    return value, name
