"""Known vulnerabilities of what a lock pins, by pip-audit: never a pass for what nobody looked at."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.images.entry import ImageError
from scripts.publishing.allowlist import Allowance

SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What came of it. It is not a pass unless all was looked at."""

    looked_at: int
    vulnerable: Sequence[str]
    """A line for each vulnerability that counts."""
    waived: Sequence[str]
    not_looked_at: Sequence[str]


def run(lock: Path, *, allowed: Sequence[Allowance], service: str = "") -> Audit:
    """Asks a service about every package of a lock, whichever platform it is for.

    Args:
        lock: of exact versions.
        allowed: what may be, as scans of pushed images go by, too.
        service: address of an OSV API in place of the public one.

    Raises:
        ImageError: No service answers.
    """
    pinned = re.findall(r"^([A-Za-z0-9._-]+==[^\s;\\]+)", lock.read_text(), re.MULTILINE)
    if not pinned:
        raise ImageError(f"There is nothing to audit in {lock}; give a lock, as `make lock` writes it")
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "requirements.txt"
        listed.write_text("\n".join(pinned) + "\n")
        answer = _ask(listed, service)
    return judge(answer, len(pinned), allowed)


def judge(answer: Mapping[str, Any], asked: int, allowed: Sequence[Allowance]) -> Audit:
    """What pip-audit's JSON amounts to."""
    entries = answer["dependencies"]
    skipped = [f"{entry['name']}: {entry['skip_reason']}" for entry in entries if "skip_reason" in entry]
    if len(entries) != asked:
        skipped.append(f"{asked} packages are pinned, and the answer is about {len(entries)}")
    vulnerable, waived = [], []
    for entry in entries:
        for found in entry.get("vulns", []):
            names = [found["id"], *found.get("aliases", [])]
            reasons = [each for each in allowed if any(each.covers(name, entry["name"]) for name in names)]
            line = f"{entry['name']} {entry['version']}: {found['id']}, mended in {_mended(found)}"
            if reasons:
                waived.append(f"{line}; until {reasons[0].until}: {reasons[0].reason}")
            else:
                vulnerable.append(line)
    return Audit(looked_at=len(entries) - len(skipped), vulnerable=vulnerable, waived=waived, not_looked_at=skipped)


def _ask(listed: Path, service: str) -> Mapping[str, Any]:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(listed), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--vulnerability-service", "osv"]
    command += ["--osv-url", service] if service else []
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"The vulnerability service took over {SECONDS} s; {_REMEDY}") from error
    # Its exit code is 1 for vulnerabilities found and for failures alike; only the former come with an answer.
    try:
        answer: Mapping[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ImageError(f"No vulnerability service answers ({said}); nothing was audited: {_REMEDY}") from error
    return answer


_REMEDY = (
    "audit where one is in reach, behind HTTPS_PROXY if need be, or give AUDIT_URL, the query address of an OSV API"
)


def _mended(found: Mapping[str, Any]) -> str:
    return ", ".join(found.get("fix_versions") or []) or "no version yet"
