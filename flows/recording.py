"""Flow runs that outlive the Prefect server that records them.

Prefect's engine asks the server when a flow begins and when it ends, and raises where there is no
answer in a minute: the work of hours was lost to a server that had restarted, though its artifact
was sealed. Here the work's own outcome counts; while the server is away, flows run without it, and
what it has not heard of is told at the end, if it is there again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)
from prefect.states import Completed, Crashed, Failed

from flows.operations.server import is_healthy
from storage.errors import Fault, RunError
from tasks.progress import note

T = TypeVar("T")

_AWAY = (httpx.HTTPError, ObjectNotFound)  # or back without what it knew
_REQUEST_S = 2.0
_DRAIN_S = 2.0
_CRASHED = "the process of this run ended before it did"

_OUTCOME: ContextVar[Future[Any] | None] = ContextVar("phusa_outcome", default=None)
_UNHEARD: dict[str, Future[Any]] = {}
"""Outcomes of this process's flow runs, by id, of which the server has not recorded the end."""

_missed: list[str] = []  # why the server was last found to be away; empty while it is there


def run_recorded(flow: Flow[Any, T], parameters: Mapping[str, Any]) -> T:
    """Run a flow, and end as its work does, whether or not the server records it.

    Raises RunError if no flow is going around it and the server does not answer.
    """
    outcome: Future[T] = Future()
    token = _OUTCOME.set(outcome)
    try:
        if not _missed or is_healthy(str(PREFECT_API_URL.value())):
            _missed.clear()
            return _called(flow, parameters, outcome)
    except _AWAY as error:
        _missed.append(f"{type(error).__name__}: {error}")
        note(f"the Prefect server does not answer ({_missed[-1]}); the work goes on without it")
    finally:
        _OUTCOME.reset(token)
    if outcome.done():
        return outcome.result()
    if FlowRunContext.get() is None:
        where, found = f"the Prefect server at {PREFECT_API_URL.value()}", _missed[-1]
        remedy = "Start it, or unset PREFECT_API_URL: a run then has a server of its own."
        raise RunError(Fault(where, found, "an answer", remedy, "prefect_server_away"))
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):  # what it would show on its page
        made: T = flow.fn(**flow.validate_parameters(dict(parameters)))
        return made


def _called(flow: Flow[Any, T], parameters: Mapping[str, Any], outcome: Future[T]) -> T:
    """Call a flow; unless the server failed, its end is recorded then."""
    heard = True
    try:
        made: T = flow(**parameters)
        return made
    except _AWAY:
        heard = False
        raise
    finally:
        for run in [run for run, of in list(_UNHEARD.items()) if heard and of is outcome]:
            del _UNHEARD[run]


def kept(work: Callable[[], T]) -> T:
    """Do the work of the flow run in hand, and keep what came of it for `run_recorded`."""
    outcome = _OUTCOME.get()
    if outcome is None or outcome.done():  # a worker runs this, or it goes on without a record
        return work()
    _OUTCOME.set(None)  # the flows within have their own
    _UNHEARD[str(flow_run.get_id())] = outcome
    try:
        made = work()
    except BaseException as error:
        outcome.set_exception(error)
        raise
    outcome.set_result(made)
    return made


def catch_up() -> bool:
    """Tell the server what it has not heard of; False if it does not listen within seconds."""
    url = str(PREFECT_API_URL.value())
    if _UNHEARD and is_healthy(url):
        with _client(url) as client:
            for run, outcome in list(_UNHEARD.items()):
                client.set_flow_run_state(UUID(run), _state(outcome), force=True)
                del _UNHEARD[run]
    left = [
        worker.drain_all(timeout=_DRAIN_S)[1]  # type: ignore[index]  # awaitable in a loop alone
        for worker in (EventsWorker, APILogWorker)
    ]
    return not _UNHEARD and not any(left)


def _state(outcome: Future[Any]) -> State[Any]:
    if not outcome.done():
        return Crashed(message=_CRASHED)
    error = outcome.exception()
    return Completed() if error is None else Failed(message=f"{type(error).__name__}: {error}")


def mark_crashed(url: str, auth: str, runs: Iterable[str]) -> None:
    """Mark those runs that the server believes to be going on."""
    with _client(url, auth) as client:
        for run in map(UUID, runs):
            state = client.read_flow_run(run).state
            if state is None or not state.is_final():
                client.set_flow_run_state(run, Crashed(message=_CRASHED), force=True)


@contextmanager
def _client(url: str, auth: str | None = None) -> Iterator[SyncPrefectClient]:
    """A client that asks once and does not wait long."""
    auth, key = auth or PREFECT_API_AUTH_STRING.value(), PREFECT_API_KEY.value()
    settings = {"timeout": _REQUEST_S}
    with (
        suppress(*_AWAY),
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        SyncPrefectClient(url, auth_string=auth, api_key=key, httpx_settings=settings) as client,
    ):
        yield client
