"""ECR's repository and token, by boto3's own models of what it is asked and answers."""

import base64
import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from botocore.stub import Stubber

from scripts.cleaning import mark
from scripts.publishing.aws import told
from scripts.publishing.ecr import LIFECYCLE, Account, Ecr, find_account, of_host
from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.target import Credentials, Target

ACCOUNT = Account(id="111122223333", region="eu-central-1")
NAME = "vision-training-keras"
HOST = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
PLACE = {"registryId": ACCOUNT.id, "repositoryName": NAME}
FOUND = {
    "repositoryName": NAME,
    "repositoryUri": f"{HOST}/{NAME}",
    "imageTagMutability": "IMMUTABLE",
    "imageScanningConfiguration": {"scanOnPush": True},
}
CREATED = {
    **PLACE,
    "imageTagMutability": "IMMUTABLE",
    "imageScanningConfiguration": {"scanOnPush": True},
    "encryptionConfiguration": {"encryptionType": "AES256"},
    "tags": [mark.tag(mark.PUSH)],
}


@pytest.fixture
def said():
    return []


@pytest.fixture
def client():
    session = boto3.session.Session(aws_access_key_id="key", aws_secret_access_key="secret", region_name=ACCOUNT.region)
    return session.client("ecr")


@pytest.fixture
def stub(client):
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def ecr(client, said):
    return Ecr(client, ACCOUNT, said.append)


def expect_found(stub, **changes):
    asked = {"registryId": ACCOUNT.id, "repositoryNames": [NAME]}
    stub.add_response("describe_repositories", {"repositories": [FOUND | changes]}, asked)


def expect_token(stub):
    token = base64.b64encode(b"AWS:a-token").decode()
    stub.add_response("get_authorization_token", {"authorizationData": [{"authorizationToken": token}]})


def test_repository_that_is_there_is_left_as_it_is(ecr, stub, said):
    expect_found(stub)
    stub.add_response("get_lifecycle_policy", {"lifecyclePolicyText": json.dumps(LIFECYCLE)}, PLACE)
    expect_token(stub)

    target = ecr.target(NAME)

    assert target == Target(registry=HOST, repository=NAME, credentials=Credentials(user="AWS", password="a-token"))
    assert said == []


@pytest.mark.parametrize("kms_key", ["", "arn:aws:kms:eu-central-1:111122223333:key/1"])
def test_missing_repository_is_made_to_scan_to_keep_its_tags_and_to_forget_what_is_old(ecr, stub, said, kms_key):
    kind = {"encryptionType": "KMS", "kmsKey": kms_key} if kms_key else {"encryptionType": "AES256"}
    stub.add_client_error("describe_repositories", "RepositoryNotFoundException")
    stub.add_response("create_repository", {"repository": FOUND}, CREATED | {"encryptionConfiguration": kind})
    stub.add_client_error("get_lifecycle_policy", "LifecyclePolicyNotFoundException")
    stub.add_response("put_lifecycle_policy", {}, PLACE | {"lifecyclePolicyText": json.dumps(LIFECYCLE)})
    expect_token(stub)

    ecr.target(NAME, kms_key=kms_key)

    assert said == [f"made the ECR repository {NAME} in eu-central-1: tags stay, images are scanned"]


def test_repository_that_another_push_makes_meanwhile_is_taken(ecr, stub):
    stub.add_client_error("describe_repositories", "RepositoryNotFoundException")
    stub.add_client_error("create_repository", "RepositoryAlreadyExistsException")
    expect_found(stub)
    stub.add_response("get_lifecycle_policy", {"lifecyclePolicyText": json.dumps(LIFECYCLE)}, PLACE)
    expect_token(stub)

    assert ecr.target(NAME).registry == HOST


def test_repository_whose_tags_move_is_told_of(ecr, stub, said):
    expect_found(stub, imageTagMutability="MUTABLE")
    stub.add_response("get_lifecycle_policy", {"lifecyclePolicyText": json.dumps(LIFECYCLE)}, PLACE)
    expect_token(stub)

    ecr.target(NAME)

    assert said == [f"the repository {NAME} lets tags be moved; it stays as its owner made it"]


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("describe_repositories", "ecr:DescribeRepositories"),
        ("create_repository", "ecr:CreateRepository"),
        ("get_authorization_token", "ecr:GetAuthorizationToken"),
    ],
)
def test_missing_permission_is_told_by_its_action(ecr, stub, operation, action):
    if operation == "create_repository":
        stub.add_client_error("describe_repositories", "RepositoryNotFoundException")
    if operation == "get_authorization_token":
        expect_found(stub)
        stub.add_response("get_lifecycle_policy", {"lifecyclePolicyText": json.dumps(LIFECYCLE)}, PLACE)
    stub.add_client_error(operation, "AccessDeniedException", "User: eve is not authorized", 400)

    with pytest.raises(PublishError, match=f"permission {action} is missing for the repository {NAME}.*policy"):
        ecr.target(NAME)


def test_lifecycle_policy_is_one_that_ecrs_rules_allow():
    rules = LIFECYCLE["rules"]

    priorities = [rule["rulePriority"] for rule in rules]
    assert priorities == sorted(set(priorities))
    assert rules[-1]["selection"]["tagStatus"] == "any", "a rule for any must come last"
    assert all(
        ("tagPatternList" in rule["selection"]) == (rule["selection"]["tagStatus"] == "tagged") for rule in rules
    )


@pytest.mark.parametrize(
    ("host", "account"),
    [
        (HOST, ACCOUNT),
        ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", Account(id="111122223333", region="cn-north-1")),
        ("localhost:5000", None),
        ("public.ecr.aws", None),
    ],
)
def test_hosts_of_ecr_tell_account_and_region(host, account):
    assert of_host(host) == account


def test_account_and_region_are_the_callers():
    client = boto3.client("sts", region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s")
    with Stubber(client) as stubber:
        stubber.add_response("get_caller_identity", {"Account": "1" * 12})

        session = SimpleNamespace(client=lambda _: client, region_name="eu-west-1")
        assert find_account(session) == Account(id="1" * 12, region="eu-west-1")


def refused(code):
    return ClientError({"Error": {"Code": code, "Message": "said"}}, "CreateRepository")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (NoCredentialsError(), PublishError, "There are no AWS credentials .*AWS_PROFILE.*REGISTRY=HOST:PORT"),
        (NoRegionError(), PublishError, "No AWS region is set; set AWS_REGION"),
        (EndpointConnectionError(endpoint_url="https://x"), TransientError, "AWS does not answer: .*https://x"),
        (refused("ExpiredTokenException"), PublishError, "take these credentials .*ExpiredToken.*anew"),
        (refused("ThrottlingException"), TransientError, "AWS fails at ecr:CreateRepository .Throttling"),
        (refused("InvalidParameterException"), PublishError, "AWS refuses ecr:CreateRepository for this .Invalid"),
    ],
)  # fmt: skip
def test_aws_that_refuses_is_told_with_what_to_do(error, kind, text):
    with pytest.raises(kind, match=text) as caught, told("ecr", "this"):
        raise error
    assert type(caught.value) is kind
