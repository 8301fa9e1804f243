"""Tensors from a channel, and what is done to them on the device."""

import numpy as np
import pytest
import torch
from pytorch_job import inputs
from trainjob import channel, cifar10
from trainjob.contract import FILE, PIPE
from trainjob.errors import ChannelError, RecordError, TruncatedRecordError
from trainjob.stop import Stop

pytestmark = pytest.mark.timeout(60)


CPU = torch.device("cpu")


def read(env, batch_size, **settings) -> list[inputs.Batch]:
    train = inputs.cifar10_dataset(channel.find(env, "train", Stop()), batch_size, **settings)
    try:
        return list(inputs.epoch(train, 0, CPU))
    finally:
        train.channel.close()


@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_epoch_gives_every_image_with_its_label_in_order(make_job, mode):
    job = make_job(mode=mode)
    with job.fed() as env:
        batches = read(env, 50)
    content = np.frombuffer(b"".join(job.content["train"]), np.uint8).reshape(-1, cifar10.RECORD_BYTES)
    assert [len(labels) for _, labels in batches] == [50, 50, 50, 50, 50, 7]
    assert torch.cat([labels for _, labels in batches]).tolist() == content[:, 0].tolist()
    assert np.array_equal(torch.cat([images for images, _ in batches]).reshape(257, -1).numpy(), content[:, 1:])


@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_channel_without_a_record_is_told(make_job, mode):
    job = make_job(mode=mode)
    job.content["train"] = [b""]
    with (
        job.fed() as env,
        pytest.raises(ChannelError, match="'train', epoch 0 delivered no record: the channel is empty"),
    ):
        read(env, 50)


def test_label_out_of_range_is_told_where_it_lies_in_the_stream(make_job):
    job = make_job()
    spoilt = bytearray(job.content["train"][1])
    spoilt[5 * cifar10.RECORD_BYTES] = 200
    job.content["train"][1] = bytes(spoilt)
    with job.fed() as env, pytest.raises(RecordError, match="Record 155 has label 200"):
        read(env, 32, window=100)


def test_cut_off_stream_is_told_with_channel_epoch_and_bytes(make_job):
    job = make_job(mode=PIPE)
    job.content["train"] = [job.content["train"][0][:-73]]
    told = "Channel 'train', epoch 0 ended inside a record: 460877 bytes .* 73 bytes missing at byte offset 460877"
    with job.fed() as env, pytest.raises(TruncatedRecordError, match=told):
        read(env, 32)


def test_normalised_images_are_scaled_by_the_data_sets_statistics():
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    mean, std = np.array(cifar10.MEAN).reshape(1, 3, 1, 1), np.array(cifar10.STD).reshape(1, 3, 1, 1)
    expected = torch.from_numpy((images.numpy() / 255 - mean) / std).float()
    torch.testing.assert_close(inputs.Normalise(CPU)(images), expected, rtol=1e-4, atol=1e-5)


def test_every_augmented_image_is_a_crop_of_the_padded_one_or_its_mirror():
    images = torch.rand(40, 3, 32, 32)
    generator = torch.Generator().manual_seed(0)
    augmented = inputs.crop(inputs.flip(images, generator), generator, padding=2)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    kinds = set()
    for image, result in zip(padded, augmented, strict=True):
        candidates = {
            (mirrored, top, left): (image.flip(2) if mirrored else image)[:, top : top + 32, left : left + 32]
            for mirrored in (False, True)
            for top in range(5)
            for left in range(5)
        }
        matching = [kind for kind, candidate in candidates.items() if torch.equal(candidate, result)]
        assert len(matching) == 1
        kinds.add(matching[0])
    assert len({mirrored for mirrored, _, _ in kinds}) == 2
    assert len(kinds) > 20, "images move independently of each other"


def test_pixels_that_lie_whole_are_mirrored_and_normalised_to_the_same_bits():
    by_planes = torch.randint(0, 256, (5, 3, 6, 7), dtype=torch.uint8)
    by_pixels = by_planes.contiguous(memory_format=torch.channels_last)
    normalise = inputs.Normalise(CPU, torch.channels_last)

    assert torch.equal(normalise(by_planes), normalise(by_pixels))
    assert normalise(by_pixels).is_contiguous(memory_format=torch.channels_last)
    mirrored = [inputs.flip(images, torch.Generator().manual_seed(1)) for images in (by_planes, by_pixels)]
    assert torch.equal(*mirrored)
    assert not torch.equal(mirrored[0], by_planes)
    assert mirrored[1].data_ptr() == by_pixels.data_ptr(), "mirrored where it lies"


def test_normalised_images_stay_as_they_are_while_others_are_made():
    normalise = inputs.Normalise(torch.device("cpu"), torch.channels_last)
    first, second = (torch.full((2, 8, 8, 3), value, dtype=torch.uint8).permute(0, 3, 1, 2) for value in (1, 200))
    held = normalise(first)
    before = held.clone()
    part = held[1:]
    del held
    assert not torch.equal(normalise(second), before)
    assert torch.equal(part, before[1:])
