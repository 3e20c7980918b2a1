"""What S3's refusals mean to a user: which of our errors each is, and how to mend it.

No text of S3's, of boto's or of the network's enters a message, for it may hold an access key or a
URL with a password: only S3's error code, the kind of failure, and the endpoint without userinfo.
For the same reason nothing here is raised `from` the error that it explains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from storage.errors import Fault, StoreDenied, StoreFull, StoreUnreachable

_AGAIN = "Then run the same command again: it goes on where it stopped."
_NETWORK = f"Check the network, and AWS_ENDPOINT_URL if the store is not Amazon's. {_AGAIN}"
_CREDENTIALS = (
    "boto takes them from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), "
    "from the profile AWS_PROFILE in ~/.aws, or from the machine's role; "
    "`aws sts get-caller-identity` says which is in force. AWS_ENDPOINT_URL must name their store."
)
_ALLOW = (
    "Allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on the "
    "objects and s3:ListBucket on the bucket; without s3:ListBucket S3 refuses what is absent, too."
)
_PERMISSIONS = {
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "put_file": "s3:PutObject",
    "list_objects_v2": "s3:ListBucket",
    "delete_objects": "s3:DeleteObject",
}
_WRONG_CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "InvalidSecurity",
        "AuthorizationHeaderMalformed",
        "NotSignedUp",
        "401",
    }
)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
)
_REGION = ("a bucket in this region", "Set AWS_REGION to the region of the bucket.")
_REFUSALS = {
    "NoSuchBucket": (
        "a bucket that exists",
        "Create it (`aws s3 mb s3://BUCKET`, or in the store's console), or choose another with "
        "--store.",
    ),
    "RequestTimeTooSkewed": ("a clock that agrees with the store's", "Set this machine's clock."),
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "NotImplemented": (
        "a store with conditional writes (If-None-Match and If-Match)",
        "Update the store's software or choose another with --store: without them two runs could "
        "overwrite each other.",
    ),
}
# MinIO's and Ceph's names beside the status 507 of the others.
_FULL = frozenset(
    {"InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"}
)
# 4xx by number, but of the moment: throttling, a body that arrived torn, a write under way.
_PASSING = frozenset(
    {
        "SlowDown",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "BadDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
        "XAmzContentChecksumMismatch",
        "OperationAborted",
        "NoSuchUpload",
    }
)
_NO_ANSWER = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.FlexibleChecksumError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
)
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (boto.SSLError, "no secure connection (its certificate: AWS_CA_BUNDLE)"),
    (boto.ProxyConnectionError, "no connection to the proxy (HTTP_PROXY, HTTPS_PROXY)"),
    (boto.ConnectionError, "no connection"),
    (boto.ReadTimeoutError, "no answer in time"),
    (TimeoutError, "no answer in time"),
)


@dataclass(frozen=True)
class Place:
    """What was asked for: the boto operation, the object's address, the store's endpoint."""

    operation: str
    address: str
    endpoint: str

    def __str__(self) -> str:
        return f"{self.address} at {public_url(self.endpoint)}" if self.endpoint else self.address


def answer_of(error: Exception) -> tuple[int, str]:
    """The HTTP status and S3's error code; (0, "") where no answer came.

    s3fs raises an OSError whose cause is boto's; its errno says less (412 and 400 are both EINVAL).
    """
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return 0, ""
    code = re.sub(r"[^A-Za-z0-9.]", "", str(response.get("Error", {}).get("Code", "")))[:60]
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)), code


def public_url(url: str) -> str:
    """The scheme, host and port of `url`: what may be shown of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def explained(error: Exception, place: Place) -> Exception:
    """The error to raise for `error`; FileNotFoundError for a key that is not there."""
    status, code = answer_of(error)
    if status or code:
        return explain_answer(status, code, place)
    if isinstance(error, _NO_CREDENTIALS):
        found = f"no usable credentials ({type(error).__name__})"
        return _denied(place, found, "credentials for this store", _CREDENTIALS)
    if isinstance(error, _NO_ANSWER) and getattr(error, "filename", None) is None:
        # With a file's name it is a local file's, and stays what it is.
        if "@" in urlsplit(place.endpoint).netloc:
            remedy = f"Take them out of AWS_ENDPOINT_URL: nothing is sent to it so. {_CREDENTIALS}"
            return _denied(place, "credentials in the endpoint", "scheme, host and port", remedy)
        what = next((says for kind, says in _WORDS if isinstance(error, kind)), "no whole answer")
        return _unreachable(place, f"{what} ({type(error).__name__})")
    if isinstance(error, (boto.BotoCoreError, ValueError)):
        remedy = "Check AWS_ENDPOINT_URL, AWS_REGION and the other AWS_* variables, and ~/.aws."
        found = f"a setting that boto refuses ({type(error).__name__})"
        return _denied(place, found, "settings that boto understands", remedy)
    return error


def explain_answer(status: int, code: str, place: Place) -> Exception:
    """The error to raise for an answer of S3's."""
    said = code if not status or code == str(status) else f"{code} (HTTP {status})".strip()
    if code in ("NoSuchKey", "404"):
        return FileNotFoundError(place.address)
    if status == 507 or code in _FULL:
        return StoreFull(
            f"no space left while writing to {place}: {said}; expected room for the stage's "
            f"output. Free some space, raise the quota, or choose another with --store. {_AGAIN}"
        )
    if code in _PASSING or status in (408, 409, 412, 429) or status not in (*range(300, 500), 501):
        return _unreachable(place, said)
    permission = _PERMISSIONS.get(place.operation, "the request")
    expected = f"a store that grants {permission}"
    remedy = "The store's documentation explains the code."
    if code in _REFUSALS:
        expected, remedy = _REFUSALS[code]
    elif code in _WRONG_CREDENTIALS:
        expected, remedy = "credentials that the store knows", _CREDENTIALS
    elif status in (301, 307):
        expected, remedy = _REGION
    elif status == 403:
        expected, remedy = f"credentials that allow {permission}", _ALLOW
    return _denied(place, said, expected, remedy)


def not_kept(place: Place, found: str, written: int) -> StoreUnreachable:
    """The store said yes and does not hold what it was given."""
    return StoreUnreachable(
        f"{place}: the store took {written} bytes without a complaint, and found now {found}; "
        "expected what was written. Check the store, and whatever stands between it and this "
        f"machine (a proxy, a gateway's cache). {_AGAIN}"
    )


def condition_ignored(place: Place, condition: str) -> StoreDenied:
    """The store wrote where a condition forbade it."""
    return _denied(place, f"a store that ignores {condition}", *_REFUSALS["NotImplemented"])


def _denied(place: Place, found: str, expected: str, remedy: str) -> StoreDenied:
    return StoreDenied(Fault(f"store {place}", found, expected, remedy))


def _unreachable(place: Place, found: str) -> StoreUnreachable:
    return StoreUnreachable(f"{place}: found {found}; expected the store to answer. {_NETWORK}")
