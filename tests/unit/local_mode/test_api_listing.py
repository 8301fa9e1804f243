import pytest

from local_mode.api.listing import list_jobs
from local_mode.api.wire import ApiError
from local_mode.jobs.store import Store


def job(name, created, status="Completed", modified=None):
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:{name}",
        "CreationTime": created,
        "LastModifiedTime": modified or created + 5,
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        "HyperParameters": {},
    }


JOBS = [job("cat", 3.0), job("Ant", 1.0, "Failed"), job("bee", 2.0, "Stopped"), job("cow", 3.0, "InProgress")]


@pytest.fixture
def stored(tmp_path):
    """What finds among some jobs."""

    def find_among(jobs=JOBS):
        store = Store(tmp_path)
        for item in jobs:
            store.put(item)
        return store.find

    return find_among


def names(answer):
    return [item["TrainingJobName"] for item in answer["TrainingJobSummaries"]]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ["Ant", "bee", "cat", "cow"]),
        ({"SortOrder": "Descending"}, ["cow", "cat", "bee", "Ant"]),
        ({"SortBy": "Name"}, ["Ant", "bee", "cat", "cow"]),
        ({"SortBy": "Status"}, ["cat", "Ant", "cow", "bee"]),
        ({"NameContains": "C"}, ["cat", "cow"]),
        ({"CreationTimeAfter": 1.0, "CreationTimeBefore": 3.0}, ["bee"]),
        ({"LastModifiedTimeAfter": 7.5}, ["cat", "cow"]),
        ({"StatusEquals": "Failed"}, ["Ant"]),
        ({"WarmPoolStatusEquals": "Available"}, []),
    ],
)
def test_filters_and_order_are_as_documented(stored, request_, expected):
    assert names(list_jobs(request_, stored())) == expected


def test_summary_has_no_more_than_a_summary(stored):
    (shown,) = list_jobs({"NameContains": "ant"}, stored())["TrainingJobSummaries"]

    assert set(shown) == {
        "TrainingJobName", "TrainingJobArn", "CreationTime", "LastModifiedTime", "TrainingJobStatus", "SecondaryStatus",
    }  # fmt: skip


def test_status_is_looked_at_after_the_page_is_cut(stored):
    find = stored()
    first = list_jobs({"StatusEquals": "InProgress", "MaxResults": 3}, find)
    second = list_jobs({"StatusEquals": "InProgress", "MaxResults": 3, "NextToken": first["NextToken"]}, find)

    assert (names(first), names(second)) == ([], ["cow"])
    assert "NextToken" not in second


def test_ten_jobs_are_a_page_when_nothing_is_said(stored):
    many = stored([job(f"j{n:02}", float(n)) for n in range(25)])
    first = list_jobs({}, many)
    second = list_jobs({"NextToken": first["NextToken"]}, many)

    assert names(first) + names(second) == [f"j{n:02}" for n in range(20)]


@pytest.mark.parametrize("token", ["x", "e30=", "W1sxLCAyXSwge31d", "bnVsbA=="])
def test_token_that_was_not_handed_out_is_refused(stored, token):
    with pytest.raises(ApiError, match="NextToken is not one"):
        list_jobs({"NextToken": token}, stored())
