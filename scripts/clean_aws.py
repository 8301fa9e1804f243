#!/usr/bin/env python3
"""Deletes what this project's verbs made in an account, and nothing else: `make clean-aws`.

    clean_aws.py [--yes]        lists, asks, deletes; --yes does not ask

What `make submit` and `make push` make has a tag; found by that are training and tuning jobs, what they left in folders
of their own, their log streams, the data that was uploaded for them, and repositories. AWS's variables say where.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scripts.cleaning.finding import Found, find
from scripts.environments.environment import say
from scripts.submitting import destination
from scripts.submitting.errors import SubmitError

_SHOWN = 20
"""Objects that are named; of more the number is told."""
INTERRUPTED = 130
"""As a shell counts an interrupt."""


def main(argv: Sequence[str] | None = None) -> int:
    """Lists, asks, deletes; the exit code."""
    parser = argparse.ArgumentParser(description="Delete what this project's verbs made in an account.")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args(argv)
    try:
        place = destination.find()
        found = find(place, boto3.client("ecr"))
        print("\n".join(listed(found, place.described)))
        if not found.items:
            return 0
        _agree(len(found.items), place.described, yes=arguments.yes)
        return _delete(found)
    except (SubmitError, ClientError, BotoCoreError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def listed(found: Found, where: str) -> list[str]:
    """What there is, a line each, but for objects beyond the first."""
    lines = [f"stays: {text}" for text in found.kept]
    if not found.items:
        return [*lines, f"nothing of this project's verbs is in {where}"]
    counts = Counter(item.kind for item in found.items)
    lines.append(f"made by this project's verbs, in {where}:")
    shown: Counter[str] = Counter()
    for item in found.items:
        shown[item.kind] += 1
        if shown[item.kind] <= _SHOWN:
            lines.append(f"  {item.kind} {item.name}" + (f", {item.size:,} bytes" if item.kind == "object" else ""))
        elif shown[item.kind] == _SHOWN + 1:
            lines.append(f"  ... and {counts[item.kind] - _SHOWN:,} more of this kind")
    size = sum(item.size for item in found.items)
    return [
        *lines,
        f"{', '.join(f'{count:,} x {kind}' for kind, count in counts.items())}; {size / 1e6:,.1f} MB of objects",
    ]


def _agree(count: int, where: str, *, yes: bool) -> None:
    """Asks; where nobody can be asked, it is refused."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise SubmitError(
            f"{count:,} things would be deleted in {where}, and nobody can be asked; say so: YES=1 (--yes)"
        )
    print(f"Delete these {count:,} things in {where}, for good? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SubmitError("nothing was deleted, as you said")


def _delete(found: Found) -> int:
    """Deletes one after the other; what cannot be deleted is told, and the rest goes."""
    failed = 0
    for item in found.items:
        try:
            item.delete()
        except ClientError as error:
            failed += 1
            print(f"error: {item.kind} {item.name} stays: {error}", file=sys.stderr)
    say(f"deleted: {len(found.items) - failed:,} of {len(found.items):,}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
