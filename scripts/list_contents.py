"""The bill of materials of a built image, and its licences: `python scripts/list_contents.py pytorch`."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.images import engine, inventory, junit, sbom
from scripts.images.entry import ROOT, Image, ImageError, read_image

SECONDS = 120
OWN_TOOLS = ("pip",)
"""What every virtual environment begins with, in the version that Debian's Python brings."""


def take_inventory(name: str) -> dict[str, Any]:
    """What is installed in an image, as its own Python and dpkg say.

    Raises:
        ImageError: They do not say.
    """
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", name, "python", "-"]
    program = Path(inventory.__file__).read_bytes()
    done = subprocess.run(command, input=program, check=False, capture_output=True, timeout=SECONDS)
    if done.returncode != 0:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise ImageError(f"Nothing can be run in {name} ({said}); build it anew")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def examine(image: Image, document: str, found: dict[str, Any]) -> list[junit.Case]:
    """What has to hold of a bill."""
    unlisted = sbom.unlisted((image.folder / "requirements.lock").read_text(), found, OWN_TOOLS)
    return [
        junit.Case(name="bill of materials is a CycloneDX document", problem=sbom.problem(document)),
        junit.Case(
            name="every Python package is in the lock",
            problem=f"not in requirements.lock: {', '.join(unlisted)}" if unlisted else "",
        ),
        junit.Case(name="licences are listed", said="\n".join(sbom.licences(found))),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes both, and says where."""
    parser = argparse.ArgumentParser(description="Write the bill of materials of a built image, and its licences.")
    parser.add_argument("framework", help="an entry of images.json, as in: pytorch")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", help="folder to write into")
    given = parser.parse_args(argv)
    try:
        image = read_image(given.framework)
        engine.check_engine()
        inspected = engine.built(image.name(), image.framework)
        found = take_inventory(inspected["Id"])
    except ImageError as error:
        print(f"list_contents: {error}", file=sys.stderr)
        return 2
    document = sbom.document(sbom.Subject.of(image.name(), inspected), found)
    cases = examine(image, document, found)
    bill, licences = (given.reports / f"{image.framework}{ending}" for ending in (".cdx.json", "-licences.txt"))
    junit.write(given.reports / "junit" / f"contents-{image.framework}.xml", "image contents", cases)
    bill.write_text(document)
    licences.write_text("\n".join(sbom.licences(found)) + "\n")
    print(f"{len(found['distributions'])} Python and {len(found['packages'])} Debian packages: {bill}, {licences}")
    for case in cases:
        if case.problem:
            print(f"list_contents: {case.name}: no, {case.problem}", file=sys.stderr)
    return 1 if any(case.problem for case in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
