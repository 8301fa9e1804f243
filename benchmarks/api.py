"""The endpoint under many jobs: Describe and List with 10,000 of them stored, and 50 submitted at once.

    make bench/api

The stored jobs went through the service itself, over a runner whose containers end at once. `describe_p99_ms` is what a
boto3 client waits, one call after the other; a round is CALLS of them, of jobs drawn at random. `fixture_up_s` is what
the pytest fixture `local_sagemaker` takes to be there, in a folder of its own.
"""

import itertools
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.rounds import Target, measure, parser, report
from local_mode.endpoint import Files
from local_mode.jobs.create import DEFAULT_SETTINGS
from local_mode.jobs.listener import Silent
from local_mode.jobs.service import Service
from local_mode.pytest_plugin import Options, end_endpoint, start_endpoint
from local_mode.runners.protocol import Launch, Network
from tests.contract.endpoint import BUCKET, ENDED, Server
from tests.contract.lab import document

JOBS = 10_000
CALLS = 1_000
AT_ONCE = 50
PAGE = 100
END_SECONDS = 300
TARGETS = {"describe_p99_ms": Target(most=20), "fixture_up_s": Target(most=1.0)}


class Instant:
    """A runner whose containers have ended before they began."""

    name = "instant"
    protects_channels = True
    limits = ""

    def check(self, **_: object) -> None:
        """Refuse nothing."""

    def network_interface(self, *, isolated: bool, hosts: int) -> str:
        """Any."""
        return "lo"

    def connect(self, job_folder: Path, hosts: tuple[str, ...], *, isolated: bool) -> Network:
        """Nothing to be made."""
        return Network(hosts=hosts)

    def start(self, launch: Launch) -> "Instant":
        """Start nothing."""
        return self

    def log_lines(self) -> Iterator[bytes]:
        """One line."""
        return iter([b"done\n"])

    def terminate(self) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs."""

    def wait(self, timeout: float) -> int:
        """It ended well."""
        return 0

    def collect(self) -> None:
        """There is nothing to bring."""

    def close(self) -> None:
        """There is nothing to remove."""


def store(root: Path, count: int) -> None:
    """Let `count` jobs run to their end."""
    service = Service(root=root, settings=DEFAULT_SETTINGS, choose=lambda _: Instant(), listen=lambda _: Silent())

    def one(number: int) -> None:
        name = f"job-{number:05}"
        service.create(document(name, ["look"], root.parent))
        deadline = time.monotonic() + END_SECONDS
        while service.describe(name)["TrainingJobStatus"] not in ENDED:
            assert time.monotonic() < deadline, name
            time.sleep(0.002)

    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(one, range(count)):
            assert done is None
    while service.close():
        time.sleep(0.1)


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def p99(times: list[float]) -> float:
    """What one of a hundred exceeds."""
    return statistics.quantiles(times, n=100)[98]


def submit_at_once(server: Server, prefix: str) -> float:
    """Seconds until all of AT_ONCE jobs, created at the same moment, have ended as they should."""
    client, barrier = server.client("sagemaker"), threading.Barrier(AT_ONCE)
    code = {number: number % 2 for number in range(AT_ONCE)}

    def create(number: int) -> None:
        barrier.wait(END_SECONDS)
        server.create(f"{prefix}-{number}", ["end", code[number]])

    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in pool.map(create, code):
            assert done is None
    waiting = set(code)
    while waiting:
        for number in sorted(waiting):
            described = client.describe_training_job(TrainingJobName=f"{prefix}-{number}")
            if described["TrainingJobStatus"] in ENDED:
                expected = "Failed" if code[number] else "Completed"
                assert described["TrainingJobStatus"] == expected, described.get("FailureReason")
                waiting.remove(number)
        assert time.perf_counter() - start < END_SECONDS, waiting
        time.sleep(0.05)
    return time.perf_counter() - start


def fixture_up() -> float:
    """Seconds until the endpoint of the pytest fixture is there."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process, _ = start_endpoint(Files(root=Path(folder)), Options())
        seconds = time.perf_counter() - start
        end_endpoint(process, 0)
    return seconds


def main() -> None:
    """Run the rounds and print the figures."""
    options = parser("The endpoint under many jobs.")
    options.add_argument("--jobs", type=int, default=JOBS, help="to store (%(default)s)")
    arguments = options.parse_args()
    folder = Path(tempfile.mkdtemp())
    server = None
    try:
        seconds = timed(lambda: store(folder / "root", arguments.jobs)) / 1e3
        print(f"stored {arguments.jobs} jobs in {seconds:.0f} s", flush=True)
        server = Server.start(folder)
        server.client("s3").create_bucket(Bucket=BUCKET)
        client, dice, tries = server.client("sagemaker"), random.Random(0), itertools.count()  # noqa: S311 - no secret
        first_list = timed(lambda: client.list_training_jobs(MaxResults=PAGE))

        def describe() -> float:
            names = [f"job-{dice.randrange(arguments.jobs):05}" for _ in range(CALLS)]
            return p99([timed(lambda name=name: client.describe_training_job(TrainingJobName=name)) for name in names])

        def page() -> float:
            chosen = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": PAGE}
            return p99([timed(lambda: client.list_training_jobs(**chosen)) for _ in range(PAGE)])

        contestants: dict[str, Callable[[], float]] = {
            "describe_p99_ms": describe,
            "list_page_p99_ms": page,
            "fixture_up_s": fixture_up,
            "50_jobs_s": lambda: submit_at_once(server, f"at-once-{next(tries)}"),
        }
        figures = measure(contestants, arguments.rounds)
    finally:
        if server:
            server.end()
        shutil.rmtree(folder)
    unit = f"ms and s, {arguments.jobs} jobs stored; all of {AT_ONCE} jobs at once ended as they should"
    values = {"first_list_ms": first_list, "jobs_at_once_correct": AT_ONCE}
    report("api", unit, figures, {}, TARGETS, check=arguments.check, **values)


if __name__ == "__main__":
    main()
