"""Parts of the process runner: stand-ins, overlay, sandbox options, leftovers, and what comes out of archives."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import APIError, NotFound

from local_mode.errors import RunnerError, StandInError
from local_mode.runners import bubblewrap, docker, docker_network, leftovers, namespace, tether
from local_mode.runners.choose import choose
from local_mode.runners.overlay import Overlay, make_overlay
from local_mode.runners.process import ProcessRunner, remove_leftovers
from local_mode.runners.protocol import ChannelMount, Launch, Network, mark
from local_mode.runners.stand_in import StandIn, find, read_stand_ins
from local_mode.runners.unpacking import unpack


def launch(folder, **fields):
    return Launch(
        job_name="job", image="image:1", job_folder=folder, opt_ml=folder / "scratch/algo-1/opt_ml",
        host="algo-1", network=Network(hosts=("algo-1",)), environment={}, shm_bytes=1 << 20, **fields,
    )  # fmt: skip


def stand_in(*python_path):
    return StandIn(
        interpreter=Path(sys.executable), python_path=tuple(map(Path, python_path)), environment={}, train=("-m", "x")
    )


@pytest.mark.parametrize(
    ("entrypoint", "arguments", "expected"),
    [
        (None, None, ("train",)),
        (("e", "f"), None, ("e", "f")),
        (None, ("a",), ("a",)),
        (("e",), ("a", "b"), ("e", "a", "b")),
    ],
)
def test_command_follows_the_contracts_table(tmp_path, entrypoint, arguments, expected):
    assert launch(tmp_path, entrypoint=entrypoint, arguments=arguments).command == expected


def test_stand_ins_are_read_by_image(tmp_path):
    entry = {"interpreter": sys.executable, "python_path": ["lib"], "environment": {"A": "1"}, "train": ["-m", "x"]}
    (tmp_path / "s.json").write_text(json.dumps({"image:1": entry, "image:2": {"interpreter": "/p", "train": []}}))
    read = read_stand_ins(tmp_path / "s.json")

    assert find(read, "image:1").train == ("-m", "x")
    assert read["image:1"].python_path == (Path.cwd() / "lib",)
    with pytest.raises(StandInError, match="image 'image:2' has the interpreter '/p', which is not"):
        find(read, "image:2")
    with pytest.raises(StandInError, match=r"No stand-in for image 'image:3' \(known: image:1, image:2\)"):
        find(read, "image:3")
    with pytest.raises(StandInError, match="nor in Docker: no engine answers; build or pull the image, or name a file"):
        find(read, "image:3", why_no_docker="no engine answers")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Cannot read stand-ins from .*s.json"),
        ("[]", "holds a list; it must be an object"),
        ('{"i": []}', r"stand-in for 'i' has \[\]; it needs interpreter and train"),
        ('{"i": {"interpreter": "/p"}}', "it needs interpreter and train"),
        ('{"i": {"interpreter": "/p", "train": [1]}}', r"train is \[1\]; it must be a list of strings"),
        ('{"i": {"interpreter": "/p", "train": [], "extra": 1}}', "has .*'extra'"),
    ],
)
def test_malformed_stand_ins_are_refused(tmp_path, text, message):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(StandInError, match=message):
        read_stand_ins(tmp_path / "s.json")


def test_overlay_sees_the_stand_ins_packages_and_is_writable_itself(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "only_here.py").write_text("")
    overlay = make_overlay(stand_in(tmp_path / "lib"), tmp_path / "venv")
    code = "import only_here, pytest, sys, sysconfig; print(sys.prefix, sysconfig.get_path('purelib'))"
    out = subprocess.run([overlay.python, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout

    prefix, purelib = out.split()
    assert prefix == str(tmp_path / "venv")
    assert Path(purelib).is_relative_to(tmp_path / "venv")
    assert tmp_path / "lib" in overlay.needs


def test_interpreter_that_does_not_work_is_the_users_error(tmp_path):
    broken = StandIn(interpreter=Path("/bin/false"), python_path=(), environment={}, train=())
    with pytest.raises(RunnerError, match="/bin/false cannot make a venv: no message"):
        make_overlay(broken, tmp_path / "venv")


def sandbox(folder, **fields):
    needs = (Path("/usr"), folder, folder / "bin")
    overlay = Overlay(folder=folder / "venv", needs=needs, parent_bin=Path("/usr/bin"))
    return " ".join(bubblewrap.options(launch(folder, **fields), overlay, info_fd=9))


def test_sandbox_mounts_channels_read_only_at_their_real_place(tmp_path):
    command = sandbox(tmp_path, mounts=(ChannelMount(channel="train", source=Path("/data/train")),))

    assert "--ro-bind /data/train /opt/ml/input/data/train" in command
    assert f"--ro-bind {tmp_path}/scratch/algo-1/opt_ml/input/data /opt/ml/input/data " in command
    assert f"--bind {tmp_path}/scratch/algo-1/tmp /tmp" in command
    assert "--unshare-net" not in command


def test_sandbox_has_no_network_when_isolated(tmp_path):
    assert "--unshare-net" in sandbox(tmp_path, network_isolation=True)


def test_sandbox_shows_what_it_needs_of_hidden_folders_only_and_once():
    folder = Path("/tmp/some/place")
    command = sandbox(folder)

    assert f"--ro-bind-try {folder} {folder} " in command
    assert f"--ro-bind-try {folder}/bin" not in command
    assert "--ro-bind-try /usr" not in command


def test_missing_bubblewrap_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert bubblewrap.why_not() == "bubblewrap is not installed"


def test_bubblewrap_that_fails_is_quoted(tmp_path, monkeypatch):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'no permissions to create namespace' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap.why_not() == "bubblewrap does not work here: no permissions to create namespace"


def test_processes_are_found_by_their_exact_mark_and_no_others(tmp_path):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(sleep, env=mark(tmp_path / "job"))
    other = subprocess.Popen(sleep, env={**mark(tmp_path / "job-2"), "PWD": str(tmp_path / "job")})
    temporary = leftovers.temporary_folder(tmp_path / "job")
    temporary.mkdir()
    (temporary / "file").touch()
    time.sleep(0.1)
    remove_leftovers(tmp_path / "job")

    assert ours.wait(10) == -9
    assert other.poll() is None
    assert not temporary.exists()
    other.kill()
    other.wait()


def test_tethered_program_dies_with_its_parent(tmp_path):
    code = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, {tether.__file__!r}, str(os.getpid()), 'sleep', '60'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 10
    while b"sleep\x0060" not in Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parent.kill()
    parent.communicate()
    while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_tether_says_what_it_cannot_start():
    argv = [sys.executable, tether.__file__, str(os.getpid()), "no-such-program"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)

    assert (done.returncode, done.stderr) == (127, "cannot start 'no-such-program': No such file or directory\n")


def archive(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, value in members:
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.mode = kind, 0, 0o600
            if kind == tarfile.REGTYPE:
                member.size = len(value)
                tar.addfile(member, io.BytesIO(value))
            else:
                member.linkname = value
                tar.addfile(member)
    data = buffer.getvalue()
    return [data[start : start + 100] for start in range(0, len(data), 100)]


def test_archive_of_an_engine_cannot_leave_its_folder(tmp_path):
    chunks = archive(
        ("model", tarfile.DIRTYPE, ""),
        ("model/w", tarfile.REGTYPE, b"weights" * 100),
        ("model/good", tarfile.SYMTYPE, "../model/w"),
        ("model/same", tarfile.LNKTYPE, "model/w"),
        ("model/out", tarfile.SYMTYPE, "../../x"),
        ("model/root", tarfile.SYMTYPE, "/etc"),
        ("model/hard", tarfile.LNKTYPE, "../x"),
        ("model/fifo", tarfile.FIFOTYPE, ""),
        ("../up", tarfile.REGTYPE, b"x"),
        ("/abs", tarfile.REGTYPE, b"x"),
    )
    (tmp_path / "in").mkdir()
    unpack(chunks, tmp_path / "in")

    model = tmp_path / "in" / "model"
    assert sorted(path.name for path in model.iterdir()) == ["good", "same", "w"]
    assert (model / "good").read_bytes() == b"weights" * 100
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


class Engine:
    """Stands in for a Docker runner that has some images."""

    def __init__(self, *images):
        self.images = images

    def has_image(self, image):
        return image in self.images


def chosen(runtime, engine, reason=""):
    return choose(runtime, image="image:1", stand_ins={}, caller={}, connect=lambda _: (engine, reason))


def test_auto_takes_docker_where_an_engine_has_the_image():
    engine = Engine("image:1")
    assert chosen("auto", engine) == (engine, "runs in Docker: an engine answers and has the image image:1")


@pytest.mark.parametrize(
    ("engine", "reason", "why"),
    [
        (None, "no Docker engine answers", "no Docker engine answers"),
        (Engine(), "", "the Docker engine has no image 'image:1'"),
    ],
)
def test_auto_takes_a_process_elsewhere_and_says_why(engine, reason, why):
    runner, sentence = chosen("auto", engine, reason)

    assert runner.name == "process"
    assert why in sentence


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            PermissionError,
            "this user may not open the Docker engine's socket /run/d.sock (members of the group docker may)",
        ),
        (ConnectionRefusedError, "no Docker engine answers"),
    ],
)
def test_engine_out_of_reach_is_told_from_one_that_is_closed_to_this_user(monkeypatch, error, reason):
    def refuse(*_):
        raise error

    monkeypatch.setattr(docker.socket.socket, "connect", refuse)

    assert docker.connect({"DOCKER_HOST": "unix:///run/d.sock"}) == (None, reason)


def test_docker_asked_for_and_absent_is_refused():
    with pytest.raises(RunnerError, match="is docker, but no Docker engine answers; see to that, or take"):
        chosen("docker", None, "no Docker engine answers")


def test_isolated_hosts_need_a_program_that_enters_their_network(monkeypatch):
    runner = ProcessRunner(stand_ins={"image:1": stand_in()}, caller={}, why_plain="")
    monkeypatch.setattr(namespace.shutil, "which", lambda _: None)
    with pytest.raises(RunnerError, match=r"the job has 2 hosts, but nsenter \(of util-linux\) is not installed"):
        runner.check(image="image:1", network_isolation=True, pipes=False, hosts=2)

    runner.check(image="image:1", network_isolation=True, pipes=False, hosts=1)


def test_network_that_cannot_be_made_says_why_and_leaves_no_process(tmp_path):
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho bwrap: no permission\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(RunnerError, match="makes no network for several hosts: bwrap: no permission; use --runtime"):
        namespace.Namespace({"PATH": f"{tmp_path}:/usr/bin:/bin", **mark(tmp_path)})

    assert leftovers._carriers({f"LOCAL_MODE_JOB={tmp_path}".encode()}) == []


def test_network_that_the_engine_refuses_is_told_with_its_reason(tmp_path):
    def refuse(*_, **__):
        raise APIError("refused", explanation="all predefined address pools have been fully used")

    client = SimpleNamespace(networks=SimpleNamespace(create=refuse))
    with pytest.raises(RunnerError, match="makes no network for 2 hosts: all predefined address pools have been"):
        docker.DockerRunner(client).connect(tmp_path, ("algo-1", "algo-2"), isolated=False)


def test_network_is_removed_as_soon_as_the_engine_lets_it_go():
    answers = [APIError("has active endpoints"), NotFound("gone")]

    def remove():
        raise answers.pop(0)

    docker_network.remove_network(SimpleNamespace(remove=remove))

    assert answers == []


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}], "172.17.0.1"),
        ([{"Subnet": "172.17.0.0/16"}], "172.17.0.1"),  # of an engine that started for the first time
        ([{"Subnet": "10.9.8.1/24"}], "10.9.8.1"),
        (
            [{"Subnet": "fd00::/80", "Gateway": "fd00::1"}, {"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.9/24"}],
            "10.0.0.9",
        ),
        ([{"Subnet": "fd00::/80"}], ""),
        (None, ""),
    ],
)
def test_address_of_this_machine_on_a_bridge_is_the_gateway_or_the_first_of_its_subnet(config, address):
    assert docker_network.gateway_of(SimpleNamespace(attrs={"IPAM": {"Config": config}})) == address
