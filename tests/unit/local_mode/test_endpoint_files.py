import os
import shlex
import subprocess
import sys

import pytest

from local_mode.endpoint import Endpoint, Files, access_key, find, hold, publish
from local_mode.errors import LocalModeError
from local_mode.shell import exports

HERE = Endpoint(pid=os.getpid(), url="http://127.0.0.1:1", region="eu-west-1", access_key="ID", secret="s'ecret $x")


@pytest.fixture
def files(tmp_path):
    return Files(root=tmp_path / "root")


def test_endpoint_is_found_while_its_owner_holds_the_folder(files):
    held = hold(files)
    publish(files, HERE)

    assert find(files) == HERE
    with pytest.raises(LocalModeError, match="An endpoint runs in"):
        hold(files)
    os.close(held)
    with pytest.raises(LocalModeError, match="No endpoint runs in"):  # though its file is there still
        find(files)


def test_file_of_a_killed_endpoint_is_not_taken_for_the_next_ones(files):
    os.close(hold(files))
    publish(files, HERE)
    held = hold(files)

    with pytest.raises(LocalModeError, match="No endpoint runs in"):  # it has not said yet where it is
        find(files)
    os.close(held)


def test_key_is_random_and_stays(files):
    files.root.mkdir()
    first = access_key(files)

    assert access_key(files) == first
    files.key.write_text("{")
    assert access_key(files) != first
    assert files.key.stat().st_mode & 0o777 == 0o600


def test_exports_are_quoted_for_a_shell(files):
    files.root.mkdir()
    files.authority.write_text("OURS")
    lines = exports(files, HERE, {"no_proxy": "a,localhost"}).splitlines()

    assert "unset" in lines[0]
    assert "AWS_SESSION_TOKEN" in lines[0]
    values = dict(word.split("=", 1) for line in lines[1:] for word in shlex.split(line)[1:])
    assert values["AWS_SECRET_ACCESS_KEY"] == "s'ecret $x"
    assert values["NO_PROXY"] == "127.0.0.1,localhost,a"


WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['moto', 'boto3', 'botocore', 'werkzeug', 'flask']))\n"


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_train_does_without_what_the_endpoint_needs():
    done = run("import local_mode.__main__, local_mode.channels.feeder")

    assert (done.returncode, done.stderr) == (0, "")


def test_serve_says_what_is_not_installed_and_how_to_install_it(tmp_path):
    done = run("from local_mode.__main__ import main; sys.exit(main(sys.argv[1:]))", "serve", "--root", str(tmp_path))

    assert done.returncode == 1
    assert "which is not installed: `make local-up` installs it" in done.stderr
    assert "Traceback" not in done.stderr
