"""What a job's own credentials allow, request by request."""

import io

import pytest

from local_mode.api.job_guard import check
from local_mode.api.wire import ApiError
from local_mode.jobs.door import Scope

SCOPE = Scope(read=(("data", "in/"), ("code", "src.tar.gz")), write=(("data", "out/job/"),))


FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8"}


class Body(io.BytesIO):
    @property
    def size(self):
        return len(self.getvalue())

    def rewind(self):
        self.seek(0)


def ask(method, target, *, body=b"", service="s3", **more):
    environ = {"REQUEST_METHOD": method, "REQUEST_URI": target, "QUERY_STRING": target.partition("?")[2], **more}
    check(service, environ, Body(body), SCOPE)


def delete(*keys):
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{objects}</Delete>'.encode()


@pytest.mark.parametrize(
    ("method", "target", "more"),
    [
        ("GET", "/data/in/a", {}),
        ("HEAD", "/data/in/a%20b?partNumber=1", {}),
        ("GET", "/code/src.tar.gz?x-id=GetObject&X-Amz-Signature=0&response-content-type=a", {}),
        ("GET", "/data/out/job/x?versionId=null", {}),
        ("GET", "/data?list-type=2&prefix=in%2F", {}),
        ("GET", "/data/?prefix=out/job/&delimiter=/", {}),
        ("GET", "/data?location", {}),
        ("HEAD", "/data", {}),
        ("PUT", "/data/out/job/x", {}),
        ("PUT", "/data/out/job/x?partNumber=1&uploadId=u", {}),
        ("PUT", "/data/out/job/x", {"HTTP_X_AMZ_COPY_SOURCE": "/data/in/a"}),
        ("POST", "/data/out/job/x?uploads", {}),
        ("POST", "/data/out/job/x?uploadId=u", {}),
        ("DELETE", "/data/out/job/x", {}),
        ("POST", "/data?delete", {"body": delete("out/job/a", "out/job/b")}),
        ("PUT", "/data/out/job/x", FORM),
        ("POST", "/", {"service": "sts", "body": b"Action=GetCallerIdentity&Version=2011-06-15", **FORM}),
    ],
)
def test_allowed(method, target, more):
    ask(method, target, **more)


@pytest.mark.parametrize(
    ("method", "target", "more"),
    [
        ("GET", "/", {}),
        ("GET", "/data/inn", {}),
        ("GET", "/data/out/job", {}),
        ("GET", "/data/out/other/x", {}),
        ("GET", "/other/in/a", {}),
        ("GET", "//data/in/a", {}),
        ("GET", "/data%2Fin/a", {}),
        ("GET", "/d%61ta/in/a", {}),
        ("GET", "/data/in/a#/x", {}),
        ("GET", "http://data/in/a", {}),
        ("GET", "/data/in/a?acl", {}),
        ("GET", "/data/in/a?torrent", {}),
        ("GET", "/data?list-type=2", {}),
        ("GET", "/data?prefix=in/&prefix=", {}),
        ("GET", "/data?prefix=in", {}),
        ("GET", "/data?versions&prefix=in/", {}),
        ("GET", "/data?policy", {}),
        ("GET", "/other?location", {}),
        ("HEAD", "/other", {}),
        ("PUT", "/data", {}),
        ("PUT", "/data/in/a", {}),
        ("PUT", "/data/out/job/x?acl", {}),
        ("PUT", "/data/out/job/x?partNumber=1", {}),
        ("PUT", "/data/out/job/x", {"HTTP_X_AMZ_COPY_SOURCE": "other/in/a"}),
        ("PUT", "/data/out/job/x", {"HTTP_X_AMZ_COPY_SOURCE": "/data%2Fout/other/a"}),
        ("PUT", "/data/out/job/x", {"HTTP_X_AMZ_COPY_SOURCE": ""}),
        ("POST", "/data/in/a?uploads", {}),
        ("POST", "/data/out/job/x?restore", {}),
        ("POST", "/data/out/job/x?uploads", {"CONTENT_TYPE": "multipart/form-data; boundary=x"}),
        ("POST", "/data", {}),
        ("DELETE", "/data", {}),
        ("DELETE", "/data/in/a", {}),
        ("OPTIONS", "/data/out/job/x", {}),
        ("POST", "/data?delete", {"body": delete("out/job/a", "in/a")}),
        ("POST", "/data?delete", {"body": b"no XML"}),
        ("POST", "/data?delete", {"body": delete("out/job/<![CDATA[&key=in/a]]>")}),
        ("POST", "/data?delete", {"body": delete("out/job/a"), "CONTENT_TYPE": "application/x-www-form-urlencoded"}),
        ("GET", "/data?prefix=in/", {"body": b"delimiter=x&prefix=", **FORM}),
        ("GET", "/data/in/a?tagging", {"CONTENT_TYPE": " Multipart/form-data; boundary=x"}),
        ("PUT", "/data/out/job/x?tagging", {"body": b"versionId=1", **FORM}),
        ("DELETE", "/data/out/job/x", FORM),
        ("POST", "/", {"service": "sts", "body": b"Action=AssumeRole&Action=GetCallerIdentity", **FORM}),
        ("POST", "/", {"service": "sts", "body": b"Action=GetSessionToken", **FORM}),
        ("POST", "/?Action=AssumeRole", {"service": "sts", "body": b"Action=GetCallerIdentity", **FORM}),
        ("POST", "/", {"service": "sts", "body": b"Action=GetCallerIdentity"}),
        (
            "POST",
            "/",
            {
                "service": "sts",
                "body": b"&Action=GetCallerIdentity&",
                "CONTENT_TYPE": "multipart/form-data; boundary=x",
            },
        ),
        ("GET", "/data/in/a", {"service": "iam"}),
        ("POST", "/", {"service": "sagemaker"}),
    ],
)
def test_denied(method, target, more):
    with pytest.raises(ApiError, match="own credentials do not allow") as refused:
        ask(method, target, **more)
    assert (refused.value.code, refused.value.status) == ("AccessDenied", 403)
