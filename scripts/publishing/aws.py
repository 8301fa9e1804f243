"""AWS's refusals, told again with the permission or the setting that is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions

from scripts.publishing.errors import PublishError, TransientError

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_UNKNOWN = (
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidSignatureException",
    "SignatureDoesNotMatch", "UnrecognizedClientException",
)  # fmt: skip
_PASSING = ("ServerException", "InternalFailure", "ServiceUnavailable", "ThrottlingException", "Throttling")
_NO_CREDENTIALS = (
    exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound, exceptions.SSOError, exceptions.NoAuthTokenError, exceptions.TokenRetrievalError,
)  # fmt: skip
_NO_ANSWER = (exceptions.HTTPClientError, exceptions.ConnectionError)


@contextmanager
def told(service: str, what: str) -> Iterator[None]:
    """Around calls to a service of AWS: whatever a person can mend leaves as a PublishError.

    Args:
        service: as IAM's actions call it.
        what: the thing that is worked on, for the text.
    """
    try:
        yield
    except exceptions.NoRegionError:
        raise PublishError("No AWS region is set; set AWS_REGION, as in AWS_REGION=eu-central-1") from None
    except _NO_CREDENTIALS as error:
        raise PublishError(
            f"There are no AWS credentials ({error}); set AWS_PROFILE, log in with `aws sso login`, "
            "or push without AWS: REGISTRY=HOST:PORT"
        ) from None
    except exceptions.ClientError as error:
        raise _refused(service, what, error) from None
    except _NO_ANSWER as error:
        raise TransientError(f"AWS does not answer: {error}") from None


def _refused(service: str, what: str, error: exceptions.ClientError) -> PublishError:
    code, said = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    action, told_of = f"{service}:{error.operation_name}", f"{code}: {said}"
    if code in _DENIED:
        return PublishError(
            f"The permission {action} is missing for {what} ({told_of}); have it added to this role's policy"
        )
    if code in _UNKNOWN:
        return PublishError(f"AWS does not take these credentials ({told_of}); log in anew, or set AWS_PROFILE")
    if code in _PASSING or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return TransientError(f"AWS fails at {action} ({told_of})")
    return PublishError(f"AWS refuses {action} for {what} ({told_of})")
