"""`train --aws`: s3:// places by the caller's own settings of AWS; here they lead to an endpoint of ours."""

import io
import json
import subprocess
import sys
import tarfile

import pytest

from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import command_line, document

END_SECONDS = 60
pytestmark = pytest.mark.contract("command line", "U")


def run(folder, request, *options, **settings):
    argv, environment = command_line("plain", folder, request, *options, python=sys.executable)
    done = subprocess.run(
        argv, env=environment | settings, capture_output=True, text=True, timeout=END_SECONDS, check=False
    )
    return done.returncode, done.stderr


@pytest.fixture
def request_in_s3(tmp_path):
    request = document("mine", ["epochs"], tmp_path, channels={"train": f"s3://{BUCKET}/in/"})
    return request | {"OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"}}


def test_channels_and_artifacts_are_where_the_callers_settings_lead(tmp_path, request_in_s3):
    (tmp_path / "endpoint").mkdir()
    server = Server.start(tmp_path / "endpoint")
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="in/a", Body=b"alpha")
        settings = {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": server.found["access_key"],
            "AWS_SECRET_ACCESS_KEY": server.found["secret"],
        }
        code, err = run(tmp_path, request_in_s3, "--aws", **settings)
        assert code == 0, err
        packed = s3.get_object(Bucket=BUCKET, Key="out/mine/output/model.tar.gz")["Body"].read()
    finally:
        assert server.end() == 0
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        report = json.loads(tar.extractfile("report.json").read())
    assert report


def test_without_credentials_it_is_refused_before_anything_is_made(tmp_path, request_in_s3):
    settings = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    code, err = run(tmp_path, request_in_s3, "--aws", **settings)

    assert code == 1
    assert "There are no AWS credentials here; log in, or set AWS_PROFILE or AWS_ACCESS_KEY_ID." in err
    assert not (tmp_path / "root" / "jobs").exists()


def test_without_the_option_s3_is_refused_and_the_option_named(tmp_path, request_in_s3):
    code, err = run(tmp_path, request_in_s3)

    assert code == 1
    assert "`train --aws`" in err
