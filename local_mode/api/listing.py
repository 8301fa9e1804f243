"""ListTrainingJobs: filters, order and pages, as its documentation has them."""

import base64
import json
import math
from collections.abc import Callable
from typing import Any

from local_mode.api.wire import ApiError
from local_mode.jobs.store import Place, Query

Document = dict[str, Any]
_PAGE = 10
"""Jobs of a page when MaxResults is not given."""
_SORTS = {"Name": "name", "CreationTime": "created", "Status": "status"}
_KEYS = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}


def list_jobs(request: Document, find: Callable[[Query], list[Document]]) -> Document:
    """The page that the request asks for of the jobs that `find` finds.

    Raises:
        ApiError: NextToken is none of ours, or belongs to another request.
    """
    sort, most = request.get("SortBy", "CreationTime"), request.get("MaxResults", _PAGE)
    token = request.get("NextToken")
    query = Query(
        contains=request.get("NameContains", ""),
        created=_between(request, "CreationTime"),
        modified=_between(request, "LastModifiedTime"),
        sort=_SORTS[sort],
        backwards=request.get("SortOrder") == "Descending",
        after=_read(token, request) if token else None,
        limit=most + 1,
    )
    # No job here has a warm pool or a training plan.
    chosen = [] if {"WarmPoolStatusEquals", "TrainingPlanArnEquals"} & request.keys() else find(query)
    page = chosen[:most]
    status = request.get("StatusEquals")
    # As documented: a page is cut first, and only then those of another status are left out of it.
    answer: Document = {
        "TrainingJobSummaries": [job for job in page if status is None or job["TrainingJobStatus"] == status]
    }
    if len(chosen) > most:
        answer["NextToken"] = _write((page[-1][_KEYS[sort]], page[-1]["TrainingJobName"]), request)
    return answer


def _between(request: Document, field: str) -> tuple[float, float]:
    return request.get(f"{field}After", -math.inf), request.get(f"{field}Before", math.inf)


def _filters(request: Document) -> Document:
    return {key: value for key, value in sorted(request.items()) if key not in ("NextToken", "MaxResults")}


def _write(last: Place, request: Document) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, _filters(request)]).encode()).decode()


def _read(token: str, request: Document) -> Place:
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
