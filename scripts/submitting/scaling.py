"""The arithmetic of docs/scaling.md: what several hosts gain, what each has to read, how a channel is cut into objects.

    python -m scripts.submitting.scaling        # prints the tables, as they stand there

Everything follows from the constants in `Job`, which are stated and not measured, and from prices.toml.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.submitting import prices

HOSTS = (1, 8, 64)
DATA_MB = {"1 GB": 10**3, "1 TB": 10**6, "100 TB": 10**8}
IDLE = 0.02
"""Share of an epoch that the host with the fewest objects may wait for the one with the most."""
LEAST_SHARD_MB, MOST_SHARD_MB = 16.0, 1000.0
"""Smaller objects cost requests, larger ones a long repetition where a connection breaks."""
REPLICATED_SHARE = 0.5
"""Of what a stream brings, as much may be read in vain before objects had better be divided."""
FILE_MB = 50_000.0
"""What a host may bring in before it begins; more is streamed."""
PIECES = 4
"""Of `gradient_accumulation`, with a batch as many times as large."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """ResNet-50 on photographs, a GPU a host."""

    instance: str = "ml.g5.2xlarge"
    """A key of prices.toml, which has its price and what its network brings."""
    images_per_second: float = 400.0
    """Of one host, at 224 pixels in half precision."""
    batch_size: int = 128
    """A host's."""
    image_mb: float = 0.1
    weights_mb: float = 102.0
    """25.6 million of 4 bytes, which the hosts exchange in each step."""

    @property
    def step_seconds(self) -> float:
        """Of one host alone."""
        return self.batch_size / self.images_per_second

    @property
    def needs_mb_per_second(self) -> float:
        """What one host consumes."""
        return self.images_per_second * self.image_mb


def exchange_seconds(megabytes: float, hosts: int, mb_per_second: float) -> float:
    """What a ring takes to add up gradients: each host sends and receives 2 (N - 1) / N of them."""
    return 2 * (hosts - 1) / hosts * megabytes / mb_per_second


def speedup(step_seconds: float, exchange: float, hosts: int) -> float:
    """Of `hosts`, in multiples of one, where nothing is exchanged while a step computes: the least there is."""
    return hosts * step_seconds / (step_seconds + exchange)


def step_for(wanted: float, exchange: float, hosts: int) -> float:
    """Seconds that a step has to take on one host for `hosts` to be `wanted` times as fast."""
    return exchange * wanted / (hosts - wanted)


def shards(data_mb: float, hosts: int) -> tuple[int, float]:
    """How many objects, and of which size, so that no host waits more than IDLE of an epoch.

    A host has at most one object more than another. There are more of them where they would be too large.
    """
    wanted = hosts * math.ceil(1 / IDLE) if hosts > 1 else 1
    wanted = max(wanted, hosts * math.ceil(data_mb / MOST_SHARD_MB / hosts))
    return wanted, data_mb / wanted


def gains(job: Job, stream: float, usd_per_hour: float) -> list[list[str]]:
    """A row for each number of hosts."""
    rows = []
    for hosts in HOSTS:
        exchange = exchange_seconds(job.weights_mb, hosts, stream)
        times = speedup(job.step_seconds, exchange, hosts)
        images = times * job.images_per_second
        own = images / hosts * job.image_mb
        rows.append([
            str(hosts), f"{1000 * exchange:.0f}", f"{times:.1f}", f"{times / hosts:.0%}", f"{images:,.0f}",
            f"{speedup(PIECES * job.step_seconds, exchange, hosts) / hosts:.0%}",
            f"{own:.0f}", f"{own * hosts:,.0f}", f"{usd_per_hour * hosts / images / 3600 * 10**6:.2f}",
        ])  # fmt: skip
    return rows


def choices(job: Job, stream: float, start_seconds: float) -> list[list[str]]:
    """A row for each amount of data and number of hosts."""
    rows = []
    for name, data_mb in DATA_MB.items():
        for hosts in HOSTS:
            times = speedup(job.step_seconds, exchange_seconds(job.weights_mb, hosts, stream), hosts)
            epoch = data_mb / job.image_mb / (times * job.images_per_second)
            replicated = times / hosts * job.needs_mb_per_second * hosts
            count, size = shards(data_mb, hosts)
            divided = hosts > 1 and replicated > REPLICATED_SHARE * stream and size >= LEAST_SHARD_MB
            share = data_mb / hosts if divided else data_mb
            worth = "no" if hosts > 1 and epoch < start_seconds / 10 else "yes"
            rows.append([
                name, str(hosts), _time(epoch), _time(share / stream), f"{share / 1000:,.0f} GB",
                "File" if share <= FILE_MB else "Pipe", "ShardedByS3Key" if divided else "FullyReplicated",
                f"{count:,} of {size:,.1f} MB", worth,
            ])  # fmt: skip
    return rows


def least_steps() -> list[list[str]]:
    """How long a step must be for two hosts to be 1.5 and 1.8 times as fast, by what they exchange in each."""
    exchanged = {"gloo, a sum of two numbers": 0.0008, "TensorFlow's ring, 5 MB": 0.05}
    return [
        [what, f"{1000 * seconds:.1f}", *(f"{1000 * step_for(wanted, seconds, 2):.0f}" for wanted in (1.5, 1.8))]
        for what, seconds in exchanged.items()
    ]


def tables() -> dict[str, str]:
    """The tables of docs/scaling.md, in Markdown, by what the line before each says."""
    table, job = prices.read(), Job()
    instance = table.instances[job.instance]
    stream = instance.stream_mb_per_second
    gain = (
        "hosts",
        "exchange ms",
        "times one",
        "efficiency",
        "images/s",
        f"efficiency, batch {PIECES * job.batch_size}",
    )
    reads = ("reads, divided MB/s", "reads, whole MB/s")
    choice = ("data", "hosts", "epoch", "brought in", "to a host", "mode", "distribution", "objects", "worth it")
    return {
        "steps": _markdown(("exchanged", "ms a step", "1.5 x from ms", "1.8 x from ms"), least_steps()),
        "gains": _markdown((*gain, *reads, "USD a million images"), gains(job, stream, instance.usd_per_hour)),
        "choices": _markdown(choice, choices(job, stream, table.stated.start_seconds)),
    }


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _time(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


if __name__ == "__main__":
    sys.stdout.write("\n\n".join(tables().values()) + "\n")
