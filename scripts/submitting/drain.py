"""A program that reads a channel to its end and does nothing with it: how fast this machine brings it."""

import time

from trainjob import channel, lifecycle, metrics
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop

CHANNEL = "train"
RATE = "channel:mb_per_second"
_BUFFER_BYTES = 1 << 20


def main(env: JobEnvironment, stop: Stop) -> None:
    """Read the channel once, and say its rate as a metric."""
    source = channel.find(env, CHANNEL, stop)
    source.looks_ahead = False  # there is no next epoch for whoever feeds it to begin
    buffer, count, begun = bytearray(_BUFFER_BYTES), 0, time.perf_counter()
    with source.open() as stream:
        while size := stream.readinto(buffer):
            count += size
    metrics.emit({RATE: count / 1e6 / (time.perf_counter() - begun)}, bytes=count)


if __name__ == "__main__":
    lifecycle.run(main)
