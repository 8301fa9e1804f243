"""Channels in every input mode."""

import os
import threading
from pathlib import Path

import pytest
from trainjob import channel
from trainjob.contract import FAST_FILE, FILE, PIPE, Paths
from trainjob.environment import ChannelConfig, JobEnvironment
from trainjob.errors import ChannelError
from trainjob.stop import Stop

pytestmark = pytest.mark.timeout(20)


def job(base: Path, **modes: str) -> JobEnvironment:
    channels = {
        name: ChannelConfig(
            name=name, input_mode=mode, content_type=None, distribution="FullyReplicated", record_wrapper="None"
        )
        for name, mode in modes.items()
    }
    paths = Paths(base)
    paths.data.mkdir(parents=True)
    return JobEnvironment(
        paths=paths,
        job_name="job",
        hyperparameters={},
        channels=channels,
        hosts=("algo-1",),
        current_host="algo-1",
        network_interface="eth0",
    )


def read(opened: channel.Channel) -> bytes:
    buffer, content = bytearray(7), b""
    with opened.open() as stream:
        while count := stream.readinto(memoryview(buffer)):
            content += buffer[:count]
    return content


@pytest.mark.parametrize("mode", [FILE, FAST_FILE])
def test_files_are_read_in_the_order_of_their_utf8_paths(tmp_path, mode):
    env = job(tmp_path, train=mode)
    folder = env.paths.channel("train")
    for name in ("b", "a/2", "a/10", "é", "Z", "empty"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"" if name == "empty" else f"<{name}>".encode())
    opened = channel.find(env, "train", Stop())
    assert read(opened) == "<Z><a/10><a/2><b><é>".encode()
    assert read(opened) == read(opened), "every epoch reads the same"


def test_every_opening_of_a_pipe_channel_is_the_next_fifo(tmp_path):
    env = job(tmp_path, train=PIPE)
    opened = channel.find(env, "train", Stop())
    for epoch in range(3):
        fifo = env.paths.fifo("train", epoch)
        os.mkfifo(fifo)
        threading.Thread(target=fifo.write_bytes, args=(f"epoch {epoch}".encode(),), daemon=True).start()
        assert read(opened) == f"epoch {epoch}".encode()
        assert opened.description == f"Channel 'train', epoch {epoch}"
    opened.close()


def test_unknown_channel_is_told_with_those_there_are(tmp_path):
    env = job(tmp_path, train=FILE, test=FILE)
    with pytest.raises(ChannelError, match="no channel 'validation'; its channels are: 'test', 'train'"):
        channel.find(env, "validation", Stop())


def test_job_without_channels_says_so(tmp_path):
    with pytest.raises(ChannelError, match="no channel 'train'; its channels are: none"):
        channel.find(job(tmp_path), "train", Stop())


def test_empty_folder_is_told(tmp_path):
    env = job(tmp_path, train=FILE)
    env.paths.channel("train").mkdir()
    with pytest.raises(ChannelError, match="'train' is empty: there is no file under .*train"):
        read(channel.find(env, "train", Stop()))


def test_missing_folder_is_told(tmp_path):
    with pytest.raises(ChannelError, match="in FastFile mode, but its folder .*train does not exist"):
        read(channel.find(job(tmp_path, train=FAST_FILE), "train", Stop()))


def test_unknown_input_mode_is_told_with_those_known(tmp_path):
    with pytest.raises(ChannelError, match="input mode 'Teleport'; known modes are File, FastFile, Pipe"):
        channel.find(job(tmp_path, train="Teleport"), "train", Stop())
