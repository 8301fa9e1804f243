import datetime
import io
from typing import Any

import pytest

from scripts.submitting import estimate, prices, sizes
from scripts.submitting.errors import SubmitError
from scripts.submitting.estimate import LEAST_SECONDS, Estimate, most_usd, reckon
from scripts.submitting.measuring import Measured
from scripts.submitting.prices import Instance, Prices, Stated
from scripts.submitting.sizes import Size, Sizes
from tests.unit.scripts.submitting.jobs import example, whole

TABLE = Prices(
    region="us-east-1",
    date=datetime.date(2026, 1, 1),
    source="somewhere",
    stated=Stated(start_seconds=100, end_seconds=10, least_step_seconds=0.01, evaluation=0.5),
    instances={"ml.g5.xlarge": Instance(usd_per_hour=3.6, cores_worth=20, stream_mb_per_second=50)},
)
MEASURED = Measured(images_per_second=10, batch_size=100, mb_per_second=400, cores=2, machine="here", date="2026-01-01")
"""0.1 steps/s here, so 1 step/s on an instance that is worth ten times these cores."""
SIZES = Sizes(
    channels={"train": Size(records=1000, megabytes=10), "validation": Size(records=200, megabytes=2)},
    known_by="as told",
)


def request(**hyperparameters: str) -> dict[str, Any]:
    document = example()
    document["HyperParameters"] = {"epochs": "5", **hyperparameters}
    return whole(document)


def seconds(reckoned: Estimate) -> dict[str, float]:
    return {line.what: line.seconds for line in reckoned.lines}


def test_steps_are_scaled_by_what_the_instance_is_worth():
    reckoned = reckon(request(), MEASURED, SIZES, TABLE)

    # 5 x 10 steps of 1 s; 5 x 2 batches of half that; 5 x 12 MB at 50 MB/s, during the steps.
    assert seconds(reckoned) == pytest.approx(
        {"start-up": 100, "streaming": 1.2, "steps": 50, "evaluation": 5, "end": 10}
    )
    assert reckoned.seconds == pytest.approx(165)
    assert reckoned.usd == pytest.approx(0.165)


def test_slow_stream_is_what_a_job_waits_for():
    slow = Measured(**{**MEASURED.__dict__, "mb_per_second": 0.5})

    reckoned = reckon(request(), slow, SIZES, TABLE)

    assert seconds(reckoned)["streaming"] == pytest.approx(120)
    assert reckoned.seconds == pytest.approx(230)


def test_tiny_step_takes_what_a_step_takes_at_least():
    fast = Measured(**{**MEASURED.__dict__, "images_per_second": 1e9})

    assert seconds(reckon(request(), fast, SIZES, TABLE))["steps"] == pytest.approx(0.5)


def test_several_instances_cost_several_times_as_much():
    several = request()
    several["ResourceConfig"]["InstanceCount"] = 3

    assert reckon(several, MEASURED, SIZES, TABLE).usd == pytest.approx(0.495)


def test_job_may_run_for_twice_its_estimate_and_a_quarter_of_an_hour_at_least():
    assert reckon(request(), MEASURED, SIZES, TABLE).most_seconds == LEAST_SECONDS
    assert reckon(request(epochs="500"), MEASURED, SIZES, TABLE).most_seconds == pytest.approx(2 * 5610)


def test_every_line_says_what_is_measured_and_what_is_stated():
    said = str(reckon(request(), MEASURED, SIZES, TABLE))

    for text in (
        "stated: to the program's first line",
        "60 MB, as told, at 50 MB/s: measured here 400, stated for ml.g5.xlarge at most 50",
        "50 of 100 images at 1 steps/s: measured here 0.1 on 2 core(s), 2026-01-01; x 10 as stated",
        "at 3.6 USD/h on demand, us-east-1, 2026-01-01: a table to be checked",
    ):
        assert text in said


def test_instance_that_the_table_lacks_is_refused_with_those_it_has():
    other = request()
    other["ResourceConfig"]["InstanceType"] = "ml.x9.huge"

    with pytest.raises(SubmitError, match="no row for ml.x9.huge, .* one of: ml.g5.xlarge"):
        estimate.check(other, TABLE)
    assert most_usd(other, TABLE) is None


def test_estimate_needs_the_number_of_epochs():
    with pytest.raises(SubmitError, match="epochs is 'many'; an estimate needs the number"):
        estimate.check(request(epochs="many"), TABLE)


def test_most_that_a_job_costs_is_its_limit_at_the_full_price():
    assert most_usd(request(), TABLE) == pytest.approx(3.7)


def test_table_has_a_day_a_place_and_a_source_and_figures_above_nothing():
    table = prices.read()

    assert table.date <= datetime.datetime.now(tz=datetime.UTC).date()
    assert table.region
    assert table.source.startswith("https://")
    for row in table.instances.values():
        assert min(row.usd_per_hour, row.cores_worth, row.stream_mb_per_second) > 0


@pytest.mark.parametrize(("time", "said"), [(42, "42 s"), (600, "10 min"), (7260, "2 h 01 m")])
def test_times_are_told_as_people_tell_them(time: float, said: str):
    assert estimate.duration(time) == said


def test_channels_that_nobody_was_asked_of_have_what_was_published():
    found = sizes.find(whole(), "cifar10", None)

    assert found.channels["train"] == Size(records=50_000, megabytes=153.65)
    assert found.note == "S3 was not looked at: no bucket was named"


class FakeS3:
    """Two objects under every prefix, and one manifest."""

    def get_paginator(self, operation: str) -> "FakeS3":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **where: str) -> list[dict[str, Any]]:
        return [{"Contents": [{"Size": 3073 * 60}]}, {"Contents": [{"Size": 3073 * 40}]}]

    def get_object(self, **where: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(b"{}\n{}\n\n{}\n")}


def test_channels_are_looked_at_in_s3():
    shards = sizes.find(whole(), "cifar10", FakeS3())
    lines = sizes.find(whole(example("pytorch-cub200")), "cub200", FakeS3())

    assert shards.channels["train"] == Size(records=100, megabytes=pytest.approx(0.3073))
    assert (shards.known_by, shards.note) == ("as S3 has them", "")
    assert lines.channels["train"].records == 3


def test_channel_that_is_not_in_s3_is_taken_as_published():
    request = whole()
    request["InputDataConfig"][1]["DataSource"] = {"FileSystemDataSource": {}}

    found = sizes.find(request, "cifar10", FakeS3())

    assert found.channels["validation"].records == 10_000
    assert "is no place in S3" in found.note
