"""The whole program on a few photographs: artifacts, repeatability, resuming, weights brought along, bad input."""

import csv
import json
import logging
import re
import shutil

import numpy as np
import pytest
import torch
from pytorch_job import models, train_cub200
from trainjob import cub200, metrics
from trainjob.contract import FAST_FILE, FILE, PIPE
from trainjob.errors import ChannelError, CheckpointError, HyperparameterError, PhotographError, RecordError
from trainjob.photographs import dali_pipelines
from trainjob.stop import Stop
from trainjob.training import checkpoint

from tests.photograph_job import CLASSES, STEPS, TRAIN, PhotographJob, birds
from tests.stops import StopAfter
from tests.unit.trainjob.jpegs import hollow

pytestmark = pytest.mark.timeout(120)

SMALL = "shufflenet_v2_x0_5"
"""0.3 M weights; a checkpoint of resnet18 takes longer to write than all else here."""


@pytest.fixture
def make_job(tmp_path):
    return lambda name="job", mode=FILE, **settings: PhotographJob(tmp_path / name, mode, **{"model": SMALL} | settings)


@pytest.fixture(autouse=True)
def _light(monkeypatch, request):
    """Without drawings, which take longer than the training here."""
    if "artifacts" not in request.node.name:
        monkeypatch.setattr(train_cub200.record, "save_history", lambda *arguments: None)
        monkeypatch.setattr(train_cub200.evaluation, "save", lambda *arguments: None)


def train(job, stop=None) -> dict[str, torch.Tensor]:
    with job.fed() as env:
        train_cub200.main(env, stop or Stop())
    return torch.load(job.paths.model / "weights.pt", weights_only=True)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def history(job) -> list[dict[str, float]]:
    state = torch.load(checkpoint.newest(job.paths.checkpoints).path, weights_only=True)
    return state["progress"]["history"]


def measured(job) -> list[dict[str, float]]:
    """Every epoch's row without its times."""
    return [{key: value for key, value in row.items() if ":" in key} for row in history(job)]


def test_job_leaves_all_its_artifacts(make_job, capsys):
    job = make_job(model="resnet18", epochs="2")
    job.photographs["test"] = birds(5, 3)
    weights = train(job)
    models.photograph_model("resnet18", 2, 32).load_state_dict(weights)
    paths = job.paths
    assert json.loads((paths.model / "labels.json").read_text()) == list(CLASSES)
    config = json.loads((paths.model / "config.json").read_text())
    assert (config["epochs"], config["batch_size"], config["model"], config["image_size"]) == (2, 8, "resnet18", 32)
    rows = list(csv.DictReader((paths.output_data / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert "validation:top5_accuracy" in rows[0]
    evaluated = json.loads((paths.output_data / "evaluation.json").read_text())
    assert (evaluated["split"], evaluated["photographs"]) == ("test", 5)
    for name in ("learning-curve.png", "confusion-matrix.png", "worst-mistakes.png"):
        assert (paths.output_data / name).read_bytes().startswith(b"\x89PNG")
    assert (paths.output_data / "per-class.csv").read_text().count("\n") == 3
    out = capsys.readouterr().out
    found = {each["Name"]: re.findall(each["Regex"], out) for each in metrics.definitions(cub200.METRICS)}
    assert {name: len(values) for name, values in found.items()} == {
        name: 1 if name.startswith("test:") else 2 for name in cub200.METRICS
    }
    assert set(re.findall(r"\S+:\S+(?==)", out)) == set(cub200.METRICS), "what is not declared is not seen"
    assert found["validation:top5_accuracy"] == ["1", "1"]
    assert float(found["test:accuracy"][0]) == pytest.approx(evaluated["test:accuracy"], rel=1e-5)
    assert {path.name for path in paths.model.iterdir()} == {"weights.pt", "labels.json", "config.json"}


@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_every_input_mode_gives_the_same_weights_and_metrics_to_the_bit(make_job, cache):
    jobs = [make_job(mode, mode, cache=cache) for mode in (FILE, FAST_FILE, PIPE)]
    weights = [train(job) for job in jobs]
    assert equal(weights[0], weights[1])
    assert equal(weights[0], weights[2])
    assert measured(jobs[0]) == measured(jobs[1]) == measured(jobs[2])


def test_another_seed_gives_other_weights(make_job):
    assert not equal(train(make_job("one", seed="1")), train(make_job("two", seed="2")))


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        (PIPE, {}),
        # This network has dropout.
        (FILE, {"cache": "decoded", "optimizer": "adamw", "schedule": "cosine", "model": "squeezenet1_1"}),
    ],
)
def test_job_stopped_within_an_epoch_and_resumed_ends_as_if_never_stopped(make_job, mode, settings):
    whole = train(make_job("whole", mode, **settings))
    # The program looks before each step, and before each of the evaluation's batches, of which an epoch has one.
    for looks, step in ((2, 2), (STEPS + 2, STEPS + 1)):
        job = make_job(f"stopped-{looks}", mode, **settings)
        with job.fed() as env:
            train_cub200.main(env, StopAfter(looks))
        assert not (job.paths.model / "weights.pt").exists()
        assert checkpoint.newest(job.paths.checkpoints).step == step
        resumed = make_job(f"resumed-{looks}", mode, **settings)  # another container has nothing but the checkpoints
        resumed.paths.base.mkdir()
        shutil.copytree(job.paths.checkpoints, resumed.paths.checkpoints)
        assert equal(train(resumed), whole), looks


def test_finished_job_started_again_trains_no_more(make_job):
    job = make_job()
    assert equal(train(job), train(job))
    assert len(history(job)) == 2


def test_checkpoint_of_another_model_is_refused_with_the_remedy(make_job):
    job = make_job(epochs="1")
    train(job)
    job.hyperparameters["model"] = "squeezenet1_1"
    with pytest.raises(
        CheckpointError, match=r"checkpoint-00000003\.pt does not fit this job .* the job that wrote it"
    ):
        train(job)


def test_schedules_differ_and_both_end_at_nothing(make_job, monkeypatch):
    seen: list[float] = []
    step = torch.optim.SGD.step

    def noted(optimizer, *arguments):
        seen.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    for schedule in ("one_cycle", "cosine"):
        train(make_job(schedule, schedule=schedule, warmup="0.5", learning_rate="0.02"))
    rates = {"one_cycle": seen[: 2 * STEPS], "cosine": seen[2 * STEPS :]}
    for seen in rates.values():
        assert len(seen) == 2 * STEPS
        # The first epoch's length is cub200's until it is known, so that its rates hardly rise.
        assert seen[:STEPS] == pytest.approx([0.002] * STEPS, rel=0.05)
        assert seen[STEPS] == max(seen) == pytest.approx(0.02)
        assert seen[STEPS:] == sorted(seen[STEPS:], reverse=True)
    assert rates["cosine"][4] > rates["one_cycle"][4]
    assert rates["cosine"][-1] < rates["one_cycle"][-1]


# --- weights brought along ------------------------------------------------------------------------


def saved(state, tmp_path) -> bytes:
    torch.save(state, tmp_path / "saved")
    return (tmp_path / "saved").read_bytes()


def given(make_job, content: bytes, file: str = "best.pt", **settings) -> PhotographJob:
    job = make_job(**settings)
    job.files["pretrained"] = {file: content}
    return job


@pytest.fixture
def body(tmp_path):
    """Weights of another set of classes, recognisable in every entry."""
    torch.manual_seed(99)
    return models.photograph_model(SMALL, 5, 32).state_dict()


def test_pretrained_body_is_loaded_and_its_head_replaced(make_job, body, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    job = given(make_job, saved(body, tmp_path), learning_rate="1e-12")
    weights = train(job)
    fresh = {"fc.weight", "fc.bias"}
    for name in weights.keys() - fresh:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(weights[name], body[name])
    assert weights["fc.weight"].shape == (2, 1024)
    assert "weights from best.pt; fresh: fc.bias, fc.weight" in caplog.text
    assert cub200.OVERLAP in caplog.text


def test_pretrained_head_of_as_many_classes_is_kept(make_job, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.manual_seed(99)
    own = models.photograph_model(SMALL, 2, 32).state_dict()
    weights = train(given(make_job, saved({"model": own}, tmp_path), "deep/last.pth", learning_rate="1e-12"))
    torch.testing.assert_close(weights["fc.weight"], own["fc.weight"])
    assert "weights from last.pth; head included" in caplog.text


def test_resumed_job_goes_on_from_its_checkpoint_and_not_from_what_it_was_given(make_job, body, tmp_path):
    content = saved(body, tmp_path)
    whole = train(given(make_job, content, name="whole"))
    job = given(make_job, content, name="stopped")
    with job.fed() as env:
        train_cub200.main(env, StopAfter(2))
    assert equal(train(job), whole)


def test_without_a_pretrained_channel_nothing_is_said_of_overlap(make_job, caplog):
    caplog.set_level(logging.INFO)
    train(make_job(epochs="1"))
    assert "ImageNet" not in caplog.text


def test_head_moves_as_many_times_as_far_as_its_factor(make_job, body, tmp_path):
    content = saved(body, tmp_path)
    settings = {"weight_decay": "0", "momentum": "0", "learning_rate": "1e-4", "model": "squeezenet1_1"}
    torch.manual_seed(99)
    content = saved(models.photograph_model("squeezenet1_1", 2, 32).state_dict(), tmp_path)
    start = torch.load(tmp_path / "saved", weights_only=True)
    moved = {}
    for factor in ("1", "10"):
        job = given(make_job, content, name=factor, head_factor=factor, **settings)
        with job.fed() as env:
            train_cub200.main(env, StopAfter(1))  # after one step, as later ones begin elsewhere
        after = torch.load(checkpoint.newest(job.paths.checkpoints).path, weights_only=True)["model"]
        moved[factor] = {name: (after[name] - start[name]).double() for name in start}
    for name in start:
        ratio = (moved["10"][name].norm() / moved["1"][name].norm()).item()
        assert ratio == pytest.approx(10 if name.startswith("classifier.1.") else 1, rel=0.01), name


def test_weights_of_another_network_are_refused_and_the_first_difference_named(make_job, tmp_path):
    content = saved(models.photograph_model("squeezenet1_1", 2, 32).state_dict(), tmp_path)
    text = r"best\.pt of channel 'pretrained' is of another network: \d+ entries differ, the first is 'classifier\.1"
    with pytest.raises(ChannelError, match=text):
        train(given(make_job, content))


class Evil:
    """What a pickle does when it is believed."""

    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"fc.weight": Evil()}, r"it refers to \S*exec, and only tensors are read"),
        (torch.nn.Linear(2, 2), r"it refers to torch\.nn\.modules\.linear\.Linear, and only tensors are read"),
        ({"epoch": 3, "optimizer": {}}, r"'epoch' is no tensor"),
        (torch.zeros(3), r"AttributeError"),
        (None, r"AttributeError"),
    ],
)
def test_file_that_is_no_state_dict_is_refused_and_never_executed(make_job, tmp_path, state, why):
    text = rf"best\.pt of channel 'pretrained' is no state dict \({why}.*\); save one with torch\.save"
    with pytest.raises(ChannelError, match=text):
        train(given(make_job, saved(state, tmp_path)))


@pytest.mark.parametrize("content", [b"", b"hello there", b"PK\x03\x04" + bytes(99), b"\x80\x02}q\x00."])
def test_damaged_file_of_weights_is_refused_by_name(make_job, content):
    with pytest.raises(ChannelError, match=r"best\.pt of channel 'pretrained' is (no state dict|of another network)"):
        train(given(make_job, content))


@pytest.mark.parametrize("files", [{}, {"a.pt": b"", "b.pth": b""}, {"readme.txt": b""}])
def test_channel_without_one_file_of_weights_is_refused(make_job, files):
    job = make_job()
    job.files["pretrained"] = files
    count = sum(not name.endswith(".txt") for name in files)
    with pytest.raises(ChannelError, match=rf"'pretrained' holds {count} files of weights .* must hold one"):
        train(job)


# --- bad input ------------------------------------------------------------------------------------


def test_unknown_model_is_told_with_near_names(make_job):
    with pytest.raises(HyperparameterError, match="'model' is 'resnet19', .* it has 80, like .*resnet18"):
        train(make_job(model="resnet19"))


def test_last_batch_of_one_photograph_from_which_nothing_can_be_learnt_is_told(make_job):
    job = make_job(model="resnet18", batch_size=str(TRAIN - 1))  # at 32 pixels its last layers see one value
    with pytest.raises(HyperparameterError, match=r"has a single image, and at \(32, 32\) pixels .* batch_size"):
        train(job)


def test_images_that_a_model_cannot_take_are_refused_before_the_first_step(make_job):
    with pytest.raises(HyperparameterError, match=r"'model' alexnet cannot be made for images of 32 px .*image_size"):
        train(make_job(model="alexnet"))


@pytest.mark.parametrize("spoil", [lambda content: content[:200], lambda content: b"", lambda content: b"GIF89a"])
@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_corrupt_photograph_ends_the_job_and_is_named_by_its_key(make_job, mode, spoil):
    job = make_job(mode=mode)
    key = list(job.photographs["train"])[9]
    content, label = job.photographs["train"][key]
    job.photographs["train"][key] = spoil(content), label
    with pytest.raises(PhotographError, match=rf"Channel 'train': '{re.escape(key)}' .*on_corrupt=drop"):
        train(job)


def test_photograph_that_only_the_decoder_finds_corrupt_is_named(make_job):
    job = make_job()
    key = list(job.photographs["train"])[9]
    content, label = job.photographs["train"][key]
    job.photographs["train"][key] = hollow(np.frombuffer(content, np.uint8)).tobytes(), label
    with pytest.raises(PhotographError, match=rf"Channel 'train': '{re.escape(key)}' .*on_corrupt=drop"):
        train(job)


@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_corrupt_photographs_are_left_out_alone_and_counted(make_job, capsys, cache):
    job = make_job(on_corrupt="drop", cache=cache)
    for key in list(job.photographs["train"])[3:6]:
        content, label = job.photographs["train"][key]
        job.photographs["train"][key] = content[:200], label
    train(job)
    lines = [line for line in capsys.readouterr().out.splitlines() if "train:loss" in line]
    assert [re.findall(r"dropped=(\d+)", line) for line in lines] == [["3"], ["3"]]
    state = torch.load(checkpoint.newest(job.paths.checkpoints).path, weights_only=True)
    assert state["progress"]["epoch_records"] == TRAIN - 3


def test_channel_of_which_nothing_can_be_decoded_is_one_clear_error(make_job):
    job = make_job(on_corrupt="drop")
    job.photographs["train"] = {key: (content[:200], label) for key, (content, label) in birds(TRAIN, 1).items()}
    with pytest.raises(PhotographError, match=rf"Channel 'train': none of its {TRAIN} photographs can be decoded"):
        train(job)


@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_label_outside_the_classes_is_told_with_its_photograph(make_job, mode):
    job = make_job(mode=mode)
    key = next(iter(job.photographs["validation"]))
    job.photographs["validation"][key] = job.photographs["validation"][key][0], 2
    with pytest.raises(
        RecordError, match=rf"'validation': '{re.escape(key)}' has the label 2, but there are 2 classes"
    ):
        train(job)


def test_dali_is_refused_where_it_cannot_be_loaded(make_job, monkeypatch):
    monkeypatch.setattr(dali_pipelines, "why_not", lambda: "ImportError: no nvidia here")
    with pytest.raises(
        HyperparameterError, match=r"'decoder' is dali, .*\(ImportError: no nvidia here\).*decoder=auto"
    ):
        train(make_job(decoder="dali"))


def test_plain_decoder_takes_its_place_with_a_warning_unless_it_was_asked_for(make_job, monkeypatch, caplog):
    monkeypatch.setattr(dali_pipelines, "why_not", lambda: "ImportError: no nvidia here")
    train(make_job("auto", epochs="1"))
    assert "decoded by Pillow, slower: DALI cannot be loaded here (ImportError: no nvidia here)" in caplog.text
    caplog.clear()
    train(make_job("plain", decoder="plain", epochs="1"))
    assert "Pillow" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [("classes", "1"), ("image_size", "31"), ("head_factor", "0"), ("least_area", "0"), ("cache_mb", "0")],
)
def test_hyperparameter_out_of_range_is_told_with_its_value(make_job, name, value):
    with pytest.raises(HyperparameterError, match=f"'{name}' is {value}.*it must be"):
        train(make_job(**{name: value}))
