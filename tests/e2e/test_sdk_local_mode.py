"""The seam from the other side: each of our images in the SageMaker SDK v2's own local mode, which is docker compose.

It knows File mode only, gives the program a terminal, and host names of its own; the image must not mind.
"""

import shutil
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.containers import miss
from tests.e2e import sdk_local_mode
from tests.e2e.test_channels import EPOCHS, IMAGES, records

MODELS = {
    "pytorch": ("net", {"weights.pt", "config.json", "labels.json"}),
    "keras": ("workshop", {"model.keras", "1/saved_model.pb", "config.json", "labels.json"}),
}
"""By framework: the model to train, and what must be in its archive."""


@pytest.mark.parametrize("framework", MODELS)
def test_our_image_trains_in_the_local_mode_of_sdk_v2(
    framework: str, docker_client, request: pytest.FixtureRequest, tmp_path: Path
):
    if shutil.which("docker-compose") is None:
        miss("there is no docker-compose, which SDK v2's local mode runs on; .ci/docker_engine installs it")
    image = request.getfixturevalue(f"{framework}_image")
    channels = {}
    for seed, (channel, count) in enumerate(IMAGES.items()):
        channels[channel] = tmp_path / "data" / channel
        channels[channel].mkdir(parents=True)
        (channels[channel] / "all.bin").write_bytes(b"".join(records(count, seed)))
    model, files = MODELS[framework]
    hyperparameters = {"epochs": EPOCHS, "batch_size": 50, "model": model}
    ended = sdk_local_mode.run(docker_client, image, tmp_path / "out", hyperparameters, channels)

    assert ended.status == "Completed"
    assert f"epoch={EPOCHS} " in ended.out
    with tarfile.open(urlsplit(ended.model).path) as archive:
        assert files <= set(archive.getnames())
    left = docker_client.networks.list(names=["sagemaker-local"])
    assert [network.name for network in left] == []
