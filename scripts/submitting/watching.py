"""A job followed to its end: changes of its status and the lines of its logs, as CloudWatch has them."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from scripts.submitting.destination import Destination

GROUP = "/aws/sagemaker/TrainingJobs"
ENDED = {"Completed": 0, "Failed": 1, "Stopped": 2}
"""By status, the exit code."""
LINGER_SECONDS = 20.0
"""For lines that reach CloudWatch after the job's end; as soon as a round brings none it is over."""
QUIET_ROUNDS = 2

Say = Callable[[str], None]


class Watch:
    """What was seen of one job so far. It does not end the job, and knows no terminal."""

    def __init__(self, destination: Destination, name: str, say: Say) -> None:
        """`say` takes each line that is new."""
        self._sagemaker, self._logs, self._name, self._say = destination.sagemaker, destination.logs, name, say
        self._told = 0
        self._last = ""
        self._tokens: dict[str, str] = {}
        """By log stream, where to read on."""

    def follow(self, *, every: float, most: float) -> dict[str, Any]:
        """Waits for the job's end, or for `most` seconds, looking every `every`; the description last seen."""
        end = time.monotonic() + most
        while (described := self.look())["TrainingJobStatus"] not in ENDED and time.monotonic() < end:
            time.sleep(every)
        if described["TrainingJobStatus"] in ENDED:
            self._rest(every)
        return described

    def look(self) -> dict[str, Any]:
        """One look: says what is new; the description."""
        described: dict[str, Any] = self._sagemaker.describe_training_job(TrainingJobName=self._name)
        self._read()
        transitions = described.get("SecondaryStatusTransitions", [])
        fresh = transitions[self._told :]
        # The last one's message may still change, as when a download goes on.
        again = transitions[self._told - 1 : self._told] if self._told else []
        for transition in (*again, *fresh):
            text = f"{transition['Status']} - {transition.get('StatusMessage', '')}".removesuffix(" - ")
            if text != self._last:
                self._say(f"{_time(transition['StartTime'])} {text}")
                self._last = text
        self._told = len(transitions)
        return described

    def _rest(self, every: float) -> None:
        end, quiet = time.monotonic() + LINGER_SECONDS, 0
        while quiet < QUIET_ROUNDS and time.monotonic() < end:
            quiet = 0 if self._read() else quiet + 1
            if quiet < QUIET_ROUNDS:
                time.sleep(min(every, 2.0))

    def _read(self) -> int:
        """Says the lines that are new; how many there were."""
        return sum(self._read_stream(stream) for stream in self._streams())

    def _streams(self) -> Iterator[str]:
        pages = self._logs.get_paginator("describe_log_streams").paginate(
            logGroupName=GROUP, logStreamNamePrefix=f"{self._name}/"
        )
        try:
            yield from [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        except self._logs.exceptions.ResourceNotFoundException:
            return  # no job of the account has logged anything yet

    def _read_stream(self, stream: str) -> int:
        count = 0
        while True:
            token = self._tokens.get(stream)
            more = {"nextToken": token} if token else {"startFromHead": True}
            page = self._logs.get_log_events(logGroupName=GROUP, logStreamName=stream, **more)
            for event in page["events"]:
                self._say(f"[{_host(stream)}] {event['message']}")
            count += len(page["events"])
            self._tokens[stream] = page["nextForwardToken"]
            # The same token again says that this is all there is for now.
            if page["nextForwardToken"] == token:
                return count


def summary(described: dict[str, Any]) -> str:
    """How a job ended, in some lines."""
    lines = [f"{described['TrainingJobName']}: {described['TrainingJobStatus']}"]
    if reason := described.get("FailureReason"):
        lines.append(f"  reason  {reason}")
    lines += [
        f"  metric  {item['MetricName']} = {item['Value']:.6g}" for item in described.get("FinalMetricDataList", [])
    ]
    if billed := described.get("BillableTimeInSeconds"):
        lines.append(f"  billed  {billed:,} s of {described['TrainingTimeInSeconds']:,} s of training")
    if model := described.get("ModelArtifacts", {}).get("S3ModelArtifacts"):
        lines.append(f"  model   {model}")
    return "\n".join(lines)


def _host(stream: str) -> str:
    """`algo-1` of <job>/algo-1-<time>."""
    return stream.rpartition("/")[2].rpartition("-")[0] or stream


def _time(at: Any) -> str:
    return at.astimezone().strftime("%H:%M:%S")
