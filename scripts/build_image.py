"""Builds an image of images.json with BuildKit: `python scripts/build_image.py pytorch`."""

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCAL_TAG = "dev"
"""Moves with every build on this machine; never pushed."""
DEFAULT_TARGET = "runtime"
PROBE_SECONDS = 30
ON_DEBIAN = "or on a bare Debian run .ci/docker_engine as root"


class BuildError(Exception):
    """The image cannot be built, for a reason that the person who typed the command can remove."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One entry of images.json. It is not the built image: that is what `name` points to."""

    framework: str
    folder: Path
    repository: str
    base: str

    def name(self, tag: str = LOCAL_TAG) -> str:
        """What to type after `docker run`."""
        return f"{self.repository}:{tag}"


def read_image(framework: str, root: Path = ROOT) -> Image:
    """The entry of images.json for a framework.

    Raises:
        BuildError: images.json has no such entry.
    """
    images = json.loads((root / "images.json").read_text())
    if framework not in images:
        nearest = get_close_matches(framework, images, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise BuildError(f"There is no image '{framework}' in images.json, which lists {', '.join(images)}{hint}")
    entry = images[framework]
    return Image(framework=framework, folder=root / entry["folder"], repository=entry["repository"], base=entry["base"])


def image_name(framework: str) -> str:
    """The name under which this machine's newest build of a framework's image is found: `<repository>:dev`."""
    return read_image(framework).name()


def read_version(root: Path = ROOT) -> str:
    """The project's version, as pyproject.toml states it."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def read_revision(root: Path = ROOT) -> str:
    """The commit that is being built, with `-dirty` where the tree is not that commit; `unknown` outside git."""
    try:
        status = _output(["git", "-C", str(root), "status", "--porcelain"])
        commit = _output(["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"])
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit}-dirty" if status else commit


def build_command(
    image: Image,
    *,
    tags: Sequence[str],
    arguments: Mapping[str, str],
    options: Sequence[str] = (),
    context: Path | None = None,
) -> list[str]:
    """The `docker buildx build` call for an image, as argv.

    Args:
        image: what to build.
        tags: under which tags of its repository it shall lie in the engine.
        arguments: the Dockerfile's VERSION and REVISION, for the labels.
        options: more of the command's own options.
        context: stands in for the folder `containers/`, as a copy of it may.
    """
    context = context or image.folder.parent
    command = ["docker", "buildx", "build", "--load", "--file", str(context / image.folder.name / "Dockerfile")]
    for name, value in {"BASE": image.base, **arguments}.items():
        command += ["--build-arg", f"{name}={value}"]
    for tag in tags:
        command += ["--tag", image.name(tag)]
    return [*command, *options, str(context)]


def check_engine() -> None:
    """Raises BuildError unless a Docker Engine answers."""
    if shutil.which("docker") is None:
        raise BuildError(f"There is no 'docker' on PATH; install Docker, {ON_DEBIAN}")
    _probe(["docker", "version", "--format", "{{.Server.Version}}"], "No Docker Engine answers", "start it")


def check_buildx() -> None:
    """Raises BuildError unless the docker client has buildx, which the Dockerfiles' cache mounts need."""
    _probe(["docker", "buildx", "version"], "The docker client has no buildx", "install the docker-buildx plugin")


def _probe(command: Sequence[str], problem: str, remedy: str) -> None:
    try:
        _output(command)
    except subprocess.TimeoutExpired as error:
        said = f"'{' '.join(command)}' took over {PROBE_SECONDS} s"
        raise BuildError(f"{problem} ({said}); {remedy}, {ON_DEBIAN}") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise BuildError(f"{problem} ({said}); {remedy}, {ON_DEBIAN}") from error


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PROBE_SECONDS).stdout.strip()


def _secret_options(files: Mapping[str, Path | None]) -> list[str]:
    options = []
    for secret, path in files.items():
        if path and not path.is_file():
            raise BuildError(f"There is no file '{path}'; give the path of a file that the build may read")
        if path:
            options += ["--secret", f"id={secret},src={path}"]
    return options


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build a training image on this machine.")
    parser.add_argument("framework", help="an entry of images.json, as in: pytorch")
    parser.add_argument("--target", default=DEFAULT_TARGET, help="stage of the Dockerfile (runtime, compile)")
    parser.add_argument("--pip-conf", type=Path, metavar="FILE", help="pip.conf of a private package index")
    parser.add_argument("--ca-bundle", type=Path, metavar="FILE", help="certificates to trust during the build")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Builds the image and says under which names it lies."""
    given = _parse(argv)
    try:
        image = read_image(given.framework)
        options = _secret_options({"pip_conf": given.pip_conf, "ca_bundle": given.ca_bundle})
        check_engine()
        check_buildx()
        labels = {"VERSION": read_version(), "REVISION": read_revision()}
        # Another stage is another image: it must not take the place of the one that ships.
        suffix = "" if given.target == DEFAULT_TARGET else f"-{given.target}"
        tags = [labels["VERSION"] + suffix, LOCAL_TAG + suffix]
        options += ["--target", given.target]
        subprocess.run(build_command(image, tags=tags, arguments=labels, options=options), check=True)
    except BuildError as error:
        print(f"build_image: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode  # BuildKit has said what was wrong
    print("built", " ".join(image.name(tag) for tag in tags))
    return 0


if __name__ == "__main__":
    sys.exit(main())
