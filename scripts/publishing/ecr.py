"""ECR: the account and its repository, made where it is missing, and the right to push there.

What a role needs for it: ecr:GetAuthorizationToken, and on the repository ecr:DescribeRepositories, CreateRepository,
TagResource, GetLifecyclePolicy, PutLifecyclePolicy, BatchCheckLayerAvailability, InitiateLayerUpload, UploadLayerPart,
CompleteLayerUpload, PutImage, BatchGetImage, DescribeImageScanFindings and StartImageScan; where the repository is made
with a key of KMS, kms:CreateGrant and kms:DescribeKey on that.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import NoRegionError

from scripts.cleaning import mark
from scripts.publishing.aws import told
from scripts.publishing.errors import PublishError
from scripts.publishing.target import Credentials, Target

LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "what an upload that was broken off, or a tag that is gone, has left",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 7,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 2,
            "description": "images of no commit",
            "selection": {
                "tagStatus": "tagged",
                "tagPatternList": ["*-dirty-*", "*-unknown-*"],
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 30,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 3,
            "description": "the newest hundred stay: jobs that ran name their image",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 100},
            "action": {"type": "expire"},
        },
    ]
}
"""Given to a repository that has no policy of its own."""
_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whose registry it is, and where."""

    id: str
    region: str


def of_host(registry: str) -> Account | None:
    """The account whose registry has this host; None where it is none of ECR's."""
    found = _HOST.fullmatch(registry)
    return Account(id=found["account"], region=found["region"]) if found else None


def find_account(session: Any) -> Account:
    """The caller's own.

    Raises:
        PublishError: there are no credentials or there is no region.
    """
    with told("sts", "this caller"):
        if not session.region_name:
            raise NoRegionError  # which STS alone does without
        client = session.client("sts")
        return Account(id=client.get_caller_identity()["Account"], region=session.region_name)


class Ecr:
    """The private registry of one account in one region."""

    def __init__(self, client: Any, account: Account, say: Callable[[str], None]) -> None:
        """`client` is boto3's, in the account's region; `say` is told what was made."""
        self.client, self.account, self._say = client, account, say

    def target(self, name: str, *, kms_key: str = "") -> Target:
        """The repository of a name, made if it is missing, with the right to push there for twelve hours.

        Raises:
            PublishError: AWS refuses.
        """
        found = self._repository(name) or self._create(name, kms_key)
        if found.get("imageTagMutability") != "IMMUTABLE":
            self._say(f"the repository {name} lets tags be moved; it stays as its owner made it")
        with told("ecr", f"the repository {name}"):
            self._give_policy(name)
            authorized = self.client.get_authorization_token()["authorizationData"][0]
        user, _, password = b64decode(authorized["authorizationToken"]).decode().partition(":")
        registry, _, repository = found["repositoryUri"].partition("/")
        return Target(registry=registry, repository=repository, credentials=Credentials(user=user, password=password))

    def scans_on_push(self, name: str) -> bool:
        """Whether ECR looks at an image of its own accord when it arrives."""
        found = self._repository(name) or {}
        return bool(found.get("imageScanningConfiguration", {}).get("scanOnPush"))

    def _repository(self, name: str) -> dict[str, Any] | None:
        with told("ecr", f"the repository {name}"):
            try:
                answer = self.client.describe_repositories(registryId=self.account.id, repositoryNames=[name])
            except self.client.exceptions.RepositoryNotFoundException:
                return None
            found: dict[str, Any] = answer["repositories"][0]
            return found

    def _create(self, name: str, kms_key: str) -> dict[str, Any]:
        encryption = {"encryptionType": "KMS", "kmsKey": kms_key} if kms_key else {"encryptionType": "AES256"}
        with told("ecr", f"the repository {name}"):
            try:
                answer = self.client.create_repository(
                    registryId=self.account.id,
                    repositoryName=name,
                    imageTagMutability="IMMUTABLE",
                    imageScanningConfiguration={"scanOnPush": True},
                    encryptionConfiguration=encryption,
                    tags=[mark.tag(mark.PUSH)],
                )
            except self.client.exceptions.RepositoryAlreadyExistsException:
                found = self._repository(name)  # another push made it meanwhile
                if found is None:
                    raise PublishError(f"The repository {name} comes and goes; try again") from None
                return found
        self._say(f"made the ECR repository {name} in {self.account.region}: tags stay, images are scanned")
        made: dict[str, Any] = answer["repository"]
        return made

    def _give_policy(self, name: str) -> None:
        place = {"registryId": self.account.id, "repositoryName": name}
        try:
            self.client.get_lifecycle_policy(**place)
        except self.client.exceptions.LifecyclePolicyNotFoundException:
            self.client.put_lifecycle_policy(**place, lifecyclePolicyText=json.dumps(LIFECYCLE))
