from dataclasses import replace

import pytest

from scripts.images.entry import ImageError, image_name, read_image, read_images


def test_every_image_has_a_dockerfile_and_a_lock():
    images = read_images()

    assert list(images) == ["pytorch", "keras"]
    for image in images.values():
        assert (image.folder / "Dockerfile").is_file()
        assert (image.folder / "requirements.lock").is_file()


def test_name_that_is_not_listed_is_refused_with_the_nearest():
    with pytest.raises(ImageError, match="no image 'pytorhc' .* pytorch, keras; did you mean 'pytorch'"):
        read_image("pytorhc")


def test_image_is_named_by_its_repository():
    assert image_name("keras") == "vision-training-keras:dev"


def test_base_is_pinned_by_digest_once_there_is_one():
    image = replace(read_image("keras"), base="debian:trixie-slim", base_digest="")

    assert image.pinned_base == "debian:trixie-slim"
    assert replace(image, base_digest="sha256:ab").pinned_base == "debian:trixie-slim@sha256:ab"
