"""Known vulnerabilities of the images' locks: `python scripts/audit_locks.py`; 1 some, 2 nobody could be asked."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.images import audit, junit
from scripts.images.entry import ROOT, ImageError, read_image, read_images
from scripts.publishing import allowlist
from scripts.publishing.errors import PublishError

VULNERABLE, NOT_AUDITED = 1, 2


def _case(framework: str, found: audit.Audit) -> junit.Case:
    problems = [*found.vulnerable, *(f"not looked at: {line}" for line in found.not_looked_at)]
    return junit.Case(
        name=f"{framework}: no known vulnerability in what is locked",
        problem="\n".join(problems),
        said="\n".join([f"{found.looked_at} packages", *found.waived]),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prints what was found, and writes it as a test's result."""
    parser = argparse.ArgumentParser(description="Look for known vulnerabilities in what the images' locks pin.")
    parser.add_argument("framework", nargs="*", help="entries of images.json; without one, all")
    parser.add_argument("--service", default="", help="query address of an OSV API in place of the public one")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", help="folder for the report as JUnit's XML")
    given = parser.parse_args(argv)
    cases, code = [], 0
    try:
        images = [read_image(name) for name in given.framework] or list(read_images().values())
        allowed = allowlist.read(allowlist.PLACE, datetime.now(UTC).date())
        for image in images:
            lock = image.folder / "requirements.lock"
            found = audit.run(lock, allowed=allowed, service=given.service)
            cases.append(_case(image.framework, found))
            print(f"{image.framework}: {found.looked_at} packages, {len(found.vulnerable)} vulnerabilities")
            for line in (*found.vulnerable, *found.waived, *found.not_looked_at):
                print(f"  {line}")
            code = max(code, VULNERABLE if found.vulnerable else 0, NOT_AUDITED if found.not_looked_at else 0)
    except (ImageError, PublishError) as error:
        print(f"audit_locks: {error}", file=sys.stderr)
        cases.append(junit.Case(name="locks are audited", problem=str(error)))
        code = NOT_AUDITED
    junit.write(given.reports / "junit" / "audit.xml", "vulnerabilities", cases)
    return code


if __name__ == "__main__":
    sys.exit(main())
