"""One thing looked at: whether it is well, what was seen, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    level: str
    """One of OK, WARN, FAIL; a job with a FAIL will not do what was meant."""
    what: str
    seen: str
    """The value that was seen."""
    advice: str = ""
    """What to do; empty when all is well."""

    def __str__(self) -> str:
        return f"{self.level:<4}  {self.what}: {self.seen}{f' - {self.advice}' if self.advice else ''}"


def ok(what: str, seen: str) -> Finding:
    """All is well."""
    return Finding(level=OK, what=what, seen=seen)


def warn(what: str, seen: str, advice: str) -> Finding:
    """It may be meant so, but often is not."""
    return Finding(level=WARN, what=what, seen=seen, advice=advice)


def fail(what: str, seen: str, advice: str) -> Finding:
    """A job will fail, or not do what was meant."""
    return Finding(level=FAIL, what=what, seen=seen, advice=advice)


def has_failed(findings: Iterable[Finding]) -> bool:
    """Whether anything must be mended before a job can run."""
    return any(finding.level == FAIL for finding in findings)
