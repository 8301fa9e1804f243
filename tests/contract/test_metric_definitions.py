"""Section 4.6 of the platform contract, over every runner: the log, and metrics found in it. One job for all rows."""

import pytest

LONG = 100_000
WRITINGS = [
    [1, "epoch=1 loss=0.5;\n"],
    [2, "warning on stderr err_metric=2.5\n"],
    [1, "epoch=2 loss=0.25; loss=0.125;\n"],
    [1, "science=1.5e-3 negative=-4 signed=+7\n"],
    [1, "nan_metric=nan\n"],
    [1, "inf_metric=inf\n"],
    [1, "good_then_bad=1\ngood_then_bad=oops\n"],
    [1, "split=\n42\n"],
    [1, "bar 10%\rbar=20\rbar=30 done\n"],
    [1, "bad bytes \xff\xfe after=9\n"],
    [1, "x", LONG],
    [1, " far=8\n"],
    [1, "two groups: 3 of 4\n"],
    [1, "[1,mpirank:0,algo-1]<stdout>tagged=6;\n"],
    [1, "last line without its end=5"],
]
REGEXES = {
    "loss": "loss=([0-9.]+)",
    "err": "err_metric=([0-9.]+)",
    "science": "science=([0-9.e-]+)",
    "negative": "negative=(-?[0-9]+)",
    "signed": r"signed=([+0-9]+)",
    "nan": "nan_metric=(.*)",
    "inf": "inf_metric=(.*)",
    "kept": "good_then_bad=(.*)",
    "split": r"split=\s*([0-9]+)",
    "bar": "bar=([0-9]+)",
    "after": "after=([0-9]+)",
    "far": "far=([0-9]+)",
    "groups": "two groups: ([0-9]) of ([0-9])",
    "tagged": "tagged=([0-9]);",
    "end": "end=([0-9]+)",
    "absent": "never=([0-9]+)",
    "anchored": "^epoch=([0-9]+) ",
}


@pytest.fixture(scope="module")
def run(shared_lab):
    """A job that writes all of WRITINGS."""
    definitions = [{"Name": name, "Regex": regex} for name, regex in REGEXES.items()]
    ended = shared_lab.run(["say", *WRITINGS], algorithm={"MetricDefinitions": definitions})
    assert ended.status == "Completed"
    return ended


@pytest.fixture(scope="module")
def final(run):
    return {item["MetricName"]: item["Value"] for item in run.description["FinalMetricDataList"]}


def row(statement, grade="D"):
    return pytest.mark.contract("4.6", grade, statement)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("loss", 0.125, marks=row("of several matches in a line the last is the metric's value", "U")),
        pytest.param("err", 2.5, marks=row("stderr is searched for metrics like stdout")),
        pytest.param("science", 0.0015, marks=row("a value may be in scientific notation", "I")),
        pytest.param("negative", -4, marks=row("a value may be negative", "I")),
        pytest.param("signed", 7, marks=row("a value may have a plus sign", "I")),
        pytest.param("kept", 1, marks=row("a match that is no number leaves the last value as it was", "I")),
        pytest.param("bar", 30, marks=row("a carriage return ends no line: of a progress bar the last counts", "I")),
        pytest.param("after", 9, marks=row("bytes that are no UTF-8 do not hide the rest of their line", "I")),
        pytest.param("far", 8, marks=row("a line of 100,000 characters is searched to its end", "I")),
        pytest.param("groups", 3, marks=row("of several groups the first is the value", "I")),
        pytest.param("tagged", 6, marks=row("a launcher's tag before the line does not hide it", "C")),
        pytest.param("end", 5, marks=row("the last line counts without its line end", "I")),
        pytest.param("anchored", 2, marks=row("regular expressions are Python's, ^ is the beginning of the line")),
    ],
)  # fmt: skip
def test_metric_has_the_value(final, name, value):
    assert final[name] == value


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("split", marks=row("a match cannot go over the end of a line", "I")),
        pytest.param("absent", marks=row("a metric that never matched is not in FinalMetricDataList")),
        pytest.param("nan", marks=row("NaN is no value of a metric", "U")),
        pytest.param("inf", marks=row("infinity is no value of a metric", "U")),
    ],
)
def test_metric_has_no_value(final, name):
    assert name not in final


@row("every final value has the time of its line")
def test_final_values_have_times(run):
    described = run.description
    for item in described["FinalMetricDataList"]:
        assert described["TrainingStartTime"] - 1 <= item["Timestamp"] <= described["LastModifiedTime"]


@row("the log has stdout and stderr together, byte for byte, each in the order it was written")
def test_log_has_everything_in_order(run):
    lines = (run.folder / "logs" / "algo-1.log").read_bytes().splitlines(keepends=True)
    log = b"".join(line for line in lines if not line.startswith(b"[local_mode]"))
    written = {1: b"", 2: b""}
    for number, text, *times in WRITINGS:
        written[number] += text.encode("latin-1") * (times or [1])[0]

    assert written[2] in log
    # An engine reads two pipes: which comes first is its own. The platform's line comes after them, on one of its own.
    assert log.replace(written[2], b"") in (written[1], written[1] + b"\n")
