"""A channel under torch's own DataLoader, tensors that are kept, and precisions other than float32."""

import io

import numpy as np
import pytest
import torch
from pytorch_job import inputs, saving, train_cifar10, training
from torch.utils.data import DataLoader
from trainjob import channel, cifar10
from trainjob.contract import FILE, PIPE
from trainjob.errors import ChannelError, CheckpointError
from trainjob.framing import recordio, tfrecord
from trainjob.stop import Stop
from trainjob.training.autosave import Autosave

pytestmark = pytest.mark.timeout(120)

CPU = torch.device("cpu")


def dataset(env, **settings):
    return inputs.cifar10_dataset(channel.find(env, "train", Stop()), 32, window=100, seed=7, **settings)


def loop_batches(make_job, epochs: int = 2) -> list[list[inputs.Batch]]:
    """What the training loop reads."""
    with make_job("expected").fed() as env:
        train = dataset(env)
        return [list(inputs.epoch(train, number, CPU)) for number in range(epochs)]


def same(one: list[inputs.Batch], other: list[inputs.Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(left, right) for pair in zip(one, other, strict=True) for left, right in zip(*pair, strict=True)
    )


def examples(content: bytes) -> bytes:
    file = io.BytesIO()
    for record in np.frombuffer(content, np.uint8).reshape(-1, cifar10.RECORD_BYTES):
        tfrecord.write(file, cifar10.to_example(record))
    return file.getvalue()


def frames(content: bytes) -> bytes:
    file = io.BytesIO()
    for begin in range(0, len(content), cifar10.RECORD_BYTES):
        recordio.write(file, content[begin : begin + cifar10.RECORD_BYTES])
    return file.getvalue()


@pytest.mark.parametrize("mode", [FILE, PIPE])
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (1, False), (1, True)])
def test_data_loader_gives_what_the_training_loop_reads_pass_after_pass(make_job, mode, workers, persistent):
    job = make_job(mode=mode)
    with job.fed() as env:
        batches = inputs.Batches(dataset(env))
        loader = DataLoader(
            batches, batch_size=None, num_workers=workers, persistent_workers=persistent, timeout=30 * workers
        )
        passes = [list(loader) for _ in range(3)]
    expected = loop_batches(make_job, 3)
    assert all(same(*pair) for pair in zip(expected, passes, strict=True))
    assert not same(passes[0], passes[1])


@pytest.mark.parametrize("mode", [FILE, PIPE])
@pytest.mark.parametrize("workers", [0, 1])
def test_pass_left_early_leaves_the_next_one_whole(make_job, mode, workers):
    with make_job(mode=mode).fed() as env:
        loader = DataLoader(inputs.Batches(dataset(env)), batch_size=None, num_workers=workers, timeout=30 * workers)
        for _ in loader:
            break
        second = list(loader)
    assert same(second, loop_batches(make_job)[1])


def test_more_than_one_worker_is_refused_with_the_remedy(make_job):
    with make_job().fed() as env:
        iterator = iter(DataLoader(inputs.Batches(dataset(env)), batch_size=None, num_workers=2, timeout=60))
        told = "'train' is read by a DataLoader with 2 workers.* num_workers to 0 or 1"
        with pytest.raises(ChannelError, match=told):
            next(iterator)
        iterator._shutdown_workers()  # left to the garbage collector it takes 5 s a worker


@pytest.mark.parametrize("mode", [FILE, PIPE])
@pytest.mark.parametrize("encode", [bytes, examples, frames])
@pytest.mark.parametrize(("window", "cache_bytes"), [(0, 0), (0, 1 << 30), (50, 0), (50, 1 << 30)])
def test_tensors_that_are_kept_are_not_overwritten(make_job, mode, encode, window, cache_bytes):
    job = make_job(mode=mode)
    job.content["train"] = [encode(content) for content in job.content["train"]]
    kept, copies = [], []
    with job.fed() as env:
        train = inputs.cifar10_dataset(channel.find(env, "train", Stop()), 32, window=window, cache_bytes=cache_bytes)
        for number in range(3):
            for batch in inputs.epoch(train, number, CPU):
                kept.append(batch)
                copies.append(tuple(part.clone() for part in batch))
        train.channel.close()
    assert len(kept) == 3 * 9
    assert same(kept, copies)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_job_in_a_lower_precision_learns_much_the_same(make_job, capsys, precision):
    losses = {}
    for name in ("fp32", precision):
        job = make_job(name, precision=name, epochs="1", learning_rate="0.01")
        with job.fed() as env:
            train_cifar10.main(env, Stop())
        row = (job.paths.output_data / "history.csv").read_text().splitlines()
        losses[name] = float(dict(zip(row[0].split(","), row[1].split(","), strict=True))["train:loss"])
        weights = torch.load(job.paths.model / "weights.pt", weights_only=True)
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}
    assert losses[precision] == pytest.approx(losses["fp32"], rel=0.02)
    assert losses[precision] != losses["fp32"], "it was computed in float32 after all"


def trainer_of(recipe: training.Recipe) -> tuple[training.Trainer, torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    optimizer = recipe.optimize(model)
    return training.Trainer(recipe, model, optimizer, CPU, Stop()), model, optimizer


def save(folder, trainer, model, optimizer, progress) -> None:
    checkpoints = saving.Checkpoints(Autosave(folder, Stop(), suffix=".pt"), model, optimizer, trainer.scaler)
    checkpoints.save(progress, wait=True)


def test_scale_of_fp16_is_in_the_checkpoint_and_comes_back(make_job, tmp_path):
    recipe = training.Recipe(precision="fp16", epochs=1)
    trainer, model, optimizer = trainer_of(recipe)
    with make_job().fed() as env:
        progress = saving.Progress(epoch_records=257)
        trainer.train_epoch(dataset(env), progress)
    state = trainer.scaler.state_dict()
    assert state["_growth_tracker"] > 0 or state["scale"] < 65536, "it has moved on from where it began"
    save(tmp_path / "checkpoints", trainer, model, optimizer, progress)

    resumed, other_model, other_optimizer = trainer_of(recipe)
    found = saving.resume(tmp_path / "checkpoints", other_model, other_optimizer, resumed.scaler)
    assert found == progress
    assert resumed.scaler.state_dict() == state
    assert resumed.scaler.get_scale() == trainer.scaler.get_scale()


def test_checkpoint_of_another_precision_is_refused_with_the_remedy(tmp_path):
    trainer, model, optimizer = trainer_of(training.Recipe(precision="fp32"))
    progress = saving.Progress(epoch_records=1)
    save(tmp_path, trainer, model, optimizer, progress)
    other, other_model, other_optimizer = trainer_of(training.Recipe(precision="fp16"))
    with pytest.raises(CheckpointError, match=r"checkpoint-00000000\.pt does not fit this job .* hyperparameters of"):
        saving.resume(tmp_path, other_model, other_optimizer, other.scaler)
