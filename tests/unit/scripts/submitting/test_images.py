import os
from pathlib import Path

import pytest

from scripts.publishing.pushed import FOLDER, Pushed
from scripts.submitting import images
from scripts.submitting.errors import SubmitError

URI = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/vision-training-{}@sha256:" + "0" * 64


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "images.json").write_text((images.ROOT / "images.json").read_text())
    return tmp_path


def push(project: Path, framework: str, at: float = 0.0) -> str:
    done = Pushed(framework=framework, uri=URI.format(framework), tag="1", image="sha256:0", revision="0")
    os.utime(done.write(project / FOLDER), (at, at))
    return done.uri


def test_key_of_an_image_means_what_was_pushed_last(project: Path):
    uri = push(project, "keras")

    assert images.resolve("keras", local=False, root=project) == uri


def test_key_of_an_image_means_this_machines_build_on_this_machine(project: Path):
    push(project, "keras")

    assert images.resolve("keras", local=True, root=project) == "vision-training-keras:dev"


def test_no_image_means_the_one_that_was_pushed_last_of_all(project: Path):
    push(project, "pytorch", at=100.0)
    newest = push(project, "keras", at=200.0)

    assert images.resolve(None, local=False, root=project) == newest


def test_any_other_name_stays_as_it_is(project: Path):
    assert images.resolve("my/own:1", local=False, root=project) == "my/own:1"


def test_image_that_was_not_pushed_is_refused_with_what_to_run(project: Path):
    with pytest.raises(SubmitError, match="TrainingImage is keras, .* run make push/keras"):
        images.resolve("keras", local=False, root=project)
    with pytest.raises(SubmitError, match="TrainingImage is missing, .* give pytorch or keras"):
        images.resolve(None, local=False, root=project)


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_file_that_is_no_pushs_is_refused(project: Path, content: str):
    push(project, "keras")
    (project / FOLDER / "keras.json").write_text(content)

    with pytest.raises(SubmitError, match="keras.json is not what a push leaves"):
        images.resolve("keras", local=False, root=project)


@pytest.mark.parametrize(
    ("image", "framework"),
    [
        ("keras", "keras"),
        ("vision-training-keras:dev", "keras"),
        (URI.format("pytorch"), "pytorch"),
        ("localhost:5000/vision-training-pytorch:0.1.0", "pytorch"),
        ("other/vision:1", None),
        (None, None),
    ],
)
def test_image_of_ours_is_known_by_key_or_repository(project: Path, image: str | None, framework: str | None):
    assert images.framework_of(image, project) == framework
