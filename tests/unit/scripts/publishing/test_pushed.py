"""What was pushed last, for the next step."""

import pytest

from scripts.publishing.errors import PublishError
from scripts.publishing.pushed import Pushed, last

PUSHED = Pushed(framework="keras", uri="r/a@sha256:1", tag="r/a:1", image="sha256:2", revision="abc")


def test_what_was_pushed_last_is_read_as_it_was_written(tmp_path):
    folder = tmp_path / "dist" / "pushed"
    PUSHED.write(folder)

    assert last(folder, "keras") == PUSHED
    assert [path.name for path in folder.iterdir()] == ["keras.json"]


def test_nothing_pushed_is_told_with_the_command_that_pushes(tmp_path):
    with pytest.raises(PublishError, match="Nothing was pushed of 'keras'.*run: make push/keras"):
        last(tmp_path, "keras")


@pytest.mark.parametrize("text", ["", "[]", '{"uri": "x"}'])
def test_file_that_is_none_of_ours_is_told_of(tmp_path, text):
    (tmp_path / "keras.json").write_text(text)

    with pytest.raises(PublishError, match="keras.json is not what a push leaves"):
        last(tmp_path, "keras")
