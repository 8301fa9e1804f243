"""What leads a shell's clients to the endpoint, and what it had before."""

import shlex
from pathlib import Path

import pytest

from local_mode.api.proxy_address import Address, before
from local_mode.endpoint import Endpoint, Files
from local_mode.shell import exports, variables, without_proxy

ENDPOINT = Endpoint(pid=1, url="http://127.0.0.1:4640", region="eu-west-1", access_key="LOCAL", secret="secret")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ca.pem").write_text("OURS\n")
    return Files(root=tmp_path)


def test_proxy_before_ours_is_told_to_ours_and_found_again(files):
    corporate = "http://me:pass@proxy.corp:3128"
    seen = variables(files, ENDPOINT, {"HTTPS_PROXY": corporate})

    assert seen["HTTPS_PROXY"] == seen["https_proxy"]
    assert seen["HTTPS_PROXY"].endswith(f":{ENDPOINT.proxy_password}@127.0.0.1:4640")
    assert before(seen["HTTPS_PROXY"]) == corporate
    # In a shell that was led here once already nothing changes.
    assert variables(files, ENDPOINT, seen) == seen


@pytest.mark.parametrize(
    "url", ["", "proxy:3128", "http://user:pw@proxy:3128", "http://local_mode_not@proxy:1", "http://[x"]
)
def test_proxy_of_others_is_not_taken_for_ours(url):
    assert before(url) == url


def test_proxy_for_everything_is_gone_through_as_well(files):
    assert before(variables(files, ENDPOINT, {"ALL_PROXY": "http://all:1"})["HTTPS_PROXY"]) == "http://all:1"
    both = {"ALL_PROXY": "http://all:1", "https_proxy": "http://https:1"}
    assert before(variables(files, ENDPOINT, both)["HTTPS_PROXY"]) == "http://https:1"


def test_password_tells_nothing_of_the_secret_and_is_not_the_same_for_another():
    other = Endpoint(pid=1, url=ENDPOINT.url, region="eu-west-1", access_key="LOCAL", secret="other")

    assert ENDPOINT.secret not in ENDPOINT.proxy_password
    assert ENDPOINT.proxy_password != other.proxy_password


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", "127.0.0.1,localhost"),
        ("intranet, .corp ,10.0.0.0/8", "127.0.0.1,localhost,intranet,.corp,10.0.0.0/8"),
        ("localhost,.amazonaws.com,sts.amazonaws.com,*.api.aws,com,x", "127.0.0.1,localhost,x"),
        ("*", "127.0.0.1,localhost"),
    ],
)
def test_no_proxy_keeps_what_does_not_lead_past_us_to_aws(files, given, kept):
    seen = variables(files, ENDPOINT, {"NO_PROXY": given})

    assert seen["NO_PROXY"] == seen["no_proxy"] == kept


def test_shell_that_wants_no_proxy_at_all_goes_out_directly(files):
    seen = variables(files, ENDPOINT, {"NO_PROXY": "*", "HTTPS_PROXY": "http://proxy:1"})

    assert before(seen["HTTPS_PROXY"]) == ""


def test_certificates_that_the_shell_trusted_are_trusted_further(files, tmp_path):
    (tmp_path / "corporate.pem").write_text("THEIRS\n")
    first = variables(files, ENDPOINT, {"AWS_CA_BUNDLE": str(tmp_path / "corporate.pem")})
    (tmp_path / "ca.pem").write_text("OURS ANEW\n")
    second = variables(files, ENDPOINT, first)

    assert second["AWS_CA_BUNDLE"] == first["AWS_CA_BUNDLE"]
    lines = [line for line in Path(second["AWS_CA_BUNDLE"]).read_text().splitlines() if not line.startswith("#")]
    assert lines == ["OURS ANEW", "THEIRS"]


def test_exports_are_safe_for_a_shell(files):
    words = [shlex.split(line) for line in exports(files, ENDPOINT, {"no_proxy": "a; rm -rf $HOME"}).splitlines()]

    assert words[0][0] == "unset"
    assert all(len(line) == 2 and line[0] == "export" for line in words[1:])


def test_jobs_get_the_proxy_that_was_there_before(files):
    seen = variables(files, ENDPOINT, {"https_proxy": "http://proxy:1"})

    assert without_proxy(seen)["HTTPS_PROXY"] == "http://proxy:1"
    assert "HTTPS_PROXY" not in without_proxy(variables(files, ENDPOINT, {}))
    assert without_proxy({"HTTPS_PROXY": "http://proxy:1", "A": ""}) == {"HTTPS_PROXY": "http://proxy:1", "A": ""}


def test_address_names_the_endpoint_and_the_password():
    assert Address(endpoint="http://127.0.0.1:1", password="p").url("") == "http://local_mode:p@127.0.0.1:1"
