"""ECR's scan of an image: waited for, and held against a threshold, but for what a person has looked at."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.publishing.allowlist import Allowance
from scripts.publishing.aws import told
from scripts.publishing.errors import PublishError

SEVERITIES = ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""Lowest first; ECR has UNDEFINED and UNTRIAGED beside them, for what nobody has judged yet."""
NEVER = "never"
"""In place of a severity: the scan is not waited for."""
_UNDER_WAY = ("PENDING", "IN_PROGRESS")
_LOOKED_AT = ("COMPLETE", "ACTIVE")
"""The latter in registries with enhanced scanning, which never ends."""
_LOOK_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One vulnerability of one package."""

    id: str
    """As in: CVE-2026-1234."""
    severity: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.severity} {self.id} in {self.package or 'an unnamed package'} {self.version}".strip()


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Asks ECR about one image."""

    client: Any
    account: str
    repository: str
    digest: str
    seconds: float = 900.0
    """How long the findings are waited for."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def start(self) -> None:
        """Have the image looked at, where that does not happen by itself; a scan of today is one.

        Raises:
            PublishError: AWS refuses.
        """
        with told("ecr", f"the repository {self.repository}"):
            try:
                self.client.start_image_scan(**self._place())
            except self.client.exceptions.LimitExceededException:
                return

    def findings(self) -> list[Finding]:
        """All that was found.

        Raises:
            PublishError: the image was not looked at, or not in time.
        """
        deadline = self.clock() + self.seconds
        while True:
            status, why = self._status()
            if status in _LOOKED_AT:
                return list(self._read())
            if status not in _UNDER_WAY:
                raise PublishError(
                    f"ECR does not scan '{self.repository}@{self.digest}': {status} ({why}); the image is "
                    "pushed, but not handed on. To do without a scan: FAIL_ON=never"
                )
            if self.clock() >= deadline:
                raise PublishError(
                    f"ECR has not scanned '{self.repository}@{self.digest}' within {self.seconds:g} s ({status}); "
                    "push again, which uploads nothing and waits once more"
                )
            self.sleep(_LOOK_SECONDS)

    def _place(self) -> dict[str, Any]:
        return {"registryId": self.account, "repositoryName": self.repository, "imageId": {"imageDigest": self.digest}}

    def _status(self) -> tuple[str, str]:
        with told("ecr", f"the repository {self.repository}"):
            try:
                answer = self.client.describe_image_scan_findings(**self._place(), maxResults=1)
            except self.client.exceptions.ScanNotFoundException:
                return "PENDING", "the scan has not begun"
        status = answer.get("imageScanStatus", {})
        return status.get("status", "PENDING"), status.get("description", "no reason given")

    def _read(self) -> Iterator[Finding]:
        with told("ecr", f"the repository {self.repository}"):
            for page in self.client.get_paginator("describe_image_scan_findings").paginate(**self._place()):
                found = page.get("imageScanFindings", {})
                yield from map(_basic, found.get("findings", ()))
                for each in found.get("enhancedFindings", ()):
                    yield from _enhanced(each)


def _basic(found: dict[str, Any]) -> Finding:
    said = {each["key"]: each.get("value", "") for each in found.get("attributes", ())}
    package, version = said.get("package_name", ""), said.get("package_version", "")
    return Finding(id=found["name"], severity=found["severity"], package=package, version=version)


def _enhanced(found: dict[str, Any]) -> Iterator[Finding]:
    if found.get("status", "ACTIVE") != "ACTIVE":
        return  # suppressed by a rule of the registry's owner, or closed
    details = found.get("packageVulnerabilityDetails", {})
    packages: Sequence[dict[str, Any]] = details.get("vulnerablePackages") or ({},)
    for each in packages:
        yield Finding(
            id=details.get("vulnerabilityId", found.get("title", "unnamed")),
            severity=found.get("severity", "UNTRIAGED"),
            package=each.get("name", ""),
            version=each.get("version", ""),
        )


def judge(found: Iterable[Finding], fail_on: str, allowed: Sequence[Allowance], say: Callable[[str], None]) -> None:
    """Let pass what is less severe than `fail_on`, or allowed; tells what was allowed, and which allowances are idle.

    Raises:
        PublishError: more was found; with a line for each.
    """
    severe = SEVERITIES[SEVERITIES.index(fail_on) :]
    found = list(found)
    over = sorted(
        {each for each in found if each.severity in severe},
        key=lambda each: (-SEVERITIES.index(each.severity), str(each)),
    )
    used = {each: allowance for each in over for allowance in allowed if allowance.covers(each.id, each.package)}
    for each, allowance in used.items():
        say(f"allowed until {allowance.until}: {each}: {allowance.reason}")
    for allowance in allowed:
        if allowance not in used.values():
            say(f"{allowance.id} is allowed until {allowance.until}, and was not found at {fail_on} or above")
    if left := [each for each in over if each not in used]:
        raise PublishError(
            f"ECR found {len(left)} vulnerabilities of severity {fail_on} or above; the image is pushed, but "
            f"not handed on: {'; '.join(map(str, left))}. Update these packages, or allow each for a while in "
            "the allowlist"
        )
    allowed_here = (
        f"{len(over)} of severity {fail_on} or above, all allowed" if over else f"none of severity {fail_on} or above"
    )
    say(f"scanned: {len(found)} findings, {allowed_here}")
