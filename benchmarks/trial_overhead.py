"""What a sweep's trial costs beside its training: started by itself, and forked from a process with its framework.

    make bench/trial_overhead

Each trial is a whole job of the process runner, of the image's own program, for some epochs of a few drawn images.
`torch_overhead_s` and `tensorflow_overhead_s` are those of forked ones: from the creation of the job to the end of its
first epoch, evaluation included, less what a later epoch takes, and from the program's end to the final status. So what
TensorFlow traces is in it. Epochs are short: whatever else makes the first one longer, as a machine's other guests, is
taken for overhead. Nothing is shuffled: for its window to fill, a first epoch waits wherever it is trained.
What the program does after its last epoch is not in it: saving a model and drawing pictures, `..._after_training_s`.
The database of jobs is held open, as by the endpoint, whose trials a sweep's are.
`torch_two_busy` is the share of all cores' time that was used while two trials ran at once; `torch_both_cores` how much
longer they took than one alone, whose own threads leave little of two cores: 2 is no gain.
"""

import os
import re
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import count, pairwise
from pathlib import Path

from benchmarks.rounds import Target, measure, parser, ratio, report
from local_mode.jobs.create import create
from local_mode.jobs.database import Database
from local_mode.jobs.forking import FORK, TAG
from local_mode.jobs.listener import Silent
from local_mode.jobs.rules import parse
from local_mode.jobs.task import Settings
from local_mode.runners import bubblewrap
from local_mode.runners.forks import ForkServers
from local_mode.runners.process import ProcessRunner
from local_mode.runners.stand_in import read_stand_ins
from scripts.datasets.drawing import draw
from scripts.local_job import LocalJob, build_request, made_ready

IMAGES = {"pytorch": 1_000, "keras": 256}
"""A tenth and a third of a second an epoch on two quiet cores; Keras's are two steps, beside which it makes graphs."""
EPOCHS = {"pytorch": 8, "keras": 4}
MORE_IMAGES = 2_000
"""Of the trials of torch that are compared as a whole."""
CHANNELS = ("train", "validation")
END_SECONDS = 600.0
SHM_BYTES = 64 << 20
FRAMEWORKS = {"torch": "pytorch", "tensorflow": "keras"}
TARGETS = {
    "torch_overhead_s": Target(most=0.1),
    "tensorflow_overhead_s": Target(most=0.7),
    "torch_two_busy": Target(least=0.9),
}
_EPOCH = re.compile(rb"^epoch=\d+ ")


@dataclass
class Times(Silent):
    """A listener that knows when what was said; seconds since its making."""

    begun: float = field(default_factory=time.perf_counter)
    epochs: list[float] = field(default_factory=list)
    """When each was told of, evaluation included."""
    ends: float = 0.0

    def line(self, text: bytes, host: str) -> None:
        """Take a line."""
        now = time.perf_counter() - self.begun
        if _EPOCH.match(text):
            self.epochs.append(now)

    def status(self, secondary: str, message: str) -> None:
        """The program has ended when its results are uploaded."""
        if secondary == "Uploading":
            self.ends = time.perf_counter() - self.begun


class Trials:
    """Jobs of one folder."""

    def __init__(self, folder: Path, forks: ForkServers) -> None:
        self._folder, self._forks, self._numbers = folder, forks, count()
        self.after: dict[str, list[float]] = {}
        """What programs do after their last epoch, by framework."""
        self.busy: dict[int, list[float]] = {}
        """Share of all cores' time used, by the number of trials at once."""
        for framework in IMAGES:
            made_ready(framework, "process", None, folder)
        for images in {*IMAGES.values(), MORE_IMAGES}:
            for seed, name in enumerate(CHANNELS):
                (folder / str(images) / name).mkdir(parents=True)
                (folder / str(images) / name / "batch.bin").write_bytes(draw(images // (1 + 3 * seed), seed).tobytes())
        self._stand_ins = read_stand_ins(folder / "stand-ins.json")

    def overhead(self, framework: str, *, forked: bool) -> float:
        """Of one trial, in seconds."""
        times = Times()
        whole = self._run(framework, times, images=IMAGES[framework], forked=forked)
        first, *later = times.epochs
        epoch = statistics.median(end - begin for begin, end in pairwise(times.epochs))
        self.after.setdefault(framework, []).append(times.ends - later[-1])
        return first - epoch + whole - times.ends

    def whole(self, framework: str, *, at_once: int) -> float:
        """Seconds until so many forked trials, begun together, have ended."""
        threads = [
            threading.Thread(
                target=self._run,
                args=(framework, Times()),
                kwargs={"images": MORE_IMAGES, "forked": True, "at_once": at_once},
            )
            for _ in range(at_once)
        ]
        start, idle = time.perf_counter(), idle_seconds()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(END_SECONDS)
        seconds = time.perf_counter() - start
        self.busy.setdefault(at_once, []).append(1 - (idle_seconds() - idle) / (seconds * (os.cpu_count() or 1)))
        return seconds

    def _run(self, framework: str, times: Times, *, images: int, forked: bool, at_once: int = 1) -> float:
        """Run one, of a sweep with so many at a time; its seconds."""
        job = LocalJob(
            framework=framework,
            label="trial",
            input_mode="Pipe",
            channels={name: self._folder / str(images) / name for name in CHANNELS},
            hyperparameters={"epochs": str(EPOCHS[framework]), "shuffle_window": "0"},
            state=self._folder,
        )
        document = build_request(job, f"trial-{next(self._numbers)}")
        document["Tags"] = [{"Key": TAG, "Value": FORK}] if forked else []
        runner = ProcessRunner(
            stand_ins=self._stand_ins, caller=dict(os.environ), why_plain=bubblewrap.why_not(), forks=self._forks
        )
        settings = Settings(shm_bytes=SHM_BYTES, grace_seconds=30, region="us-east-1")
        started = create(
            parse(document), runner=runner, root=self._folder, console=times, settings=settings, at_once=at_once
        )
        if not started.wait(END_SECONDS):
            started.kill()
        described = started.describe()
        if described["TrainingJobStatus"] != "Completed":
            raise RuntimeError(f"{framework}: {described.get('FailureReason', described['TrainingJobStatus'])}")
        return time.perf_counter() - times.begun


def idle_seconds() -> float:
    """Of all cores together, since the machine was started (proc(5), `cpu` of /proc/stat: idle and iowait)."""
    fields = Path("/proc/stat").read_text().split(maxsplit=6)
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the rounds and print the figures."""
    arguments = parser("What a trial costs beside its training.").parse_args()
    with tempfile.TemporaryDirectory() as scratch, Database(Path(scratch)).held():
        forks = ForkServers(Path(scratch) / "fork-servers", print, idle_seconds=END_SECONDS)
        try:
            trials = Trials(Path(scratch), forks)
            contestants = {}
            for name, framework in FRAMEWORKS.items():
                trials.overhead(framework, forked=True)  # the first one waits for the server
                contestants[f"{name}_forked_s"] = partial(trials.overhead, framework, forked=True)
                contestants[f"{name}_alone_s"] = partial(trials.overhead, framework, forked=False)
            trials.whole("pytorch", at_once=2)  # whose server makes other threads
            contestants["torch_one_s"] = partial(trials.whole, "pytorch", at_once=1)
            contestants["torch_two_s"] = partial(trials.whole, "pytorch", at_once=2)
            figures = measure(contestants, arguments.rounds)
        finally:
            forks.close()
    values = {f"{name}_overhead_s": statistics.median(figures[f"{name}_forked_s"]) for name in FRAMEWORKS}
    busy = {f"torch_{name}_busy": statistics.median(trials.busy[count]) for name, count in (("one", 1), ("two", 2))}
    after = {f"{name}_after_training_s": statistics.median(trials.after[key]) for name, key in FRAMEWORKS.items()}
    ratios = {
        "torch_forked_vs_alone": ratio(figures, "torch_forked_s", "torch_alone_s"),
        "tensorflow_forked_vs_alone": ratio(figures, "tensorflow_forked_s", "tensorflow_alone_s"),
        "torch_both_cores": ratio(figures, "torch_two_s", "torch_one_s"),
    }
    report(
        "trial_overhead", "seconds a trial", figures, ratios, TARGETS, check=arguments.check, **values, **after, **busy
    )


if __name__ == "__main__":
    main()
