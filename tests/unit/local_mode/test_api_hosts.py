"""Which hosts are answered here, which are refused, and which are left alone."""

import pytest

from local_mode.api.hosts import Way, bucket, way


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("sts.amazonaws.com", ""),
        ("STS.us-west-2.amazonaws.com.", ""),
        ("sts.us-gov-west-1.amazonaws.com", ""),
        ("sts.cn-north-1.amazonaws.com.cn", ""),
        ("iam.amazonaws.com", ""),
        ("logs.eu-central-1.amazonaws.com", ""),
        ("monitoring.eu-central-1.amazonaws.com", ""),
        ("api.ecr.us-east-1.amazonaws.com", ""),
        ("api.sagemaker.ap-southeast-2.amazonaws.com", ""),
        ("s3.amazonaws.com", ""),
        ("s3-us-west-2.amazonaws.com", ""),
        ("s3.dualstack.us-east-1.amazonaws.com", ""),
        ("my-bucket.s3.amazonaws.com", "my-bucket"),
        ("dotted.bucket.s3.us-east-1.amazonaws.com", "dotted.bucket"),
    ],
)
def test_services_that_are_served_are_answered_here(host, inside):
    assert way(host, 443) is Way.ANSWERED
    assert bucket(host) == inside


@pytest.mark.parametrize(
    "host",
    [
        "amazonaws.com",
        "ec2.us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1.amazonaws.com",
        "runtime.sagemaker.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.s3-control.us-east-1.amazonaws.com",
        "b.s3-accelerate.amazonaws.com",
        "sagemaker.us-east-1.api.aws",
        "signin.aws.com",
        "abc.lambda-url.us-east-1.on.aws",
        "sts.evil.amazonaws.com",
        "EC2.AMAZONAWS.COM.",
    ],
)
def test_every_other_name_of_aws_is_refused(host):
    assert way(host, 443) is Way.REFUSED


def test_service_at_another_port_is_refused():
    assert way("sts.amazonaws.com", 8443) is Way.REFUSED


@pytest.mark.parametrize(
    "host",
    ["pypi.org", "127.0.0.1", "evilamazonaws.com", "sts.amazonaws.com.evil.example", "aws.amazon.com", "::1"],
)
def test_names_of_others_are_left_alone(host):
    assert way(host, 443) is Way.PASSED
