"""The known deviations, against what can be asked of the code and of the rows: a list by hand must not go stale."""

import re

import pytest
from botocore.session import Session

from local_mode.api import server
from local_mode.api.job_listener import Doors
from local_mode.jobs import choices
from local_mode.jobs.door import Scope
from local_mode.jobs.record import MESSAGES
from local_mode.jobs.rules import MOST_HOSTS
from tests.contract.conformance import RESULTS
from tests.contract.conformance_table import deviations

RETIRED = {"LaunchingMLInstances", "PreparingTrainingStack", "DownloadingTrainingImage"}
VARIABLE = r"\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b"


@pytest.fixture(scope="module")
def rows(request):
    """Statements of rows, by section."""
    found = {}
    for row in request.config.stash[RESULTS].all_rows():
        found.setdefault(row.section, []).append(row.statement)
    return found


def said(section, beginning=""):
    return [item["here"] for item in deviations() if item["section"] == section and item["here"].startswith(beginning)]


def test_every_deviation_is_of_a_section_that_has_rows(request, rows):
    if not request.config.stash[RESULTS].is_whole:
        pytest.skip("a part of the suite runs; the whole of it shows this")

    assert {item["section"] for item in deviations()} - set(rows) == set()


def test_statuses_that_do_not_occur_are_all_those_that_no_job_enters(rows):
    (text,) = [text for text in said("4.2") if "do not occur" in text]
    named = set(re.findall(r"\b[A-Z][a-z]+\b", text.partition("and the retired")[0]))
    every = set(Session().get_service_model("sagemaker").shape_for("SecondaryStatus").enum)

    assert named == every - RETIRED - set(MESSAGES)
    for statement in rows.get("4.2", ()):
        assert not named & set(re.findall(r"\w+", statement)), statement


def test_variables_that_a_job_has_here_are_those_of_its_listener():
    (text,) = [text for text in said("1.2") if "AWS_ENDPOINT_URL" in text]
    doors = Doors(behind=lambda *_: [], body=lambda _: None, handler=server.Handler, note=print)
    listener = doors(Scope(read=(), write=()), server.LOOPBACK)
    try:
        assert set(re.findall(VARIABLE, text)) == set(listener.environment)
    finally:
        listener.close()


@pytest.mark.parametrize("kind", ["docker", "bubblewrap", "plain"], indirect=True)
def test_variables_that_no_job_has_are_in_no_programs_environment(lab, rows):
    (text,) = said("1.2", "No ")
    named = set(re.findall(VARIABLE, text))

    assert len(named) == 4
    assert not named & set(lab.run(["look"]).report["environment"])
    assert not [line for line in rows.get("1.2", ()) if named & set(re.findall(VARIABLE, line)) and " no " not in line]


def test_number_of_hosts_is_the_one_that_requests_are_held_to():
    (text,) = said("1.3", "At most ")
    assert text.startswith(f"At most {MOST_HOSTS} hosts;")


def test_choices_that_deviations_name_can_be_made_and_are_not_taken_by_themselves():
    words = [word for item in deviations() for word in re.findall(r"choice ([a-z\-]+=[a-z\-]+)", item["here"])]

    assert len(words) >= 5
    for word in words:
        assert choices.parse([word]).made == (word,)
