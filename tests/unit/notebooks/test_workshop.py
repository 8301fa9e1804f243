"""Where a notebook runs, decided and refused; what its last cell deletes is shown by tests/contract."""

import os

import pytest

from notebooks import workshop


@pytest.fixture(autouse=True)
def led_nowhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


def test_place_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(workshop.WorkshopError, match="WHERE is 'AWS'; it must be one of local, aws"):
        workshop.begin("AWS", framework="pytorch", label="x")


def test_aws_is_refused_where_the_shell_is_led_to_an_endpoint(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4640")

    with pytest.raises(workshop.WorkshopError, match="AWS_ENDPOINT_URL leads every call to http://127.0.0.1:4640"):
        workshop.begin("aws", framework="pytorch", label="x")


def test_process_is_led_as_a_shell_would_be(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what is set here must not lead other tests
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("KEPT", "yes")

    workshop.obey("unset AWS_PROFILE AWS_SESSION_TOKEN\nexport AWS_REGION='us west'\nexport A=b=c\n")

    assert "AWS_PROFILE" not in os.environ
    assert [os.environ[name] for name in ("KEPT", "AWS_REGION", "A")] == ["yes", "us west", "b=c"]


def test_image_that_was_never_pushed_is_told_with_the_verbs_that_push_it(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(workshop, "ROOT", tmp_path)

    with pytest.raises(workshop.WorkshopError, match="run: make build/keras push/keras"):
        workshop.pushed("keras")
    (tmp_path / "dist" / "pushed").mkdir(parents=True)
    (tmp_path / "dist" / "pushed" / "keras.json").write_text('{"uri": "host/keras@sha256:1"}')
    assert workshop.pushed("keras") == "host/keras@sha256:1"


def test_command_that_fails_is_told_in_its_own_words(tmp_path):
    script = tmp_path / "refuse.py"
    script.write_text("import sys; sys.exit('error: no room')")

    with pytest.raises(workshop.WorkshopError, match=r"refuse\.py failed: error: no room"):
        workshop.said(workshop.PYTHON, script)
