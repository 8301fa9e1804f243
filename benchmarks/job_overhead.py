"""What a job costs beside its program: to its first line, over starting that alone; whole, over SDK v2's local mode.

    make bench/job_overhead

Needs an engine with the PyTorch image. `first_line_overhead_s` runs from the call of CreateTrainingJob to the time
that the program's first line tells, less the same of `docker run`; `process_overhead_s` is that of the process runner,
less starting the interpreter. `vs_sdk_local` is a whole job, in the same image, with 1,000 small files in File mode,
divided by `fit()` in SDK v2's own local mode, which is docker compose.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import docker

from benchmarks.rounds import Target, measure, parser, ratio, report
from scripts.environments import project
from scripts.images.engine import check_engine
from scripts.images.entry import image_name
from tests.contract.conftest import make_image
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import IMAGE
from tests.e2e import sdk_local_mode

FILES = 1_000
FILE_BYTES = 1_000
ENGINE_SECONDS = 60
TELL = ("python3", "-c", "import time; print(time.time(), flush=True)")
TREE = ["tree"]
TARGETS = {
    "first_line_overhead_s": Target(most=1.0),
    "process_overhead_s": Target(most=1.0),
    "vs_sdk_local": Target(most=0.5),
}


def channel(folder: Path) -> Path:
    """A folder of many small files."""
    train = folder / "train"
    train.mkdir()
    for number in range(FILES):
        (train / f"{number:04}.txt").write_text("x" * FILE_BYTES)
    return train


def told(command: list[str]) -> float:
    """Seconds until a command's program tells the time."""
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ENGINE_SECONDS)
    return float(done.stdout) - start


class Jobs:
    """Jobs of one endpoint."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._names = (f"job-{number}" for number in count())
        server.client("s3").create_bucket(Bucket=BUCKET)

    def first_line(self) -> float:
        """Seconds from the call to the time that the program's first line tells."""
        name, start = next(self._names), time.time()
        self._server.create(name, TREE, algorithm={"ContainerEntrypoint": list(TELL)})
        self._end(name)
        return float(self._server.log_lines(name)[0]) - start

    def whole(self, train: Path) -> float:
        """Seconds from the call until the job is described as Completed."""
        name, start = next(self._names), time.perf_counter()
        # To a folder, as the SDK's.
        output = {"S3OutputPath": train.with_name("out").as_uri()}
        self._server.create(name, TREE, channels={"train": train.as_uri()}, mode="File", OutputDataConfig=output)
        self._end(name)
        return time.perf_counter() - start

    def _end(self, name: str) -> None:
        described = self._server.ended(name)
        assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")


def overhead(figures: dict[str, list[float]], ours: str, alone: str) -> float:
    """Median over the rounds of the difference."""
    return statistics.median(a - b for a, b in zip(figures[ours], figures[alone], strict=True))


def main() -> None:
    """Run the rounds and print the figures."""
    arguments = parser("What a job costs beside its program.").parse_args()
    check_engine()
    project.make_sdk("v2")
    client = docker.from_env(timeout=ENGINE_SECONDS)
    make_image(client, image_name("pytorch"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        train = channel(folder)
        servers = []
        try:
            for runtime in ("docker", "process"):
                (folder / runtime).mkdir()
                servers.append(Server.start(folder / runtime, runtime=runtime))
            in_docker, in_process = map(Jobs, servers)
            tries = count()

            def in_sdk() -> float:
                ended = sdk_local_mode.run(
                    client, IMAGE, folder / f"sdk-{next(tries)}", {"act": json.dumps(TREE)}, {"train": train}
                )
                assert ended.status == "Completed", ended.out
                return ended.seconds

            contestants: dict[str, Callable[[], float]] = {
                "docker_run_first_line": lambda: told(["docker", "run", "--rm", IMAGE, *TELL]),
                "docker_job_first_line": in_docker.first_line,
                "interpreter_first_line": lambda: told([sys.executable, *TELL[1:]]),
                "process_job_first_line": in_process.first_line,
                "docker_job_whole": lambda: in_docker.whole(train),
                "sdk_local_whole": in_sdk,
            }
            for run in contestants.values():
                run()  # the first of each finds nothing in any cache
            figures = measure(contestants, arguments.rounds)
        finally:
            for server in servers:
                server.end()
            client.images.remove(IMAGE, force=True)
            client.close()
    report(
        "job_overhead",
        f"seconds; whole: {FILES} files in File mode",
        figures,
        {"vs_sdk_local": ratio(figures, "docker_job_whole", "sdk_local_whole")},
        TARGETS,
        check=arguments.check,
        first_line_overhead_s=overhead(figures, "docker_job_first_line", "docker_run_first_line"),
        process_overhead_s=overhead(figures, "process_job_first_line", "interpreter_first_line"),
    )


if __name__ == "__main__":
    main()
