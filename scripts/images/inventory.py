"""What is installed where this runs, as JSON: `docker run -i IMAGE python - < inventory.py`. Standard library only."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

COPYRIGHTS = Path("/usr/share/doc")
DPKG_FIELDS = ("Package", "Version", "Architecture", "source:Package")


def distributions() -> list[dict[str, Any]]:
    """Python's packages: name, version, licence as the package states it, address."""
    found = []
    for distribution in metadata.distributions():
        told = distribution.metadata
        classifiers = told.get_all("Classifier") or []
        licences = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
        found.append(
            {
                "name": told["Name"],
                "version": distribution.version,
                "expression": told.get("License-Expression") or "",
                "licences": licences or _short(told.get("License") or ""),
                "address": told.get("Home-page") or "",
            }
        )
    return sorted(found, key=lambda entry: str(entry["name"]).lower())


def packages() -> list[dict[str, Any]]:
    """Debian's packages; their licences where the image has kept the files that state them."""
    layout = "\t".join(f"${{{field}}}" for field in DPKG_FIELDS) + "\n"
    done = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={layout}"], check=True, capture_output=True, text=True, timeout=60
    )
    found = []
    for line in done.stdout.splitlines():
        name, version, architecture, source = line.split("\t")
        entry = {"name": name, "version": version, "architecture": architecture, "source": source}
        found.append({**entry, "licences": stated(COPYRIGHTS / name / "copyright")})
    return found


def stated(path: Path) -> list[str]:
    """The licences that a Debian copyright file names, if it is of the form that machines read."""
    if not path.is_file():
        return []
    names = re.findall(r"^License:[ \t]*(\S.*)$", path.read_text(errors="replace"), re.MULTILINE)
    return sorted(set(names))


def _short(text: str) -> list[str]:
    """A licence's name; some packages put the whole text where the name belongs, and then its first line has to do."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[:1]


if __name__ == "__main__":
    json.dump({"distributions": distributions(), "packages": packages(), "python": sys.version.split()[0]}, sys.stdout)
