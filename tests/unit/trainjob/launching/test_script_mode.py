import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from trainjob import environment
from trainjob.environment import JobEnvironment
from trainjob.errors import EntryPointError
from trainjob.launching import script_mode
from trainjob.launching.script_mode import Command


def job(base: Path, **hyperparameters: str) -> JobEnvironment:
    config = base / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    return environment.read({"SAGEMAKER_BASE_DIR": str(base)})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source dir"
    (folder / "lib").mkdir(parents=True)
    (folder / "train.py").write_text("import lib.helper, os; print(lib.helper.NAME, os.getcwd())")
    (folder / "lib" / "helper.py").write_text("NAME = 'helped'")
    return folder


def pack(source: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, ".")
    return archive


def output(command: Command) -> str:
    argv, folder = command.argv, command.folder
    return subprocess.run(
        argv, env=command.environ, cwd=folder, capture_output=True, text=True, timeout=20, check=True
    ).stdout


@pytest.mark.parametrize("form", ["folder", "file://", "tar", "file://tar", "quoted"])
def test_code_is_fetched_from_every_local_form_and_runs_in_its_folder(tmp_path: Path, source: Path, form: str) -> None:
    archive = pack(source, tmp_path / "sourcedir.tar.gz")
    address = {
        "folder": str(source),
        "file://": f"file://{source}",
        "tar": str(archive),
        "file://tar": f"file://{archive}",
        "quoted": json.dumps(str(archive)),
    }[form]
    env = job(tmp_path / "ml", sagemaker_submit_directory=address)
    command = script_mode.prepare(env, "train.py", os.environ)
    assert output(command) == f"helped {env.paths.code}\n"
    assert command.argv == (sys.executable, "train.py")


def test_a_single_script_is_code_too(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("print(1)")
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(tmp_path / "one.py"))
    assert output(script_mode.prepare(env, "one.py", os.environ)) == "1\n"


def test_code_that_is_already_there_is_used_as_it_is(tmp_path: Path, source: Path) -> None:
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(source))
    env.paths.code.mkdir()
    (env.paths.code / "train.py").write_text("print('mounted')")
    assert output(script_mode.prepare(env, "train.py", os.environ)) == "mounted\n"


def test_the_variable_names_the_script_before_the_hyperparameter_does(tmp_path: Path) -> None:
    env = job(tmp_path, sagemaker_program='"a.py"')
    assert script_mode.program(env, {}) == "a.py"
    assert script_mode.program(env, {"SAGEMAKER_PROGRAM": "b.py"}) == "b.py"
    assert script_mode.program(job(tmp_path / "none"), {}) is None


def test_the_script_finds_its_own_folder_first_and_the_variables(tmp_path: Path, source: Path) -> None:
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(source), lr="0.1")
    command = script_mode.prepare(env, "train.py", {"PYTHONPATH": "/other", "SM_MODEL_DIR": "/stale", "MINE": "kept"})
    assert command.environ["PYTHONPATH"] == f"{env.paths.code}{os.pathsep}/other"
    assert command.environ["SM_MODEL_DIR"] == str(env.paths.model)
    assert command.environ["SM_HP_LR"] == "0.1"
    assert command.environ["MINE"] == "kept"
    assert command.environ["PYTHONUNBUFFERED"] == "1"


def test_no_code_at_all_is_told_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(EntryPointError, match="is empty and no code is named; set the hyperparameter sagemaker_submit"):
        script_mode.prepare(job(tmp_path), "train.py", {})


def test_a_script_that_the_code_does_not_hold_is_told_with_what_it_holds(tmp_path: Path, source: Path) -> None:
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(source))
    with pytest.raises(EntryPointError, match=r"holds no 'trian\.py', only: lib, train\.py\."):
        script_mode.prepare(env, "trian.py", {})


def test_a_script_of_an_unknown_kind_is_refused(tmp_path: Path, source: Path) -> None:
    (source / "train.R").touch()
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(source))
    with pytest.raises(EntryPointError, match=r"'train\.R' is neither \.py nor \.sh"):
        script_mode.prepare(env, "train.R", {})


def test_a_source_that_does_not_exist_is_named(tmp_path: Path) -> None:
    env = job(tmp_path / "ml", sagemaker_submit_directory="/no/such.tar.gz")
    with pytest.raises(EntryPointError, match=r"is '/no/such\.tar\.gz', which does not exist here"):
        script_mode.prepare(env, "train.py", {})


def cut(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-30])


def garble(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[40:80] = b"x" * 40
    archive.write_bytes(content)


def not_a_tar(archive: Path) -> None:
    archive.write_text("hello")


def escape(archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("train.py", "../escaped.py"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"1"))


def link_out(archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("train.py")
        member.type, member.linkname = tarfile.SYMTYPE, "../../secret"
        tar.addfile(member)


@pytest.fixture(params=[True, False], ids=["filters", "no filters"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose tarfile has filters, and one from before 3.11.4."""
    if not request.param:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        extract = tarfile.TarFile.extractall
        monkeypatch.setattr(
            tarfile.TarFile,
            "extractall",
            lambda tar, path, members: extract(tar, path, members, filter="fully_trusted"),
        )
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python's tarfile has no filters")


@pytest.mark.usefixtures("python")
def test_an_archive_is_unpacked_by_a_python_of_either_age(tmp_path: Path, source: Path) -> None:
    (source / "alias.py").symlink_to("train.py")
    archive = pack(source, tmp_path / "sourcedir.tar.gz")
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(archive))
    script_mode.prepare(env, "train.py", {})
    assert (env.paths.code / "alias.py").read_text() == (source / "train.py").read_text()


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize("damage", [cut, garble, not_a_tar, escape, link_out])
def test_an_archive_that_is_damaged_or_unsafe_leaves_no_half_of_the_code(
    tmp_path: Path, source: Path, damage: object
) -> None:
    archive = pack(source, tmp_path / "sourcedir.tar.gz")
    assert callable(damage)
    damage(archive)
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(archive))
    with pytest.raises(
        EntryPointError, match=rf"{re.escape(str(archive))} cannot be unpacked: .*make the archive with"
    ):
        script_mode.prepare(env, "train.py", {})
    assert list(env.paths.code.iterdir()) == []
    assert not (tmp_path / "ml" / "escaped.py").exists()


def wheel(folder: Path) -> Path:
    path = folder / "tiny_dependency-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        info = "tiny_dependency-1.0.dist-info"
        archive.writestr("tiny_dependency.py", "WORD = 'installed'")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-dependency\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/RECORD", f"tiny_dependency.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return path


def test_requirements_are_installed_before_the_script_runs(tmp_path: Path, source: Path) -> None:
    wheel(source)
    (source / "requirements.txt").write_text("./tiny_dependency-1.0-py3-none-any.whl\n")
    (source / "train.py").write_text("import tiny_dependency; print(tiny_dependency.WORD)")
    target = tmp_path / "installed"
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(source))
    environ = {**os.environ, "PIP_TARGET": str(target), "PIP_NO_INDEX": "1", "PYTHONPATH": str(target)}
    assert output(script_mode.prepare(env, "train.py", environ)) == "installed\n"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"PIP_NO_INDEX": "1"}, "No matching distribution found for no-such-package-of-ours"),
        ({"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}, "No matching distribution found for no-such"),
    ],
)
def test_requirements_that_cannot_be_had_are_told_with_pips_last_words(
    tmp_path: Path, source: Path, settings: dict[str, str], reason: str
) -> None:
    (source / "requirements.txt").write_text("no-such-package-of-ours==1.0\n")
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(source))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    expected = rf"`pip install -r requirements\.txt` failed .*ERROR: {reason}.* a package index can be reached"
    with pytest.raises(EntryPointError, match=expected):
        script_mode.prepare(env, "train.py", {**environ, "PIP_CONFIG_FILE": os.devnull, **settings})


def test_a_package_runs_as_a_module(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "setup.py").touch()
    (source / "lib" / "train.py").touch()
    monkeypatch.setattr(script_mode, "_install", lambda code, environ, is_package: None)  # would need the build tools
    env = job(tmp_path / "ml", sagemaker_submit_directory=str(source), lr="1")
    command = script_mode.prepare(env, "lib/train.py", os.environ)
    assert command.argv == (sys.executable, "-m", "lib.train", "--lr", "1")


def test_code_on_s3_without_the_toolkit_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sagemaker_training", None)
    env = job(tmp_path / "ml", sagemaker_submit_directory='"s3://bucket/sourcedir.tar.gz"')
    with pytest.raises(EntryPointError, match=r"'s3://bucket/sourcedir\.tar\.gz', .*install sagemaker-training"):
        script_mode.prepare(env, "train.py", {})


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for sagemaker-training's downloader: its bucket is a folder."""
    package = tmp_path / "toolkit" / "sagemaker_training"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    copy = f"shutil.copy({str(tmp_path)!r} + '/' + url.removeprefix('s3://bucket/'), dst)"
    (package / "files.py").write_text(f"import shutil\ndef s3_download(url, dst):\n    {copy}\n")
    for name in ("sagemaker_training", "sagemaker_training.files"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(package.parent)
    return tmp_path


def test_code_on_s3_is_fetched_by_the_toolkit(toolkit: Path, source: Path) -> None:
    pack(source, toolkit / "sourcedir.tar.gz")
    env = job(toolkit / "ml", sagemaker_submit_directory="s3://bucket/sourcedir.tar.gz")
    assert output(script_mode.prepare(env, "train.py", os.environ)).startswith("helped ")


def test_code_on_s3_that_cannot_be_fetched_is_named(toolkit: Path) -> None:
    env = job(toolkit / "ml", sagemaker_submit_directory="s3://bucket/absent.tar.gz")
    with pytest.raises(
        EntryPointError, match=r"s3://bucket/absent\.tar\.gz cannot be fetched: .*No such file.*check the"
    ):
        script_mode.prepare(env, "train.py", {})
    assert list(env.paths.code.iterdir()) == []
