"""The workshop's plans, by the SDK's own HyperparameterTuner, on real CIFAR-10: a part of it here, all in the soak."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from trainjob import cifar10

from scripts.images.entry import image_name
from scripts.local_job import made_ready
from tests.contract.endpoint import BUCKET, Server
from tests.e2e.conftest import PREPARE_SECONDS, ROOT
from tests.e2e.test_sdk import answer, program, typed

SECONDS = 3600
PLACE = f"s3://{BUCKET}/cifar10"
OPTIMIZERS = {"sgd", "adam", "rmsprop"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a framework's plan searches, and what of the whole data set its best is to reach."""

    rates: tuple[float, float]
    epochs: int
    accuracy: float


# In four epochs, as test_sweeps has both plans: in two Keras's rates are too low, and the best of one sweep had 0.356.
PLANS = {
    "keras": Plan(rates=(1e-5, 1e-3), epochs=4, accuracy=0.4),
    "pytorch": Plan(rates=(1e-3, 1e-1), epochs=4, accuracy=0.5),
}


def write_channels(real_data: Path, out: Path, images: str) -> None:
    """Folders train and validation, of 1,024 and 256 real images or of all 60,000."""
    if images == "all":
        command = [sys.executable, ROOT / "scripts/prepare_data.py", "cifar10", "--from", real_data, "--out", out]
        subprocess.run(command, check=True, timeout=PREPARE_SECONDS)
        return
    for channel, name, count in (("train", "data_batch_1.bin", 1024), ("validation", "test_batch.bin", 256)):
        (published,) = real_data.rglob(name)
        (out / channel).mkdir(parents=True)
        with published.open("rb") as file:
            (out / channel / "part-000").write_bytes(file.read(cifar10.RECORD_BYTES * count))


@pytest.mark.parametrize("images", ["a part", pytest.param("all", marks=pytest.mark.soak)])
@pytest.mark.parametrize("framework", PLANS)
def test_tuner_runs_the_workshops_plan(tmp_path: Path, real_data: Path, framework: str, images: str):
    plan, channels = PLANS[framework], tmp_path / "channels"
    write_channels(real_data, channels, images)
    options = made_ready(framework, "process", None, tmp_path / "ready")
    server = Server.start(tmp_path, *options)
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for path in channels.glob("*/*"):
            s3.upload_file(str(path), BUCKET, f"cifar10/{path.relative_to(channels)}")
        epochs = plan.epochs if images == "all" else 1
        command = program("v2", "v2_workshop.py", framework, image_name(framework), PLACE, str(epochs))
        seen = answer(typed(server, tmp_path, *command, seconds=SECONDS))
    finally:
        assert server.end() == 0

    trials = {trial["TrainingJobName"]: trial for trial in seen["trials"]}
    values = {name: trial["FinalObjectiveValue"] for name, trial in trials.items()}
    assert seen["status"] == "Completed"
    assert [trial["TrainingJobStatus"] for trial in trials.values()] == ["Completed"] * 6
    assert all(plan.rates[0] <= float(trial["learning_rate"]) <= plan.rates[1] for trial in trials.values())
    assert {int(trial["batch_size"]) for trial in trials.values()} <= {64, 128, 256}
    assert {trial["optimizer"] for trial in trials.values() if "optimizer" in trial} <= OPTIMIZERS
    assert all(0 <= value <= 1 for value in values.values())
    assert values[seen["best"]] == max(values.values())
    assert seen["model_data"].endswith(f"/{seen['best']}/output/model.tar.gz")
    assert max(values.values()) >= plan.accuracy or images != "all"
    print(f"{framework}: best {max(values.values()):.3f} of {sorted(values.values())}")
