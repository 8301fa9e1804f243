"""One line on a job that has ended: did its program wait for input, for how long at most, and what would help."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_mode.channels.gauge import Spent

PIPE = "Pipe"
_MB = 1e6
_WORTH_A_WORD = 0.1
"""Share of the training time; less is within what looking now and then can tell."""
_STEADY_SECONDS = 0.5
"""A FIFO that was open for less gives no rate."""
_MOST_TIMES = 20
"""A channel that was empty all but a twentieth of the time tells no more of what the program could take."""
_BY_THE_PROCESSOR = 0.15
"""Share of the time without bytes: on a machine that others use, too, work takes a multiple of its processor time."""
_SMALL_BYTES = 1 << 20
_MANY = 100


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A channel as it went."""

    name: str
    mode: str
    objects: int
    size: int
    gzip: bool = False
    record_io: bool = False
    sent: int = 0
    """Bytes that its FIFOs took, over all epochs."""
    spent: Spent = field(default_factory=Spent)


def verdict(transitions: Iterable[Mapping[str, Any]], channels: Sequence[Channel], *, now: float) -> str:
    """The line, for a job whose last transition may still be open at `now` (seconds since 1970)."""
    seconds = {item["Status"]: item.get("EndTime", now) - item["StartTime"] for item in transitions}
    if "Training" not in seconds:
        return "training never began"
    training = max(seconds["Training"] + seconds.get("Stopping", 0.0), 1e-3)
    piped = [channel for channel in channels if channel.mode == PIPE]
    words = []
    if piped:
        words.append(_streamed(piped, training))
    if len(piped) < len(channels):
        words.append(_copied(seconds.get("Downloading", 0.0), training))
    return "; ".join(words) or f"no input channels, so {training:.0f} s of training waited for none"


def _streamed(piped: Sequence[Channel], training: float) -> str:
    worst = max(piped, key=lambda channel: (channel.spent.starved, channel.sent))
    share = min(worst.spent.starved / training, 1.0)
    if not worst.sent:
        return f"no Pipe channel was read in {training:.0f} s of training"
    had = _rate(worst)
    got = f"it got {had:.3g} MB/s" if had else f"it read {worst.sent / _MB:.3g} MB"
    if share < _WORTH_A_WORD:
        return (
            f"input kept up: waited at most {share:.0%} of {training:.0f} s for channel {worst.name}; {got} and took "
            "no more, so a faster program or device is what would shorten the job"
        )
    needed = f"could have taken about {had * _times(worst.spent):.3g}" if had else "could have taken more"
    if had and _times(worst.spent) >= _MOST_TIMES:
        needed = f"could have taken {had * _MOST_TIMES:.3g} or more"
    return (
        f"waited at most {share:.0%} of {training:.0f} s for channel {worst.name}: {got} and {needed}; {_advice(worst)}"
    )


def _rate(channel: Channel) -> float | None:
    """MB/s while its FIFO was open."""
    open_for = channel.spent.starved + channel.spent.supplied
    return channel.sent / _MB / open_for if open_for >= _STEADY_SECONDS else None


def _times(spent: Spent) -> float:
    """How many times as much a program takes that never finds the FIFO empty."""
    return (spent.starved + spent.supplied) / max(spent.supplied, (spent.starved + spent.supplied) / _MOST_TIMES)


def _advice(channel: Channel) -> str:
    mean = channel.size / max(channel.objects, 1)
    busy = channel.spent.working >= _BY_THE_PROCESSOR * channel.spent.starved
    if busy and channel.gzip:
        return "inflating costs most: ship it without Gzip, or spread it over more channels"
    if channel.objects >= _MANY and mean < _SMALL_BYTES:
        return f"its {channel.objects} objects have {mean / 1e3:.3g} kB each: use larger shards"
    if busy and channel.record_io:
        return "wrapping records costs most: store them as RecordIO, many to an object"
    return "its source is slow: keep it nearer, spread it over more channels, or cache the first epoch in the program"


def _copied(download: float, training: float) -> str:
    took = f"input was brought in {download:.0f} s before {training:.0f} s of training"
    if download > _WORTH_A_WORD * (download + training) and download >= 1:
        return f"{took}: Pipe or FastFile mode would let training begin at once"
    return f"{took}; what the program waits for its files is not measured"
