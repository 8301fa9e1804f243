"""Findings about an image in JUnit's XML, which every CI shows as test results."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that was looked at."""

    name: str
    """A sentence that holds, or ought to."""
    problem: str = ""
    """Why it does not hold; empty where it does."""
    said: str = ""
    """Figures to be shown beside it."""


def write(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """Writes a suite of cases; the folder is made."""
    failures = sum(bool(case.problem) for case in cases)
    root = ET.Element("testsuite", name=suite, tests=str(len(cases)), failures=str(failures), errors="0", skipped="0")
    for case in cases:
        element = ET.SubElement(root, "testcase", classname=suite, name=case.name, time="0")
        if case.problem:
            ET.SubElement(element, "failure", message=case.problem).text = case.problem
        if case.said:
            ET.SubElement(element, "system-out").text = case.said
    ET.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
