"""What the page shows of a job: its record and curves, made ready for the templates."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.jobs.folder import JobFolder
from local_mode.jobs.record import FINAL
from local_mode.jobs.trace import EXTRA
from local_mode.page import svg
from local_mode.page.files import Left, left, tail
from local_mode.page.svg import Chart, Segment

Document = Mapping[str, Any]
_WAITS = {"opening": "no reader", "starved": "empty: the program may wait", "supplied": "has data ready"}
_LOGS = 20
_NOT_REQUEST = (
    "TrainingJobArn", "ModelArtifacts", "TrainingJobStatus", "SecondaryStatus", "CreationTime", "LastModifiedTime",
    "SecondaryStatusTransitions", "FinalMetricDataList", "TrainingStartTime", "TrainingEndTime", "FailureReason",
    "TrainingTimeInSeconds", "BillableTimeInSeconds", EXTRA,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """A job in the list."""

    name: str
    status: str
    secondary: str
    created: float
    ended: float | None
    metrics: tuple[tuple[str, float], ...]
    remark: str
    """Why it failed, or its verdict."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve and what stands over it."""

    name: str
    value: str
    chart: Chart | None
    waits: tuple[tuple[Segment, str], ...] = ()
    """Of a channel that has ended: where its time went."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A job on a page of its own."""

    name: str
    status: str
    secondary: str
    has_ended: bool
    reason: str
    verdict: str
    facts: tuple[tuple[str, str], ...]
    timeline: tuple[Segment, ...]
    metrics: tuple[Curve, ...]
    channels: tuple[Curve, ...]
    logs: tuple[tuple[str, tuple[str, ...]], ...]
    """The end of the log of every host, by its file's name."""
    files: tuple[Left, ...]
    request: str


def row(description: Document) -> Row:
    """A job in the list."""
    metrics = description.get("FinalMetricDataList") or ()
    return Row(
        name=description["TrainingJobName"],
        status=description["TrainingJobStatus"],
        secondary=description["SecondaryStatus"],
        created=description["CreationTime"],
        ended=_end(description),
        metrics=tuple((item["MetricName"], item["Value"]) for item in metrics),
        remark=description.get("FailureReason") or (description.get(EXTRA) or {}).get("Verdict", ""),
    )


def job(description: Document, curves: Document, folder: JobFolder, *, now: float) -> Shown:
    """A job on a page of its own."""
    extra = description.get(EXTRA) or {}
    transitions = description["SecondaryStatusTransitions"]
    start = next((item["StartTime"] for item in transitions if item["Status"] == "Training"), now)
    metrics: Mapping[str, Any] = curves.get("Metrics") or {}
    channels: Mapping[str, Any] = curves.get("Channels") or {}
    return Shown(
        name=description["TrainingJobName"],
        status=description["TrainingJobStatus"],
        secondary=description["SecondaryStatus"],
        has_ended=description["TrainingJobStatus"] in FINAL,
        reason=description.get("FailureReason", ""),
        verdict=extra.get("Verdict", ""),
        facts=_facts(description, now),
        timeline=svg.timeline(transitions, now),
        metrics=tuple(_metric(name, points, start) for name, points in sorted(metrics.items())),
        channels=tuple(
            _channel(name, points, start, (extra.get("Channels") or {}).get(name) or {})
            for name, points in sorted(channels.items())
        ),
        logs=tuple((path.name, tuple(tail(path))) for path in sorted(folder.logs.glob("*.log"), key=_in_order)[:_LOGS]),
        files=left(folder.path),
        request=json.dumps({key: value for key, value in description.items() if key not in _NOT_REQUEST}, indent=2),
    )


def _in_order(path: Path) -> tuple[int, str]:
    """algo-10 after algo-9."""
    return len(path.name), path.name


def _end(description: Document) -> float | None:
    if description["TrainingJobStatus"] not in FINAL:
        return None
    return float(description["SecondaryStatusTransitions"][-1].get("EndTime", description["LastModifiedTime"]))


def _facts(description: Document, now: float) -> tuple[tuple[str, str], ...]:
    algorithm, resources = description["AlgorithmSpecification"], description["ResourceConfig"]
    end = _end(description)
    channels = description.get("InputDataConfig") or ()
    modes = {channel.get("InputMode") or algorithm["TrainingInputMode"] for channel in channels}
    training = description.get("TrainingTimeInSeconds")
    facts = [
        ("Image", algorithm.get("TrainingImage") or algorithm.get("AlgorithmName", "")),
        ("Instance", f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', '')}"),
        ("Created", clock(description["CreationTime"])),
        ("Took" if end else "Runs for", svg.duration((end or now) - description["CreationTime"])),
        ("Training", svg.duration(training) if training is not None else ""),
        (
            "Input",
            f"{', '.join(sorted(modes))}: {', '.join(item['ChannelName'] for item in channels)}" if modes else "",
        ),
        ("Model", description["ModelArtifacts"]["S3ModelArtifacts"] if end else ""),
    ]
    return tuple((name, value) for name, value in facts if value)


def _metric(name: str, points: Any, start: float) -> Curve:
    value = svg.number(points[-1][1]) if points else ""
    return Curve(name=name, value=value, chart=svg.chart([tuple(point) for point in points], start))


def _channel(name: str, points: Any, start: float, spent: Document) -> Curve:
    megabytes = [(start, 0.0), *((at, count / 1e6) for at, count in points if at >= start)]
    seconds = max(megabytes[-1][0] - start, 1e-3)
    value = f"{size(megabytes[-1][1] * 1e6)}, {megabytes[-1][1] / seconds:.3g} MB/s on average"
    parts = svg.shares({key: spent.get(f"Seconds{key.capitalize()}", 0.0) for key in _WAITS}) if spent else ()
    waits = tuple((part, f"{_WAITS[part.status]}: {svg.duration(part.seconds)}") for part in parts)
    return Curve(name=name, value=value, chart=svg.chart(megabytes, start, grounded=True), waits=waits)


def clock(seconds: float) -> str:
    """A moment, in this machine's time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def size(count: float) -> str:
    """Bytes, as people say it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


FILTERS: Mapping[str, Callable[..., str]] = {
    "clock": clock,
    "size": size,
    "ago": svg.ago,
    "duration": svg.duration,
    "number": svg.number,
}
