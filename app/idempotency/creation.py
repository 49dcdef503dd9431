"""Creating something once. The answer is stored in the transaction that creates it, and replayed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Protocol, TypeVar

from anyio.to_thread import run_sync
from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from app.core.db import ProjectDatabase, WriteSession
from app.core.db.base import database_time
from app.core.db.idempotency_keys import (
    IdempotencyKey,
    lock_idempotency_key,
    release_key,
    renew_lease,
    store_answer,
)
from app.dependencies import PrincipalDep, SettingsDep, WholeDatabaseDep
from app.domain.errors import InProgress, InvalidRequest
from app.idempotency.fingerprint import STATE, Fingerprint

logger = logging.getLogger(__name__)

REPLAYED_HEADER: Final = "idempotent-replayed"

_MAX_KEY = 255
_LEASE = timedelta(seconds=60)
"""A request whose process was killed can be sent again after so long."""
_RENEWED_EVERY_S = _LEASE.total_seconds() / 3

S_co = TypeVar("S_co", bound=WriteSession, covariant=True)
B = TypeVar("B", bound=BaseModel)


class Transactional(Protocol[S_co]):
    """A database, of all projects or of one."""

    def transaction(self) -> AbstractContextManager[S_co]: ...


@dataclass(frozen=True)
class KeyedRequest:
    """What a client calls a request by, to send it again and have it done once."""

    operation: str
    key: str
    fingerprint: Fingerprint
    keep_for: timedelta


class Replayed(Exception):  # noqa: N818 - nothing is wrong: the answer is there already
    """A request was answered before; carries that answer."""

    def __init__(self, *, status: int, body: str | None, location: str | None) -> None:
        super().__init__(location)
        self.status = status
        self.body = body
        self.location = location


class Creation:
    """One request that creates something, with or without a key.

    Args:
        database: of the project that sends it; its keys are its own.
        response: gets the headers of the answer.
        status: of the answer.
        request: None where it has no key.
    """

    def __init__(
        self, database: ProjectDatabase, response: Response, *, status: int, request: KeyedRequest | None
    ) -> None:
        self._database = database
        self._response = response
        self._status = status
        self._request = request
        self._handling: str | None = None
        self._is_answered = False

    @contextmanager
    def transaction(self, database: Transactional[S_co]) -> Iterator[S_co]:
        """A transaction that creates something and gives it to ``answer``; not begun for a replay.

        What fails leaves the key as if it had not been used: nothing was created.

        Raises:
            Replayed: the same request was answered before.
            InProgress: it is being handled at this moment.
            InvalidRequest: its key came with another request before.
        """
        if self._request is None:
            with database.transaction() as session:
                yield session
            return
        self._handling = self._reserve(self._request)
        try:
            with database.transaction() as session:
                yield session
                assert self._is_answered, "what is created once is given to answer()"
        except BaseException:
            with _logged("the key of a failed request is not released"):
                self._release(self._handling)
            raise
        finally:
            self._handling = None

    def answer(self, session: WriteSession, body: B, *, location: str, status: int | None = None) -> B:
        """Give what was created to the client, now and whenever the request is sent again.

        Args:
            session: of the transaction that creates it.
            body: of the answer.
            location: its path.
            status: of the answer, where it is not the route's.
        """
        self._response.headers["location"] = location
        if status is not None:
            self._response.status_code = self._status = status
        if self._handling is not None:
            is_stored = store_answer(
                session,
                self._handling,
                status=self._status,
                body=body.model_dump_json(),
                location=location,
            )
            if not is_stored:
                raise _in_progress()
            self._is_answered = True
        return body

    async def renew(self) -> None:
        """Go on saying that the request is being handled, which may take long."""
        while True:
            await asyncio.sleep(_RENEWED_EVERY_S)
            if (handling := self._handling) is not None:
                with _logged("the lease of a request is not renewed"):
                    await run_sync(self._renew_once, handling)

    def _reserve(self, request: KeyedRequest) -> str:
        fingerprint = request.fingerprint.hexdigest()
        with self._database.transaction() as session:
            earlier = lock_idempotency_key(session, operation=request.operation, key=request.key)
            now = database_time(session)
            if earlier is not None:
                if not earlier.is_free(now):
                    _refuse_or_replay(earlier, fingerprint)
                session.delete(earlier)
                session.flush()
            row = IdempotencyKey(
                operation=request.operation,
                key=request.key,
                fingerprint=fingerprint,
                leased_until=now + _LEASE,
                expires_at=now + request.keep_for,
            )
            try:
                with session.begin_nested():
                    session.add(row)
            except IntegrityError:  # two requests with one key at once
                raise _in_progress() from None
        return row.id

    def _renew_once(self, handling: str) -> None:
        with self._database.transaction() as session:
            renew_lease(session, handling, _LEASE)

    def _release(self, handling: str) -> None:
        with self._database.transaction() as session:
            release_key(session, handling)


async def get_creation(
    request: Request,
    response: Response,
    principal: PrincipalDep,
    database: WholeDatabaseDep,
    settings: SettingsDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Makes retries safe: a request that is sent again with the same key and content gets "
            "the first one's answer, with the header `Idempotent-Replayed: true`, and creates nothing. Up to "
            f"{_MAX_KEY} characters; keys are kept for a day by default. Requests that fail do not use up "
            "their key."
        ),
    ] = None,
) -> AsyncIterator[Creation]:
    """The creation that a request asks for."""
    route: APIRoute = request.scope["route"]
    keyed = None
    if idempotency_key is not None:
        keyed = KeyedRequest(
            operation=f"{request.method} {route.path}",
            key=_unquoted(idempotency_key),
            fingerprint=request.scope["state"][STATE],
            keep_for=settings.keep_idempotency_keys,
        )
    keys = database.of(principal.project_id)  # in nobody's name: a key is nothing that is audited
    creation = Creation(keys, response, status=route.status_code or 200, request=keyed)
    if keyed is None:
        yield creation
        return
    renewing = asyncio.create_task(creation.renew())
    try:
        yield creation
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing


CreationDep = Annotated[Creation, Depends(get_creation)]


async def replay(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler of Starlette
    """The stored answer."""
    assert isinstance(error, Replayed)
    headers = {REPLAYED_HEADER: "true"}
    if error.location is not None:
        headers["location"] = error.location
    return Response(error.body, error.status, headers=headers, media_type="application/json")


def _refuse_or_replay(earlier: IdempotencyKey, fingerprint: str) -> None:
    if earlier.fingerprint != fingerprint:
        raise InvalidRequest(
            "idempotency_key_reused",
            "This Idempotency-Key was used before with another request. Use a new key.",
            location=earlier.location,
        )
    if earlier.status is None:
        raise _in_progress()
    raise Replayed(status=earlier.status, body=earlier.body, location=earlier.location)


def _in_progress() -> InProgress:
    return InProgress(
        "request_in_progress",
        "A request with this Idempotency-Key is being handled. Repeat it in a moment to get its answer.",
    )


def _unquoted(key: str) -> str:
    """The key without the quotes that the standard writes and most clients do not."""
    unquoted = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 0 < len(unquoted) <= _MAX_KEY or not unquoted.isprintable():
        raise InvalidRequest(
            "invalid_idempotency_key", f"An Idempotency-Key must have 1 to {_MAX_KEY} printable characters."
        )
    return unquoted


@contextmanager
def _logged(message: str) -> Iterator[None]:
    """What fails here is made up for when the lease runs out."""
    try:
        yield
    except (SQLAlchemyError, OSError):
        logger.warning(message, exc_info=True)
