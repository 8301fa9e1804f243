"""Section 3 of the platform contract where the data is in S3, over every runner, and faults of S3 while a job runs.

Each row names the paragraph of the contract that it checks. The S3 is a small one that can be told to misbehave; the
last rows run on the endpoint's own.
"""

import gzip
import hashlib
import json
import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from local_mode.channels import fast_files
from local_mode.channels import mounts as mounts_module
from local_mode.channels.ahead import PART_BYTES
from local_mode.channels.plan import ChannelSpec, plan_channel
from local_mode.channels.s3 import S3
from local_mode.channels.s3_source import S3Source
from local_mode.errors import SourceError
from local_mode.jobs.sweep import sweep
from local_mode.runners.process import remove_leftovers
from local_mode.runners.protocol import mark
from tests.containers import miss
from tests.contract.channels import channel, failure, records, streams
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually, processes
from tests.s3_server import Faulty, access

pytestmark = pytest.mark.contract("3.7", "D")

FILES = {f"d/{letter}.bin": letter.encode() * 3 for letter in "abcdefgh"}
BIG = random.Random(3).randbytes(2 * PART_BYTES + 99)


@pytest.fixture
def store():
    return Faulty(objects=dict(FILES))


@pytest.fixture
def s3_lab(lab, store):
    """A lab whose jobs find s3://b/ in `store`."""
    with store.served() as url:
        yield replace(lab, s3=S3(access(url)))


# --- 3.2 which objects, 3.4 shuffled, 3.7 Pipe -----------------------------------------------------


def test_3_7_objects_of_a_prefix_are_streamed_one_after_the_other_in_each_epoch(s3_lab):
    assert streams(s3_lab, channel("train", "s3://b/d/"), epochs=2) == {"train": [b"".join(FILES.values())] * 2}


def test_3_2_manifest_in_s3_names_objects_in_its_order(s3_lab, store):
    store.objects["list"] = json.dumps([{"prefix": "s3://b/d/"}, "c.bin", "a.bin"]).encode()

    found = streams(s3_lab, channel("train", "s3://b/list", kind="ManifestFile"))
    assert found == {"train": [b"cccaaa"]}


def test_3_4_shuffle_orders_each_epoch_anew_and_keeps_every_object(s3_lab):
    (first, second, third) = streams(s3_lab, channel("train", "s3://b/d/", ShuffleConfig={"Seed": 5}), epochs=3)[
        "train"
    ]

    assert len({first, second, third}) == 3
    assert {bytes(sorted(epoch)) for epoch in (first, second, third)} == {b"".join(FILES.values())}


def test_3_7_gzip_is_inflated_and_each_object_is_a_record(s3_lab, store):
    store.objects = {f"z/{number}": gzip.compress(text) for number, text in enumerate((b"one", b"three"))}
    wrapped = channel("train", "s3://b/z/", CompressionType="Gzip", RecordWrapperType="RecordIO")

    assert records(streams(s3_lab, wrapped)["train"][0]) == [b"one", b"three"]


def test_3_8_augmented_manifest_streams_the_objects_that_its_lines_refer_to(s3_lab, store):
    lines = [{"image-ref": f"s3://b/{key}", "label": number} for number, key in enumerate(FILES)]
    store.objects["lines"] = "\n".join(map(json.dumps, lines)).encode()
    augmented = channel("train", "s3://b/lines", kind="AugmentedManifestFile", attributes=["image-ref", "label"])

    (stream,) = streams(s3_lab, augmented | {"RecordWrapperType": "RecordIO"})["train"]
    assert records(stream) == [part for number, data in enumerate(FILES.values()) for part in (data, b"%d" % number)]


def test_3_7_reader_that_closes_early_finds_the_next_epoch_whole(s3_lab, store):
    store.objects = {"big": BIG}
    report = s3_lab.run(["early"], InputDataConfig=[channel("train", "s3://b/big")]).report

    assert report == {"start": BIG[:7].hex(), "digest": hashlib.sha256(BIG).hexdigest()}


# --- 3.5 File, 3.6 FastFile ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_3_5_files_lie_under_their_keys_cut_at_the_folder(s3_lab, store, mode):
    store.objects = {"t/in/a.txt": b"a", "t/in/deep/b.txt": b"b", "t/in/none": b"", "t/in/deep/": b""}
    report = s3_lab.run(["tree"], channels={"train": "s3://b/t/in"}, mode=mode).report

    assert report["files"] == {"a.txt": "a", "deep/b.txt": "b", "none": ""}


@pytest.mark.contract("3.5", "O", "files of a File channel that was copied can be changed, run and removed")
def test_3_5_files_that_were_copied_are_the_programs_to_change(s3_lab, store):
    objects = {"t/run.sh": b"#!/bin/sh\necho ran\n", "t/gone.txt": b"g", "p/a": b"a", "p/b": b"b"}
    store.objects = dict(objects)
    channels = [channel("train", "s3://b/t/", InputMode="File"), channel("pipe", "s3://b/p/", InputMode="Pipe")]
    report = s3_lab.run(["use_channel", 2], InputDataConfig=channels).report

    assert (report["said"], report["files"]) == ("ran\n", ["made", "run.sh"])
    assert report["streamed"] == ["ab", "ab"]
    assert report["beside"] == ("done" if s3_lab.kind == "plain" else "EROFS")
    assert store.objects == objects


def test_3_6_fast_file_is_read_only(s3_lab, store):
    store.objects = {"t/a.txt": b"a", "t/b.txt": b"b"}
    report = s3_lab.run(["write_channel"], channels={"train": "s3://b/t/"}, mode="FastFile").report

    denied = {"write": "EROFS", "remove": "EROFS", "add": "EROFS"}
    assert report["seen"] == (dict.fromkeys(denied, "done") if s3_lab.kind == "plain" else denied)


def test_3_6_partial_folder_name_is_refused(s3_lab):
    with pytest.raises(SourceError, match="Channel 'train': FastFile needs a whole folder"):
        s3_lab.run(["tree"], channels={"train": "s3://b/d/a"}, mode="FastFile")


@pytest.fixture
def mounting(s3_lab):
    if s3_lab.kind == "plain":
        pytest.skip("a plain process is given a copy")
    if reason := fast_files.why_not():
        miss(reason)
    return s3_lab


def fetched(store):
    return {key for method, key, _ in store.requests if method == "GET" and key in store.objects}


@pytest.mark.contract("3.6", "U")
def test_3_6_fast_file_fetches_what_is_opened_and_nothing_else(mounting, store):
    store.objects = {"t/big": BIG, "t/deep/other": b"o", "t/never": b"n"}
    run = mounting.run(["read_parts", "big", [[0, 5], [PART_BYTES - 2, 4], [len(BIG) - 3, 9]]],
                       channels={"train": "s3://b/t/"}, mode="FastFile")  # fmt: skip

    parts = [BIG[:5].hex(), BIG[PART_BYTES - 2 : PART_BYTES + 2].hex(), BIG[-3:].hex()]
    assert run.report == {"parts": parts, "names": ["big", "deep", "never"], "sizes": {"big": len(BIG), "never": 1}}
    assert fetched(store) == {"t/big"}
    assert not [note for note in run.recorder.notes if "copied" in note]


@pytest.mark.contract("3.6", "U")
def test_3_6_file_whose_object_changed_is_an_io_error_and_the_user_is_told(mounting, store):
    store.objects = {"t/big": BIG}
    store.before["t/big"] = lambda: store.objects.update({"t/big": BIG[::-1]})
    run = mounting.run(["read_parts", "big", [[0, 5]]], channels={"train": "s3://b/t/"}, mode="FastFile")

    assert run.description["TrainingJobStatus"] == "Failed"
    assert [note for note in run.recorder.notes if "channel train: s3://b/t/big changed while it was read" in note]


@pytest.mark.contract("3.6", "U")
def test_3_6_fast_file_is_copied_where_it_cannot_be_mounted_and_the_user_is_told_why(s3_lab, store, monkeypatch):
    monkeypatch.setattr(fast_files, "why_not", lambda: "the suite says so")
    run = s3_lab.run(["tree"], channels={"train": "s3://b/d/"}, mode="FastFile")

    assert run.report["files"] == {key.removeprefix("d/"): data.decode() for key, data in FILES.items()}
    assert fetched(store) == set(FILES)
    reason = "a process without bubblewrap" if s3_lab.kind == "plain" else "the suite says so"
    assert [note for note in run.recorder.notes if "channel train: copied before the start" in note and reason in note]


@pytest.mark.contract("3.7", "U")
def test_mount_whose_program_is_killed_fails_the_job_and_does_not_outlive_it(mounting, store):
    store.objects = {"t/a": b"a"}
    run = mounting.start(["wait_for_stop"], channels={"train": "s3://b/t/"}, mode="FastFile")
    assert run.recorder.ready.wait(30), run.recorder.notes
    (showing,) = mounts(run.folder)
    (process,) = [number for number in processes(run.folder) if b"local_mode.channels.fast_file" in command(number)]
    os.kill(process, signal.SIGKILL)

    assert run.end().status == "Failed"
    reason = "ClientError: Channel 'train': the program that shows its files ended with code -9."
    assert run.description["FailureReason"] == reason
    assert mounts(run.folder) == []
    assert not showing.exists()


@pytest.mark.contract("3.7", "U")
def test_mount_of_a_killed_local_mode_is_swept(mounting, store):
    store.objects = {"t/a": b"a"}
    root = mounting.folder / "orphan"
    folder = root / "jobs" / "dead"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    plan = plan_channel(ChannelSpec(name="train", uri="s3://b/t/", mode="FastFile"), s3=S3Source(mounting.s3.access))
    files = fast_files.FastFiles(
        folder / "scratch" / "fast_file", marker=mark(folder), s3=mounting.s3.access, note=print
    )
    shown = files.mount(plan)
    assert (shown / "a").read_bytes() == b"a"
    (number,) = processes(folder)
    os.kill(number, signal.SIGKILL)  # the worst case: nobody unmounts
    eventually(lambda: processes(folder) == [])
    sweep(root, [remove_leftovers])

    assert mounts(folder) == []
    assert not folder.exists()
    files.close()


def mounts(folder):
    return mounts_module.mounted_below(folder)


def command(number):
    return Path(f"/proc/{number}/cmdline").read_bytes()


# --- faults ----------------------------------------------------------------------------------------


def nth(number, act):
    """`act` at the number-th answer."""
    answers = iter(range(1_000_000))
    return lambda: act() if next(answers) == number else None


@pytest.mark.contract("3.7", "U")
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda store: store.objects.pop("big"), "ClientError: Channel 'train': s3://b/big is gone"),
        (lambda store: store.objects.update(big=BIG[::-1]), "ClientError: Channel 'train': s3://b/big changed while"),
    ],
    ids=["vanishes", "changes"],
)
def test_object_that_does_not_stay_as_it_was_fails_the_job_and_no_epoch_looks_complete(s3_lab, store, harm, reason):
    store.objects = {"big": BIG}
    store.before["big"] = nth(1, lambda: harm(store))
    run = s3_lab.run(["epochs"], channels={"train": "s3://b/big"})

    assert run.description["TrainingJobStatus"] == "Failed"
    assert run.description["FailureReason"].startswith(reason)
    assert not [line for line in run.recorder.lines if "epoch=0" in line], "the program never saw the end of an epoch"


@pytest.mark.contract("3.7", "U")
def test_object_that_changes_before_its_download_fails_the_job_before_the_container_runs(s3_lab, store):
    store.before["d/c.bin"] = lambda: store.objects.update({"d/c.bin": b"new"})
    run = s3_lab.run(["tree"], channels={"train": "s3://b/d/"}, mode="File")

    reason = run.description["FailureReason"]
    assert reason.startswith("ClientError: Data download failed: channel 'train': s3://b/d/c.bin changed while it was")
    assert "Training" not in run.secondaries


@pytest.mark.contract("3.7", "U")
@pytest.mark.parametrize("mode", ["Pipe", "File"])
def test_connection_that_is_reset_in_an_object_is_resumed_with_the_same_bytes(s3_lab, store, mode):
    store.objects, store.resets = {"big": BIG}, {"big": [1 << 20, 3 << 20, 5, 0]}
    act = ["epochs"] if mode == "Pipe" else ["digests"]
    report = s3_lab.run(act, channels={"train": "s3://b/big"}, mode=mode).report

    digest = hashlib.sha256(BIG).hexdigest()
    assert report["digests"] == {"train": [digest] * 3} if mode == "Pipe" else {"big": digest}
    assert store.resets == {"big": []}


@pytest.mark.contract("3.7", "U")
def test_object_that_cannot_be_read_fails_the_job_by_name(s3_lab, store):
    store.objects, store.resets = {"k": bytes(1000)}, {"k": [10] * 1000}

    assert failure(s3_lab, channel("train", "s3://b/k")).startswith(
        "ClientError: Channel 'train': s3://b/k cannot be read, after 6 tries: "
    )


@pytest.mark.contract("3.7", "U")
def test_slow_server_is_waited_for(s3_lab, store):
    store.objects, store.bytes_per_second = {"a": BIG[:400_000], "b": BIG[:300_000]}, 500_000

    assert streams(s3_lab, channel("train", "s3://b/")) == {"train": [BIG[:400_000] + BIG[:300_000]]}


@pytest.mark.contract("security", "U")
def test_key_to_s3_is_not_the_programs(s3_lab):
    report = s3_lab.run(["look"], InputDataConfig=[channel("train", "s3://b/d/")]).report

    assert not [name for name in report["environment"] if name.startswith("AWS_") and name != "AWS_REGION"]


# --- the endpoint's own S3 -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "20")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0


def test_3_7_two_channels_of_the_endpoints_s3_are_streamed(server):
    for key, data in FILES.items():
        server.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data)
    server.client("s3").put_object(Bucket=BUCKET, Key="big", Body=BIG)
    server.create("two", ["epochs"], channels={"big": f"s3://{BUCKET}/big", "small": f"s3://{BUCKET}/d/"})

    described = server.ended("two")
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")


@pytest.mark.contract("3.7", "U")
def test_object_deleted_from_the_endpoints_s3_between_epochs_fails_the_job(server):
    s3 = server.client("s3")
    s3.put_object(Bucket=BUCKET, Key="fleeting", Body=b"x")
    server.create("fleeting", ["wait_then_read", "train"], channels={"train": f"s3://{BUCKET}/fleeting"})
    s3.delete_object(Bucket=BUCKET, Key="fleeting")

    described = server.ended("fleeting")
    assert described["FailureReason"].startswith(f"ClientError: Channel 'train': s3://{BUCKET}/fleeting is gone")
