"""The CloudFormation templates: valid by AWS's own schema, no right wider than it need be, in step with images.json."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.images.entry import read_images

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "infra").glob("*.yml"))
LINT = [str(Path(sys.executable).with_name("cfn-lint")), "--format", "parseable"]
PUSHING = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeRepositories",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
}


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms, as in !Ref X, as their arguments."""


def _short_form(loader: Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]


Loader.add_multi_constructor("!", _short_form)


def resources(template: Path) -> dict[str, dict[str, Any]]:
    return dict(yaml.load(template.read_text(), Loader)["Resources"])


def statements(template: Path) -> Iterator[dict[str, Any]]:
    """What is allowed; a resource policy's denials are not."""
    for resource in resources(template).values():
        document = resource["Properties"].get("PolicyDocument", {"Statement": []})
        for statement in document["Statement"]:
            # A statement under a condition: name of the condition, statement, nothing.
            found = statement[1] if isinstance(statement, list) else statement
            if found["Effect"] == "Allow":
                yield found


def actions(statement: dict[str, Any]) -> list[str]:
    given = statement["Action"]
    return [given] if isinstance(given, str) else list(given)


def test_templates_are_valid_for_cloudformation():
    done = subprocess.run([*LINT, *map(str, TEMPLATES)], capture_output=True, text=True, check=False, timeout=120)

    assert len(TEMPLATES) == 2
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_linter_finds_what_cloudformation_would_refuse(tmp_path: Path):
    spoilt = tmp_path / "codebuild.yml"
    spoilt.write_text((ROOT / "infra/codebuild.yml").read_text().replace(": IMMUTABLE", ": NEVER"))

    done = subprocess.run([*LINT, str(spoilt)], capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode != 0
    assert "'NEVER' is not one of" in done.stdout


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_right_is_wider_than_it_need_be(template: Path):
    found = list(statements(template))

    assert found
    for statement in found:
        assert not [action for action in actions(statement) if "*" in action]
        if "*" in statement["Resource"] and statement["Resource"] == "*":
            assert actions(statement) == ["ecr:GetAuthorizationToken"], "it alone knows no resource"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_policy_lets_a_push_through(template: Path):
    assert {action for statement in statements(template) for action in actions(statement)} >= PUSHING


def test_build_may_not_make_or_change_a_repository():
    given = {action for statement in statements(ROOT / "infra/codebuild.yml") for action in actions(statement)}

    assert not given & {"ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:DeleteRepository", "iam:PassRole"}


def test_repositories_are_those_of_images_json_with_tags_that_stay_and_a_scan():
    found = [
        resource["Properties"]
        for resource in resources(ROOT / "infra/codebuild.yml").values()
        if resource["Type"] == "AWS::ECR::Repository"
    ]

    assert {entry["RepositoryName"] for entry in found} == {image.repository for image in read_images().values()}
    assert all(entry["ImageTagMutability"] == "IMMUTABLE" for entry in found)
    assert all(entry["ImageScanningConfiguration"] == {"ScanOnPush": True} for entry in found)
    assert all("LifecyclePolicyText" in entry["LifecyclePolicy"] for entry in found)


def test_what_was_pushed_outlives_the_stack():
    kept = {"AWS::ECR::Repository", "AWS::S3::Bucket", "AWS::Logs::LogGroup"}
    found = [entry for entry in resources(ROOT / "infra/codebuild.yml").values() if entry["Type"] in kept]

    assert {entry["DeletionPolicy"] for entry in found} == {"Retain"}


def test_project_runs_the_real_buildspec():
    project = resources(ROOT / "infra/codebuild.yml")["Project"]["Properties"]

    assert (ROOT / project["Source"]["BuildSpec"]).is_file()
    assert project["Environment"]["PrivilegedMode"] is True
