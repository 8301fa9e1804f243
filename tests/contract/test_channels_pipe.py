"""Sections 3.3, 3.4 and 3.7 of the platform contract, over every runner: shards, shuffles, and channels as streams."""

import gzip
import json

import pytest

from tests.contract.channels import FILES, channel, failure, record, records, streams

# --- 3.3 and 3.4 shards and shuffles ---------------------------------------------------------------


@pytest.mark.contract("3.3", "D")
def test_3_3_one_host_has_the_only_shard_and_is_told_it_is_one(lab, put):
    entry = channel("train", put("data", FILES), distribution="ShardedByS3Key")
    report = lab.run(["streams"], InputDataConfig=[entry]).report

    assert bytes.fromhex(report["streams"]["train"][0]) == b"".join(FILES.values())
    assert report["channels"]["train"]["S3DistributionType"] == "ShardedByS3Key"


@pytest.mark.contract("3.4", "D")
def test_3_4_objects_come_in_another_order_each_epoch_and_in_the_same_in_each_job(lab, put):
    folder = put("data", FILES)
    entries = [channel(str(seed), folder, ShuffleConfig={"Seed": seed}) for seed in (7, -8)]
    entries.append(channel("plain", folder))
    first, second = streams(lab, *entries, epochs=3), streams(lab, *entries, epochs=3)

    assert first == second
    assert first["plain"] == [b"".join(FILES.values())] * 3
    assert len({*first["7"], *first["-8"], first["plain"][0]}) == 7
    for stream in first["7"] + first["-8"]:
        assert sorted(stream[start : start + 3] for start in range(0, 24, 3)) == sorted(FILES.values())


@pytest.mark.contract("3.4", "D")
def test_3_4_entries_of_a_manifest_and_lines_of_an_augmented_one_are_shuffled(lab, put, manifest, lines):
    entries = manifest(put("data", FILES), *FILES)
    texts = lines(*(json.dumps({"label": name, "more": name * 2}) for name in "abcdefgh"))
    seed = {"Seed": 3}
    found = streams(
        lab,
        channel("manifest", entries, kind="ManifestFile", ShuffleConfig=seed),
        channel("lines", texts, kind="AugmentedManifestFile", attributes=["label", "more"], ShuffleConfig=seed),
        epochs=2,
    )

    for epochs in found.values():
        whole = {epoch[start : start + 3] for epoch in epochs for start in range(0, 24, 3)}
        assert whole == {letter * 3 for letter in (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h")}
        assert len({*epochs, b"".join(FILES.values())}) == 3


# --- 3.7 Pipe mode ---------------------------------------------------------------------------------


@pytest.mark.contract("3.7", "C")
def test_3_7_nothing_is_put_between_objects(lab, put):
    found = streams(lab, channel("train", put("data", {"1": b"no newline", "2": b"", "3": b"glued\n"})))

    assert found == {"train": [b"no newlineglued\n"]}


@pytest.mark.contract("3.7", "D")
def test_3_7_gzip_is_inflated_members_and_empty_objects_too(lab, put):
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two ")
    folder = put("data", {"1.gz": packed, "2.gz": gzip.compress(b""), "3": b"", "4.gz": gzip.compress(b"three")})
    found = streams(
        lab,
        channel("inflated", folder, CompressionType="Gzip"),
        channel("wrapped", folder, CompressionType="Gzip", RecordWrapperType="RecordIO"),
        channel("raw", folder),
        epochs=2,
    )

    assert found["inflated"] == [b"one two three"] * 2
    assert found["wrapped"] == [record(b"one two ") + record(b"") + record(b"") + record(b"three")] * 2
    assert records(found["wrapped"][1])[3] == b"three"
    assert found["raw"][0].startswith(packed)


@pytest.mark.contract("3.7", "U")
@pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
def test_3_7_damaged_gzip_fails_the_job_and_is_named(lab, put, wrapper):
    whole = gzip.compress(bytes(range(256)) * 10)
    folder = put("data", {"1.gz": whole, "2.gz": whole[:-9]})
    reason = failure(lab, channel("train", folder, CompressionType="Gzip", RecordWrapperType=wrapper))

    assert reason.startswith(f"ClientError: Channel 'train': {folder}2.gz cannot be inflated: ")


@pytest.mark.contract("3.7", "U")
def test_3_7_objects_without_gzip_fail_a_gzip_channel_and_are_named(lab, put):
    reason = failure(lab, channel("train", put("data", FILES), CompressionType="Gzip"))

    assert "/data/a.bin cannot be inflated: Not a gzipped file" in reason


@pytest.mark.contract("3.7", "D")
def test_3_7_each_object_is_a_record_and_the_program_is_told(lab, put):
    folder = put("data", {"a": b"first", "b/c": b"", "d": bytes(100_000)})
    entry = channel("train", folder, RecordWrapperType="RecordIO")
    report = lab.run(["streams", 2], InputDataConfig=[entry]).report

    expected = record(b"first") + record(b"") + record(bytes(100_000))
    assert [bytes.fromhex(text) for text in report["streams"]["train"]] == [expected] * 2
    assert report["channels"]["train"]["RecordWrapperType"] == "RecordIO"


@pytest.mark.contract("3.7", "U")
@pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
def test_3_7_object_that_vanishes_while_the_channel_is_streamed_fails_the_job_by_name(lab, put, wrapper):
    folder = put("data", {"1.bin": bytes(3_000_000), "2.bin": b"gone"})
    run = lab.start(["wait_for_stop"], InputDataConfig=[channel("train", folder, RecordWrapperType=wrapper)])
    assert run.recorder.ready.wait(30)
    fifo = run.folder / "scratch" / "algo-1" / "opt_ml" / "input" / "data" / "train_0"
    with fifo.open("rb") as stream:  # in the program's place: it plays asleep
        stream.read(1)
        (lab.folder / "data" / "2.bin").unlink()
        stream.read()
    run.end()

    reason = f"ClientError: Channel 'train': cannot read {folder}2.bin: No such file or directory"
    assert run.description["FailureReason"] == reason


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """A channel too large for a pipe's buffer; its bytes."""
    folder = tmp_path_factory.mktemp("ten")
    for number in range(10):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 30_000)
    return folder, b"".join(bytes([number]) * 30_000 for number in range(10))


@pytest.fixture(scope="module")
def hurried(shared_lab, ten):
    """A program that opens four epochs and reads none, then reads the fifth, and never opens the other channel."""
    folder, _ = ten
    entries = [channel("train", f"{folder}/"), channel("untouched", f"{folder}/")]
    run = shared_lab.run(["hurry", 4], InputDataConfig=entries)
    assert run.status == "Completed"
    return run


@pytest.mark.contract("3.7", "D", "epochs that are opened and closed unread do not cost the next one a byte")
def test_epochs_closed_unread_cost_the_next_one_nothing(hurried, ten):
    assert bytes.fromhex(hurried.report["stream"]) == ten[1]


@pytest.mark.contract("3.7", "D", "a channel nobody opens holds up no other and no end of the job")
def test_channel_that_nobody_opens_holds_up_nothing(hurried):
    assert hurried.status == "Completed"
    assert hurried.recorder.sent.get("untouched", 0) == 0


@pytest.mark.contract("3.7", "C", "the FIFO of an epoch that is over is gone, that of the next is there")
def test_fifo_of_an_epoch_that_is_over_is_gone(hurried):
    listing = hurried.report["listing"]
    assert "untouched_0" in listing
    assert {"train_0", "train_1"} & set(listing) == set()


@pytest.mark.contract("3.7", "C", "epochs go on until the program ends: there is no last one")
def test_epochs_have_no_end(lab, put):
    report = lab.run(["far", 25], InputDataConfig=[channel("train", put("data", FILES))]).report

    assert [bytes.fromhex(text) for text in report["streams"]] == [b"".join(FILES.values())]
    assert report["left"] == []


ORDERED = ["A", "Z/1", "Z0", "a", "b-1", "b/1", "b1", "\u00e9", "\U00010000"]


@pytest.mark.contract("3.2", "I", "objects come in the UTF-8 binary order of their whole keys, folders or not")
def test_order_is_the_binary_order_of_whole_keys(lab, put):
    folder = put("data", {name: name.encode() + b"|" for name in reversed(ORDERED)})

    (stream,) = streams(lab, channel("train", folder))["train"]
    assert stream.decode().split("|")[:-1] == sorted(ORDERED, key=lambda name: name.encode())


@pytest.mark.contract("3.7", "C", "a Pipe channel of one object gives that object's bytes alone")
def test_single_object_is_the_whole_stream(lab, put):
    assert streams(lab, channel("train", f"{put('data', FILES)}c.bin")) == {"train": [b"ccc"]}


@pytest.mark.contract("3.4", "D", "the order of a seed depends on seed and epoch alone, not on the job or its channel")
def test_order_of_a_seed_is_that_of_seed_and_epoch(lab, put):
    folder = put("data", FILES)
    found = streams(lab, *(channel(name, folder, ShuffleConfig={"Seed": 11}) for name in ("one", "two")), epochs=2)

    assert found["one"] == found["two"]
    assert found["one"][0] != found["one"][1]
