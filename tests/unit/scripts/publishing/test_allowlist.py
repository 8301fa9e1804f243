"""Vulnerabilities that an image may have for a while."""

from datetime import date

import pytest

from scripts.publishing.allowlist import PLACE, Allowance, read
from scripts.publishing.errors import PublishError

TODAY = date(2026, 11, 26)
ENTRY = '[[allowed]]\nid = "CVE-2026-1"\nreason = "not reached"\nuntil = 2026-11-26\n'


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "allowed.toml"
        path.write_text(text)
        return path

    return write


def test_entry_holds_through_its_last_day(file):
    allowed = read(file(ENTRY), TODAY)

    assert allowed == [Allowance(id="CVE-2026-1", reason="not reached", until=TODAY)]
    assert allowed[0].covers("CVE-2026-1", "zlib")
    assert not allowed[0].covers("CVE-2026-2", "zlib")


def test_entry_of_a_package_covers_that_alone(file):
    (allowed,) = read(file(ENTRY + 'package = "zlib"\n'), TODAY)

    assert allowed.covers("CVE-2026-1", "zlib")
    assert not allowed.covers("CVE-2026-1", "openssl")


def test_entry_whose_day_has_passed_is_an_error_with_its_reason(file):
    with pytest.raises(PublishError, match="CVE-2026-1 until 2026-11-26: not reached.*renew or remove it"):
        read(file(ENTRY), date(2026, 11, 27))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ENTRY.replace('reason = "not reached"\n', ""), "'CVE-2026-1' .* has reason = None, which is not a text"),
        (ENTRY.replace("not reached", ""), "reason = '', which is not a text"),
        (ENTRY.replace("2026-11-26", '"2026-11-26"'), "until = '2026-11-26', which is not a day, as in 2026-12-31"),
        (ENTRY.replace("2026-11-26", "2026-11-26T10:00:00"), "which is not a day"),
        (ENTRY + 'severity = "LOW"\n', "'severity', which is none of id, reason, until, package"),
        ("[[alowed]]\n", "has 'alowed', but knows"),
        ("allowed = 1\n", "has 'allowed', but knows"),
        ("allowed = [1]\n", "has 'allowed', but knows"),
        ("][", "is not TOML"),
    ],
)
def test_file_that_is_not_as_it_should_be_is_refused(file, text, told):
    with pytest.raises(PublishError, match=told):
        read(file(text), TODAY)


def test_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(PublishError, match="Cannot read the allowlist .*none.toml: No such file"):
        read(tmp_path / "none.toml", TODAY)


def test_file_of_this_project_can_be_read():
    assert isinstance(read(PLACE, date(2020, 1, 1)), list)
