"""What a failing network, a failing store and a lying one do to a bucket, and what is said then."""

from __future__ import annotations

import functools
import logging
import os
import socket
import time
import traceback
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.backends import open_backend, s3
from storage.backends.s3 import S3Backend
from storage.backends.s3_faults import public_url
from storage.errors import (
    PhusaError,
    RequestError,
    StoreDenied,
    StoreFull,
    StoreUnreachable,
)
from tests.storage.backends.faulty_proxy import (
    ALWAYS,
    Action,
    Answer,
    FaultyProxy,
    Handler,
    cut,
    done_but_dropped,
    done_but_late,
    done_but_refused,
    done_late,
    dropped,
    ignored,
    refused,
    shortened,
    torn,
    unconditional,
)
from tests.storage.s3_server import KEY_ID, SECRET, environment, fill, make_bucket

HASTY_S = 1.0
MIB = 1 << 20


@pytest.fixture(autouse=True)
def impatient_boto(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto waits up to a second before it asks again."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture(scope="module")
def shared_proxy(s3_env: dict[str, str]) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_env["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def env(
    s3_env: dict[str, str], shared_proxy: FaultyProxy, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment in which boto finds the proxy."""
    return environment(shared_proxy.url, tmp_path_factory.mktemp("boto"))


@pytest.fixture(scope="module")
def opened(s3_env: dict[str, str], env: dict[str, str]) -> Callable[..., S3Backend]:
    """The back end through the proxy, one for each setting: a client costs 0.1 s."""
    address = make_bucket(s3_env, f"phusa-{uuid.uuid4().hex}")

    @functools.cache
    def open_with(attempts: int, read_timeout_s: float = 60) -> S3Backend:
        with pytest.MonkeyPatch.context() as patch:
            set_env(patch, {**env, "AWS_MAX_ATTEMPTS": str(attempts)})
            backend = S3Backend(address, read_timeout_s=read_timeout_s)
            backend.read("the client reads the environment at its first request")
            return backend

    return open_with


def set_env(patch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in values.items():
        patch.setenv(name, value)


@pytest.fixture
def proxy(shared_proxy: FaultyProxy, opened: Callable[..., S3Backend]) -> Iterator[FaultyProxy]:
    shared_proxy.clear()
    yield shared_proxy
    shared_proxy.clear()
    opened(1).delete("")


@pytest.fixture
def once(opened: Callable[..., S3Backend]) -> S3Backend:
    """Asks once only, so that every lost answer reaches the back end."""
    return opened(1)


@pytest.fixture
def twice(opened: Callable[..., S3Backend]) -> S3Backend:
    """Asks again once, as boto does five times by default."""
    return opened(2)


@pytest.fixture
def hasty(opened: Callable[..., S3Backend]) -> S3Backend:
    """Asks once, and waits no longer than HASTY_S."""
    return opened(1, HASTY_S)


LOST = [
    pytest.param(done_but_refused(500, "InternalError"), id="500"),
    pytest.param(done_but_refused(503, "SlowDown"), id="503"),
    pytest.param(done_but_refused(504, "GatewayTimeout"), id="504"),
    pytest.param(done_but_dropped, id="dropped"),
]
NOT_DONE = [
    pytest.param(refused(500, "InternalError"), id="500"),
    pytest.param(refused(503, "SlowDown"), id="503"),
    pytest.param(refused(429, "TooManyRequests"), id="429"),
    pytest.param(refused(400, "RequestTimeout"), id="400"),
    pytest.param(refused(400, "BadDigest"), id="torn on its way"),
    pytest.param(dropped, id="dropped"),
]


# --- create ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", NOT_DONE)
def test_create_that_never_arrives_is_unreachable(
    once: S3Backend, proxy: FaultyProxy, action: Action
) -> None:
    proxy.plan(action, "PUT", times=ALWAYS)
    with pytest.raises(StoreUnreachable, match="goes on where it stopped") as caught:
        once.create("k", b"one")
    assert f"{once.address}/k at {proxy.url}" in str(caught.value)
    proxy.clear()
    assert once.read("k") is None
    assert once.create("k", b"one")


@pytest.mark.parametrize("action", [refused(500, "InternalError"), refused(503, "SlowDown")])
def test_create_is_asked_again(twice: S3Backend, proxy: FaultyProxy, action: Action) -> None:
    proxy.plan(action, "PUT")
    assert twice.create("k", b"one")
    assert twice.read("k") == b"one"


@pytest.mark.parametrize("action", LOST)
def test_create_whose_answer_is_lost_has_succeeded(
    once: S3Backend, proxy: FaultyProxy, action: Action
) -> None:
    proxy.plan(action, "PUT", times=ALWAYS)
    assert once.create("k", b"one")
    assert not once.create("k", b"two")
    assert once.read("k") == b"one"


@pytest.mark.parametrize("action", LOST[:1] + LOST[-1:])
def test_create_that_boto_repeats_after_a_lost_answer_has_succeeded(
    twice: S3Backend, proxy: FaultyProxy, action: Action
) -> None:
    proxy.plan(action, "PUT")
    assert twice.create("k", b"one")


def test_create_beside_another_knows_that_it_lost(once: S3Backend, proxy: FaultyProxy) -> None:
    once.create("k", b"theirs")
    proxy.plan(refused(500, "InternalError"), "PUT", times=ALWAYS)
    assert not once.create("k", b"ours")
    assert once.create("k", b"theirs")


def test_create_that_arrives_after_all_is_known_when_asked_again(
    hasty: S3Backend, proxy: FaultyProxy
) -> None:
    proxy.plan(done_late(HASTY_S + 0.5), "PUT")
    with pytest.raises(StoreUnreachable, match="no answer in time"):
        hasty.create("k", b"one")
    while hasty.read("k") is None:
        time.sleep(0.05)
    assert hasty.create("k", b"one")


def test_writes_whose_answers_come_too_late_have_succeeded(
    hasty: S3Backend, proxy: FaultyProxy, tmp_path: Path
) -> None:
    proxy.plan(done_but_late(HASTY_S + 0.3), "PUT", times=3)
    assert hasty.create("k", b"one")
    assert hasty.swap("k", b"two", b"one")
    hasty.put_file("x", source_of(tmp_path, 1000))
    assert hasty.sizes("") == {"k": 3, "x": 1000}


def test_create_waits_for_a_conflict_to_pass(once: S3Backend, proxy: FaultyProxy) -> None:
    proxy.plan(refused(409, "ConditionalRequestConflict"), "PUT", times=2)
    assert once.create("k", b"one")


def test_a_conflict_that_stays_is_unreachable(
    once: S3Backend, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_CONFLICT_WAITS_S", (0.01, 0.01))
    proxy.plan(refused(409, "ConditionalRequestConflict"), "PUT", times=ALWAYS)
    with pytest.raises(StoreUnreachable, match="ConditionalRequestConflict"):
        once.create("k", b"one")


def test_create_does_not_trust_a_yes(once: S3Backend, proxy: FaultyProxy) -> None:
    proxy.plan(ignored, "PUT")
    with pytest.raises(StoreUnreachable, match=r"/k at .* took 3 bytes .* found now nothing"):
        once.create("k", b"one")
    assert once.create("k", b"one")


def test_a_torn_create_is_no_commit(once: S3Backend, proxy: FaultyProxy) -> None:
    proxy.plan(torn, "PUT")
    with pytest.raises(StoreUnreachable, match=r"took 6 bytes .* found now 3 other bytes"):
        once.create("k", b"sealed")
    assert once.read("k") is None, "half a manifest stayed"
    assert once.create("k", b"sealed")


def test_a_precondition_that_names_no_condition(once: S3Backend, proxy: FaultyProxy) -> None:
    proxy.plan(refused(412, "PreconditionFailed"), "PUT", times=2)
    assert not once.create("k", b"one")
    assert not once.swap("k", b"one", None)


# --- swap -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("action", NOT_DONE[:1] + NOT_DONE[-1:])
def test_swap_that_never_arrives_is_unreachable(
    once: S3Backend, proxy: FaultyProxy, action: Action, before: bytes | None
) -> None:
    if before is not None:
        once.create("k", before)
    proxy.plan(action, "PUT", times=ALWAYS)
    with pytest.raises(StoreUnreachable):
        once.swap("k", b"new", before)
    proxy.clear()
    assert once.read("k") == before
    assert once.swap("k", b"new", before)


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("action", LOST)
def test_swap_whose_answer_is_lost_has_succeeded(
    once: S3Backend, proxy: FaultyProxy, action: Action, before: bytes | None
) -> None:
    if before is not None:
        once.create("k", before)
    proxy.plan(action, "PUT")
    assert once.swap("k", b"new", before)
    assert once.read("k") == b"new"


def test_swap_that_boto_repeats_after_a_lost_answer_has_succeeded(
    twice: S3Backend, proxy: FaultyProxy
) -> None:
    twice.create("k", b"old")
    proxy.plan(done_but_refused(500, "InternalError"), "PUT")
    assert twice.swap("k", b"new", b"old")


def test_swap_beside_another_knows_that_it_lost(once: S3Backend, proxy: FaultyProxy) -> None:
    once.create("k", b"old")

    def another_is_faster(handler: Handler) -> None:
        handler.forward(b"theirs")
        refused(500, "InternalError")(handler)

    proxy.plan(another_is_faster, "PUT")
    assert not once.swap("k", b"ours", b"old")
    assert once.read("k") == b"theirs"


def test_swap_where_the_file_vanishes_is_false(once: S3Backend, proxy: FaultyProxy) -> None:
    once.create("k", b"old")
    proxy.plan(refused(404, "NoSuchKey"), "PUT")
    assert not once.swap("k", b"new", b"old")


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("action", [ignored, torn])
def test_swap_does_not_trust_a_yes(
    once: S3Backend, proxy: FaultyProxy, action: Action, before: bytes | None
) -> None:
    if before is not None:
        once.create("k", before)
    proxy.plan(action, "PUT")
    with pytest.raises(StoreUnreachable, match=r"/k at .* took 8 bytes without a complaint"):
        once.swap("k", b"whole_ly", before)


@pytest.mark.parametrize("condition", ["IfNoneMatch", "IfMatch"])
def test_a_store_that_ignores_conditions_is_denied_at_the_first_write(
    env: dict[str, str],
    once: S3Backend,
    proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    condition: str,
) -> None:
    once.create("k", b"1")
    set_env(monkeypatch, env)
    backend = S3Backend(once.address)
    proxy.plan(unconditional, "PUT", times=ALWAYS)
    with pytest.raises(StoreDenied, match=f"ignores {condition}.*overwrite each other"):
        if condition == "IfNoneMatch":
            backend.create("another", b"1")
        else:
            backend.swap("k", b"2", b"1")


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's smallest part: 12 MiB go up in three."""
    monkeypatch.setattr(s3, "_PART_BYTES", 5 * MIB)


def source_of(folder: Path, size: int) -> Path:
    source = folder / "source"
    source.write_bytes(os.urandom(size))
    return source


def test_a_large_file_goes_up_in_parts_and_comes_back(
    once: S3Backend, proxy: FaultyProxy, tmp_path: Path
) -> None:
    source = source_of(tmp_path, 65 * MIB)
    once.put_file("big", source)
    parts = [request for request in proxy.requests if "partNumber=" in request]
    assert len(parts) == 5
    proxy.requests.clear()
    with source.open("rb") as expected:
        for chunk in once.chunks("big"):
            assert len(chunk) <= 8 * MIB
            assert chunk == expected.read(len(chunk))
        assert not expected.read(1)
    assert len(proxy.requests) == 9


def test_a_truncated_file_is_noticed_and_removed(
    once: S3Backend, proxy: FaultyProxy, tmp_path: Path
) -> None:
    source = source_of(tmp_path, 1000)
    proxy.plan(torn, "PUT")
    with pytest.raises(StoreUnreachable, match=r"/data/x at .* 1000 bytes .* 500 bytes, now remov"):
        once.put_file("data/x", source)
    assert once.sizes("") == {}
    once.put_file("data/x", source)
    assert once.read("data/x") == source.read_bytes()


def test_a_file_that_was_never_kept_is_noticed(
    once: S3Backend, proxy: FaultyProxy, tmp_path: Path
) -> None:
    proxy.plan(ignored, "PUT")
    with pytest.raises(StoreUnreachable, match="found now nothing"):
        once.put_file("x", source_of(tmp_path, 10))


@pytest.mark.parametrize("action", LOST)
def test_a_file_whose_answer_is_lost_is_there(
    once: S3Backend, proxy: FaultyProxy, tmp_path: Path, action: Action
) -> None:
    source = source_of(tmp_path, 1000)
    proxy.plan(action, "PUT")
    once.put_file("x", source)
    assert once.read("x") == source.read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_a_part_is_asked_again(twice: S3Backend, proxy: FaultyProxy, tmp_path: Path) -> None:
    source = source_of(tmp_path, 12 * MIB)
    proxy.plan(refused(500, "InternalError"), "PUT", "partNumber=2")
    twice.put_file("x", source)
    assert twice.read("x") == source.read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_a_torn_part_is_noticed(once: S3Backend, proxy: FaultyProxy, tmp_path: Path) -> None:
    proxy.plan(torn, "PUT", "partNumber=3")
    with pytest.raises(StoreUnreachable, match="now removed"):
        once.put_file("x", source_of(tmp_path, 12 * MIB))
    assert once.sizes("") == {}


@pytest.mark.usefixtures("small_parts")
def test_a_completion_whose_answer_is_lost_is_there(
    once: S3Backend, proxy: FaultyProxy, tmp_path: Path
) -> None:
    source = source_of(tmp_path, 12 * MIB)
    proxy.plan(done_but_dropped, "POST", "uploadId=", times=ALWAYS)
    once.put_file("x", source)
    assert once.read("x") == source.read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_fails_leaves_no_parts(
    once: S3Backend, proxy: FaultyProxy, tmp_path: Path
) -> None:
    proxy.plan(refused(500, "InternalError"), "PUT", "partNumber=2", times=ALWAYS)
    with pytest.raises(StoreUnreachable):
        once.put_file("x", source_of(tmp_path, 12 * MIB))
    assert once.sizes("") == {}
    url = f"{proxy.url}/{once.address.removeprefix('s3://')}?uploads"
    with urllib.request.urlopen(url) as listing:
        assert b"<UploadId>" not in listing.read()


def test_a_name_that_s3fs_would_cut_is_refused(once: S3Backend, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"\?versionId="):
        once.put_file("x?versionId=3", source_of(tmp_path, 10))
    assert once.create("x?versionId=3", b"elsewhere it is a name like any other")
    assert once.children("") == ["x?versionId=3"]
    once.delete("")


# --- reading --------------------------------------------------------------------------------------


def test_a_broken_body_is_read_again(twice: S3Backend, proxy: FaultyProxy) -> None:
    twice.create("k", b"x" * 100_000)
    proxy.plan(cut, "GET")
    assert twice.read("k") == b"x" * 100_000


def test_a_body_that_always_breaks_is_unreachable(twice: S3Backend, proxy: FaultyProxy) -> None:
    twice.create("k", b"x" * 100_000)
    proxy.plan(cut, "GET", times=ALWAYS)
    with pytest.raises(StoreUnreachable, match="no whole answer"):
        twice.read("k")


def test_one_failure_among_many_reads_is_told(once: S3Backend, proxy: FaultyProxy) -> None:
    keys = [f"k/{number}" for number in range(50)]
    proxy.plan(refused(500, "InternalError"), "GET", "/k/17", times=ALWAYS)
    with pytest.raises(StoreUnreachable, match="/k/17 at"):
        once.read_all(keys)


def test_chunks_go_on_after_a_broken_range(
    twice: S3Backend, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3, "_RANGE_BYTES", 1000)
    source = source_of(tmp_path, 9500)
    twice.put_file("x", source)
    proxy.plan(cut, "GET")
    chunks = twice.chunks("x")
    first = next(chunks)
    proxy.plan(cut, "GET")
    proxy.plan(refused(500, "InternalError"), "GET")
    assert first + b"".join(chunks) == source.read_bytes()


def test_chunks_notice_a_short_range(
    once: S3Backend, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3, "_RANGE_BYTES", 1000)
    once.put_file("x", source_of(tmp_path, 9500))
    chunks = once.chunks("x")
    next(chunks)
    proxy.plan(shortened, "GET")
    with pytest.raises(StoreUnreachable, match=r"found now 500 bytes from byte \d000 on"):
        next(chunks)


def test_chunks_are_of_one_object(
    once: S3Backend, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_RANGE_BYTES", 1000)
    once.create("x", b"a" * 9500)
    chunks = once.chunks("x")
    next(chunks)
    once.swap("x", b"b" * 9500, b"a" * 9500)
    with pytest.raises(StoreUnreachable, match="PreconditionFailed"):
        next(chunks)
    once.delete("x")
    with pytest.raises(FileNotFoundError):
        list(once.chunks("x"))


# --- listings and deletes -------------------------------------------------------------------------


def test_listings_and_deletes_of_more_than_a_page(
    once: S3Backend, proxy: FaultyProxy, s3_env: dict[str, str]
) -> None:
    bucket = once.address.removeprefix("s3://")
    fill(s3_env, bucket, "many/", 1003)
    fill(s3_env, bucket, "many-others/", 1)
    assert once.sizes("many/files") == {str(number): 1 for number in range(1003)}
    names = sorted(str(number) for number in range(1003))
    assert once.children("many/files") == once.children("many/folders") == names
    assert len(once.sizes("many")) == 2006
    proxy.requests.clear()
    once.delete("many")
    assert sum(request.startswith("POST") for request in proxy.requests) == 3
    assert once.sizes("") == {"many-others/files/0": 1, "many-others/folders/0/x": 2}


def test_a_listing_that_stops_half_way_is_no_listing(
    once: S3Backend, proxy: FaultyProxy, s3_env: dict[str, str]
) -> None:
    fill(s3_env, once.address.removeprefix("s3://"), "many/", 600)
    proxy.plan(refused(503, "SlowDown"), "GET", "continuation-token", times=ALWAYS)
    for listing in (once.sizes, once.children, once.delete):
        with pytest.raises(StoreUnreachable, match="SlowDown"):
            listing("many/folders" if listing == once.children else "many")
            once.sizes("many")
    proxy.clear()
    assert len(once.sizes("many")) == 1200


def test_the_consoles_folder_marks_are_no_files(once: S3Backend, s3_env: dict[str, str]) -> None:
    for name in ("v/", "v/a/"):
        url = f"{s3_env['AWS_ENDPOINT_URL']}/{once.address.removeprefix('s3://')}/{name}"
        with urllib.request.urlopen(urllib.request.Request(url, data=b"", method="PUT")):
            pass
    once.create("v/b", b"1")
    assert once.sizes("v") == {"b": 1}
    assert once.children("v") == ["a", "b"]
    once.delete("v")
    assert once.children("") == []


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDenied", StoreDenied), ("InternalError", StoreUnreachable)]
)
def test_a_delete_that_is_refused_in_part_is_told(
    once: S3Backend, proxy: FaultyProxy, code: str, error: type[PhusaError]
) -> None:
    line = f"<Error><Key>v/a</Key><Code>{code}</Code><Message>no</Message></Error>"
    gone = "<Error><Key>v/b</Key><Code>NoSuchKey</Code><Message>no</Message></Error>"

    def answered(lines: str) -> Action:
        body = f"<DeleteResult>{lines}</DeleteResult>".encode()
        return lambda handler: handler.reply(Answer(200, [], body))

    proxy.plan(answered(gone), "POST")
    once.delete("v")
    proxy.plan(answered(gone + line), "POST")
    with pytest.raises(error, match=f"/v/a at .*{code}"):
        once.delete("v")


# --- what is said ---------------------------------------------------------------------------------


def assert_tells_no_secret(error: BaseException, *secrets: str) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.__dict__)
    for secret in (SECRET, KEY_ID, "secret", *secrets):
        assert secret not in shown.replace("aws_secret_access_key", "").replace(
            "assert_tells_no_secret", ""
        )


OPERATIONS: dict[str, Callable[[S3Backend, Path], object]] = {
    "s3:GetObject": lambda backend, _: backend.read("k"),
    "s3:PutObject": lambda backend, _: backend.create("k", b"1"),
    "s3:ListBucket": lambda backend, _: backend.sizes("k"),
    "s3:DeleteObject": lambda backend, _: backend.delete("k"),
    "s3:PutObject ": lambda backend, folder: backend.put_file("k", source_of(folder, 3)),
}


@pytest.mark.parametrize("permission", list(OPERATIONS))
def test_a_refusal_names_the_permission(
    once: S3Backend, proxy: FaultyProxy, permission: str, tmp_path: Path
) -> None:
    method = "POST" if "Delete" in permission else "PUT" if "Put" in permission else "GET"
    proxy.plan(refused(403, "AccessDenied"), method, times=ALWAYS)
    with pytest.raises(StoreDenied, match=f"AccessDenied.*allow {permission.strip()}") as caught:
        OPERATIONS[permission](once, tmp_path)
    assert "Allow s3:GetObject" in str(caught.value)
    assert_tells_no_secret(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "error", "remedy"),
    [
        (404, "NoSuchBucket", StoreDenied, "aws s3 mb"),
        (403, "InvalidAccessKeyId", StoreDenied, "AWS_PROFILE"),
        (403, "SignatureDoesNotMatch", StoreDenied, "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", StoreDenied, "AWS_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", StoreDenied, "clock"),
        (301, "PermanentRedirect", StoreDenied, "AWS_REGION"),
        (501, "NotImplemented", StoreDenied, "conditional writes"),
        (400, "InvalidArgument", StoreDenied, "documentation explains the code"),
        (403, "QuotaExceeded", StoreFull, "goes on where it stopped"),
        (507, "InsufficientStorage", StoreFull, "Free some space"),
        (507, "XMinioStorageFull", StoreFull, "--store"),
        (507, "Unheard", StoreFull, "quota"),
        (400, "XMinioAdminBucketQuotaExceeded", StoreFull, "quota"),
        (500, "InternalError", StoreUnreachable, "goes on where it stopped"),
        (503, "ServiceUnavailable", StoreUnreachable, "AWS_ENDPOINT_URL"),
    ],
)
def test_each_answer_has_its_error_and_remedy(
    once: S3Backend,
    proxy: FaultyProxy,
    status: int,
    code: str,
    error: type[PhusaError],
    remedy: str,
    tmp_path: Path,
) -> None:
    proxy.plan(refused(status, code), "PUT", times=ALWAYS)
    for write in (
        lambda: once.create("k", b"1"),
        lambda: once.swap("k", b"1", None),
        lambda: once.put_file("k", source_of(tmp_path, 3)),
    ):
        with pytest.raises(error, match=remedy) as caught:
            write()
        assert code in str(caught.value)
        assert f"{once.address}/k at {proxy.url}" in str(caught.value)
        assert_tells_no_secret(caught.value)


def test_a_bucket_that_does_not_exist(
    env: dict[str, str], proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_env(monkeypatch, env)
    backend = S3Backend("s3://no-such-bucket/x")
    for ask in (
        lambda: backend.read("k"),
        lambda: backend.create("k", b"1"),
        lambda: backend.swap("k", b"1", None),
        lambda: backend.sizes(""),
        lambda: backend.children(""),
        lambda: backend.delete("k"),
        lambda: list(backend.chunks("k")),
        lambda: backend.put_file("k", source_of(tmp_path, 3)),
    ):
        with pytest.raises(StoreDenied, match=r"NoSuchBucket.*aws s3 mb"):
            ask()


@pytest.mark.parametrize(
    "change",
    [
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_PROFILE": "absent"},
        {"AWS_MAX_ATTEMPTS": "many"},
        {"AWS_ENDPOINT_URL": "127.0.0.1:1"},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_denied(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
) -> None:
    set_env(monkeypatch, {k: v for k, v in {**env, **change}.items() if v})
    with pytest.raises(StoreDenied, match="AWS_ENDPOINT_URL") as caught:
        S3Backend("s3://bucket/x").read("k")
    assert_tells_no_secret(caught.value)


def test_a_store_that_is_not_there(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses connections
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        set_env(monkeypatch, {**env, "AWS_ENDPOINT_URL": endpoint, "AWS_MAX_ATTEMPTS": "1"})
        with pytest.raises(StoreUnreachable, match="no connection") as caught:
            S3Backend("s3://bucket/x").create("k", b"1")
    assert f"s3://bucket/x/k at {endpoint}" in str(caught.value)
    assert "goes on where it stopped" in str(caught.value)
    assert_tells_no_secret(caught.value)


def test_credentials_in_the_endpoint_are_denied_and_not_told(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = env["AWS_ENDPOINT_URL"].replace("//", "//someone:hunter2@")
    set_env(monkeypatch, {**env, "AWS_ENDPOINT_URL": endpoint, "AWS_MAX_ATTEMPTS": "1"})
    with caplog.at_level(logging.INFO), pytest.raises(StoreDenied, match="endpoint") as caught:
        S3Backend("s3://bucket/x").create("k", b"1")
    assert f"at {env['AWS_ENDPOINT_URL']}" in str(caught.value)
    assert_tells_no_secret(caught.value, "hunter2", "someone")
    for secret in ("hunter2", SECRET, KEY_ID):
        assert secret not in caplog.text


def test_attempts_are_botos_own(
    env: dict[str, str], proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_env(monkeypatch, {**env, "AWS_MAX_ATTEMPTS": "3"})
    proxy.plan(refused(500, "InternalError"), "GET", times=ALWAYS)
    with pytest.raises(StoreUnreachable):
        S3Backend("s3://bucket/x").read("k")
    assert len(proxy.requests) == 3
    proxy.requests.clear()
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    with pytest.raises(StoreUnreachable):
        S3Backend("s3://bucket/x").read("k")
    assert len(proxy.requests) == 5


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("s3://AKIAEXAMPLE:hunter2@bucket/x", "credentials, a port, options"),
        ("s3://AKIAEXAMPLE:hun/ter2@bucket/x", "credentials, a port, options"),
        ("s3://hunter2@bucket", "credentials, a port, options"),
        ("s3://key:hunter2@127.0.0.1:9000/bucket", "credentials, a port, options"),
        ("s3://bucket/x?aws_secret_access_key=hunter2", "credentials, a port, options"),
        ("s3://hunter2 bucket", "no bucket can have"),
        ("s3://", "found no bucket"),
        ("s3:///x", "found no bucket"),
        ("s3://b", "no bucket can have"),
        ("s3://../x", "no bucket can have"),
        ("s3://bucket/../hunter2", "in the prefix"),
    ],
)
def test_addresses_that_are_refused_and_not_repeated(address: str, found: str) -> None:
    with pytest.raises(RequestError, match=rf"{found}.*expected s3://BUCKET") as caught:
        open_backend(address)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in ("hunter2", "ter2", "AKIAEXAMPLE"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket//a//b", "s3://bucket/a/b"),
        ("s3://bucket/a@b:c", "s3://bucket/a@b:c"),
    ],
)
def test_addresses_are_brought_into_one_form(address: str, normal: str) -> None:
    assert open_backend(address).address == normal


def test_only_the_host_of_an_endpoint_is_shown() -> None:
    assert public_url("https://u:p@w@host:9000/path?token=t") == "https://host:9000"
    assert public_url("https://host/p@th") == "https://host"
