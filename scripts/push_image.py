"""Pushes an image that `make build` has built, and prints its URI: `python scripts/push_image.py pytorch`.

Goes to ECR of the account whose credentials there are, or with --registry anywhere. The URI is all it says on stdout.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import boto3
import docker
from botocore.config import Config

from scripts.environments.environment import say, shown
from scripts.images import revision
from scripts.images.engine import check_engine
from scripts.images.entry import ROOT, Image, ImageError, read_image
from scripts.publishing import allowlist, findings, progress, pushed
from scripts.publishing.aws import told
from scripts.publishing.ecr import Account, Ecr, find_account, of_host
from scripts.publishing.engine import SILENT_SECONDS, Engine, LocalImage
from scripts.publishing.errors import PublishError
from scripts.publishing.push import push
from scripts.publishing.retry import Patience
from scripts.publishing.target import Target, logged_in, parse_registry

OUTPUT = ROOT / pushed.FOLDER
_CALLS = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 4})


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Push a training image, and print its URI.")
    parser.add_argument("framework", help="an entry of images.json, as in: pytorch")
    parser.add_argument("--last", action="store_true", help="push nothing: print the URI that was pushed last")
    parser.add_argument("--registry", default="", metavar="HOST[:PORT][/PATH]", help="default: ECR of this account")
    parser.add_argument("--region", default="", help="of ECR; default: AWS_REGION, else the profile's")
    parser.add_argument("--kms-key", default="", metavar="ARN", help="for a repository that has to be made")
    parser.add_argument("--allow-dirty", action="store_true", help="let an image that is of no commit go to ECR")
    parser.add_argument("--fail-on", default="HIGH", choices=(*findings.SEVERITIES, findings.NEVER), metavar="SEVERITY",
                        help=f"of ECR's findings, or any above: {', '.join(findings.SEVERITIES)}; {findings.NEVER} "
                             "does not wait for them (%(default)s)")  # fmt: skip
    parser.add_argument("--scan-seconds", type=float, default=900.0, help="to wait for findings (%(default)g)")
    parser.add_argument("--allowlist", type=Path, default=allowlist.PLACE, metavar="FILE", help="findings to let pass")
    parser.add_argument(
        "--attempts", type=int, default=3, help="at whatever fails for a reason that passes (%(default)s)"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER", help="where the URI is written down")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Pushes the image, and says where it is."""
    given = _parse(argv)
    try:
        image = read_image(given.framework)
        uri = pushed.last(given.output, given.framework).uri if given.last else _publish(given, image, os.environ)
    except (ImageError, PublishError) as error:
        print(f"push_image: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("push_image: broken off; what has arrived is not sent again next time")
        return 130
    print(uri)
    return 0


def _publish(given: argparse.Namespace, image: Image, environment: Mapping[str, str]) -> str:
    account = _account(given, environment)
    allowed = allowlist.read(given.allowlist, datetime.now(UTC).date()) if account else []
    check_engine()
    client = docker.from_env(timeout=SILENT_SECONDS)
    try:
        engine = Engine(client)
        local = engine.find(image.name(), how=f"make build/{image.framework}")
        _look_at(local, given.allow_dirty or not account)
        patience = Patience(say=say, attempts=given.attempts)
        ecr = _ecr(account, given, environment) if account else None
        if ecr:
            target = patience(lambda: ecr.target(image.repository, kms_key=given.kms_key))
        else:
            host, repository = parse_registry(given.registry, image.repository)
            target = Target(registry=host, repository=repository, credentials=logged_in(host, environment))
        show = partial(progress.choose, sys.stderr, say)
        digest = push(local, target, engine=engine, patience=patience, progress=show, say=say)
    finally:
        client.close()
    if ecr and given.fail_on != findings.NEVER:
        _scan(ecr, image.repository, digest, given, allowed)
    uri = target.by_digest(digest)
    done = pushed.Pushed(
        framework=image.framework, uri=uri, tag=target.tagged(local.tag), image=local.id, revision=local.revision
    )
    say(f"{done.tag} is pushed; its URI is in {shown(done.write(given.output))}")
    return uri


def _account(given: argparse.Namespace, environment: Mapping[str, str]) -> Account | None:
    """Whose ECR it is; None for any other registry."""
    if given.registry:
        return of_host(given.registry)
    return find_account(_session(_region(given, environment)))


def _region(given: argparse.Namespace, environment: Mapping[str, str]) -> str:
    # boto3 itself knows only the second of these variables; AWS's own builders and functions set the first.
    return given.region or environment.get("AWS_REGION", "") or environment.get("AWS_DEFAULT_REGION", "")


def _session(region: str) -> boto3.session.Session:
    with told("sts", "this caller"):  # a profile that is not there is told of at once
        return boto3.session.Session(region_name=region or None)


def _ecr(account: Account, given: argparse.Namespace, environment: Mapping[str, str]) -> Ecr:
    say(f"ECR of account {account.id} in {account.region}")
    with told("ecr", "this caller"):
        client = _session(account.region).client("ecr", config=_CALLS)
    return Ecr(client, account, say)


def _look_at(local: LocalImage, may_be_dirty: bool) -> None:
    """See that the image may leave this machine, and tell where it is not of this tree.

    Raises:
        PublishError: it must not.
    """
    if not local.is_of_a_commit and not may_be_dirty:
        raise PublishError(
            f"'{local.name}' was built from a tree that is no commit ({local.revision}); commit and `make build`, "
            "or push it under a tag of its own: ALLOW_DIRTY=1"
        )
    if local.revision != (here := str(revision.read())):
        say(f"'{local.name}' is of {local.revision}, while this tree is {here}; `make build` would build this one")


def _scan(
    ecr: Ecr, repository: str, digest: str, given: argparse.Namespace, allowed: list[allowlist.Allowance]
) -> None:
    scan = findings.Scan(
        client=ecr.client, account=ecr.account.id, repository=repository, digest=digest, seconds=given.scan_seconds
    )
    if not ecr.scans_on_push(repository):
        scan.start()
    say(f"waiting for ECR's findings, {given.scan_seconds:g} s at most")
    findings.judge(scan.findings(), given.fail_on, allowed, say)


if __name__ == "__main__":
    sys.exit(main())
