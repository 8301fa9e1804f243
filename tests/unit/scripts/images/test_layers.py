import hashlib
import random
import zlib

import pytest

from scripts.images import layers as measuring
from scripts.images.layers import BLOCK, Archive
from tests.unit.scripts.images.saved import saved, tar

NOISE = random.Random(0).randbytes(3 * BLOCK)
LAYERS = [{"bin/cc": b"compiler", "etc/pip.conf": b"secret"}, {"bin/.wh.cc": b"", "opt/noise": NOISE}]


@pytest.mark.parametrize("oci", [False, True])
def test_every_file_of_every_layer_is_seen_deleted_ones_too(oci: bool):
    seen = []
    Archive(saved(LAYERS, oci=oci), lambda member, read: seen.append((member.name, read())))

    assert seen == [(name, content) for layer in LAYERS for name, content in layer.items()]


@pytest.mark.parametrize("oci", [False, True])
def test_layers_have_their_digest_their_step_and_their_size(oci: bool):
    layers = Archive(saved(LAYERS, oci=oci)).layers

    assert [layer.digest for layer in layers] == [
        f"sha256:{hashlib.sha256(tar(files)).hexdigest()}" for files in LAYERS
    ]
    assert [layer.step for layer in layers] == ["RUN step 0", "RUN step 1"]
    assert [layer.unpacked for layer in layers] == [14, len(NOISE)]


def test_compressed_size_is_what_gzip_makes_of_the_whole_layer():
    (layer,) = Archive(saved([{"noise": NOISE, "zeros": bytes(8 * BLOCK)}]), compress=True).layers

    assert layer.compressed == pytest.approx(len(zlib.compress(NOISE + bytes(8 * BLOCK), 6)), rel=0.002)


def test_compressed_size_of_a_large_layer_is_estimated_from_a_sample_of_it(monkeypatch):
    monkeypatch.setattr(measuring, "WHOLE", 4)
    asked = []
    compress = measuring._compressed
    monkeypatch.setattr(measuring, "_compressed", lambda block: asked.append(len(block)) or compress(block))
    content = b"".join(NOISE[: BLOCK // 2] + bytes(BLOCK // 2) for _ in range(68))

    (layer,) = Archive(saved([{"mixed": content}]), compress=True).layers

    assert len(asked) == 4 + 8  # all of the first, then one in eight
    assert layer.compressed == pytest.approx(len(zlib.compress(content, 6)), rel=0.1)


def test_layer_that_a_registry_has_compressed_keeps_that_size():
    layers = Archive(saved(LAYERS, oci=True)).layers

    assert layers[1].compressed == pytest.approx(len(NOISE), rel=0.01)


def test_layer_that_occurs_twice_is_a_link_in_the_archive():
    layers = Archive(saved(LAYERS, twice=True)).layers

    assert layers[2].digest == layers[0].digest
    assert [layer.step for layer in layers] == ["RUN step 0", "RUN step 1", "RUN step 2"]
