"""ECR's scan: waited for, and judged."""

from datetime import date

import boto3
import pytest
from botocore.stub import Stubber

from scripts.publishing.allowlist import Allowance
from scripts.publishing.errors import PublishError
from scripts.publishing.findings import Finding, Scan, judge

DIGEST = "sha256:" + "1" * 64
PLACE = {"registryId": "111122223333", "repositoryName": "images/a", "imageId": {"imageDigest": DIGEST}}
BASIC = {
    "name": "CVE-2026-1",
    "severity": "HIGH",
    "attributes": [{"key": "package_name", "value": "zlib"}, {"key": "package_version", "value": "1.3"}],
}
ENHANCED = {
    "severity": "CRITICAL",
    "status": "ACTIVE",
    "packageVulnerabilityDetails": {
        "vulnerabilityId": "CVE-2026-2",
        "vulnerablePackages": [{"name": "openssl", "version": "3"}, {"name": "libssl3", "version": "3"}],
    },
}


def finding(identity, severity, package="zlib"):
    return Finding(id=identity, severity=severity, package=package, version="1.3")


class Asked:
    """A scan on a clock of its own."""

    def __init__(self, client, seconds=60.0):
        self.now, self.waits = 0.0, []
        self.scan = Scan(
            client=client, account="111122223333", repository="images/a", digest=DIGEST, seconds=seconds,
            clock=lambda: self.now, sleep=self.sleep,
        )  # fmt: skip

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def client():
    return boto3.client("ecr", region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s")


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def answer(stub, status, *, description="as it is", asked=None, **more):
    document = {"imageScanStatus": {"status": status, "description": description}, **more}
    stub.add_response("describe_image_scan_findings", document, asked or {**PLACE, "maxResults": 1})


def test_findings_are_waited_for_and_read_to_the_last_page(client, stub):
    asked = Asked(client)
    stub.add_client_error("describe_image_scan_findings", "ScanNotFoundException")
    answer(stub, "PENDING")
    answer(stub, "IN_PROGRESS")
    answer(stub, "COMPLETE")
    answer(stub, "COMPLETE", asked=PLACE, imageScanFindings={"findings": [BASIC]}, nextToken="more")
    answer(
        stub, "COMPLETE", asked={**PLACE, "nextToken": "more"}, imageScanFindings={"findings": [BASIC | {"name": "x"}]}
    )

    assert asked.scan.findings() == [finding("CVE-2026-1", "HIGH"), finding("x", "HIGH")]
    assert asked.waits == [5.0] * 3


def test_findings_of_enhanced_scanning_are_one_for_each_package(client, stub):
    closed = ENHANCED | {"status": "SUPPRESSED"}
    answer(stub, "ACTIVE")
    answer(stub, "ACTIVE", asked=PLACE, imageScanFindings={"enhancedFindings": [ENHANCED, closed]})

    found = Asked(client).scan.findings()

    assert [str(each) for each in found] == ["CRITICAL CVE-2026-2 in openssl 3", "CRITICAL CVE-2026-2 in libssl3 3"]


def test_scan_that_takes_too_long_is_an_error_with_the_time(client, stub):
    asked = Asked(client, seconds=10.0)
    for _ in range(3):
        answer(stub, "IN_PROGRESS")

    with pytest.raises(
        PublishError, match=f"has not scanned 'images/a@{DIGEST}' within 10 s .IN_PROGRESS.; push again"
    ):
        asked.scan.findings()


@pytest.mark.parametrize("status", ["UNSUPPORTED_IMAGE", "FAILED", "FINDINGS_UNAVAILABLE"])
def test_image_that_was_not_scanned_is_not_let_pass(client, stub, status):
    answer(stub, status, description="why not")

    with pytest.raises(PublishError, match=rf"does not scan .*: {status} \(why not\).*FAIL_ON=never"):
        Asked(client).scan.findings()


def test_missing_permission_to_read_findings_is_told_by_its_action(client, stub):
    stub.add_client_error("describe_image_scan_findings", "AccessDeniedException", "no")

    with pytest.raises(PublishError, match="permission ecr:DescribeImageScanFindings is missing"):
        Asked(client).scan.findings()


@pytest.mark.parametrize("error", ["", "LimitExceededException"])
def test_scan_is_started_once_a_day(client, stub, error):
    if error:
        stub.add_client_error("start_image_scan", error)
    else:
        stub.add_response("start_image_scan", {}, PLACE)

    Asked(client).scan.start()


FOUND = [
    finding("CVE-1", "MEDIUM"),
    finding("CVE-2", "CRITICAL"),
    finding("CVE-3", "HIGH"),
    finding("CVE-4", "UNTRIAGED"),
]


def allowance(identity, package=""):
    return Allowance(id=identity, reason="not reached", until=date(2027, 1, 1), package=package)


def test_findings_over_the_threshold_are_all_named_the_worst_first():
    with pytest.raises(
        PublishError, match="2 vulnerabilities of severity HIGH or above.*: CRITICAL CVE-2 .*; HIGH CVE-3"
    ):
        judge(FOUND, "HIGH", [], print)


def test_findings_below_the_threshold_pass():
    said = []

    judge([finding("CVE-3", "HIGH")], "CRITICAL", [], said.append)

    assert said == ["scanned: 1 findings, none of severity CRITICAL or above"]


def test_allowed_findings_pass_and_are_told_with_their_reason():
    said = []

    judge(FOUND, "HIGH", [allowance("CVE-2"), allowance("CVE-3", "zlib"), allowance("CVE-9")], said.append)

    assert said == [
        "allowed until 2027-01-01: CRITICAL CVE-2 in zlib 1.3: not reached",
        "allowed until 2027-01-01: HIGH CVE-3 in zlib 1.3: not reached",
        "CVE-9 is allowed until 2027-01-01, and was not found at HIGH or above",
        "scanned: 4 findings, 2 of severity HIGH or above, all allowed",
    ]


def test_finding_in_another_package_than_the_allowed_one_does_not_pass():
    with pytest.raises(PublishError, match="1 vulnerabilities.*HIGH CVE-3 in zlib"):
        judge([finding("CVE-3", "HIGH")], "HIGH", [allowance("CVE-3", "openssl")], print)
