"""Receives Slack's events by Socket Mode: an envelope is acknowledged when its content is committed."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from threading import Condition
from typing import Any, cast

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.builtin.connection import Connection, ConnectionState
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from adapters.base.background_task import BACKOFF, BackgroundTask, RunCoroutine
from adapters.base.json_fields import Fields
from gateway import logs
from gateway.coordination.retry import Backoff, retry
from gateway.domain.errors import DeliveryError, GatewayError

PING_SECONDS = 5.0
CALL_SECONDS = 10
TRANSIENT = frozenset({"fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"})
"""Errors that say nothing about the token: docs.slack.dev/reference/methods/apps.connections.open#errors"""
BUFFER_BYTES = 16 * 1024
"""Bytes per read. The client recurses once for each piece of a message, and for each message in a piece."""

log = logs.get_logger(__name__)


class SocketMode:
    """One connection. Slack sends each envelope over one of all open connections, again if it is not acknowledged."""

    def __init__(
        self,
        receive: Callable[[Fields], str],
        app_token: str,
        api_url: str,
        run: RunCoroutine,
        *,
        setting: str,
        backoff: Backoff = BACKOFF,
    ) -> None:
        """``receive``: commits a payload, and returns the JSON to answer at once, if any. Called in client threads.

        If it raises, the envelope is not acknowledged. ``setting``: that has the token, for the log. ``backoff``: of
        the first connection; later on the client reconnects.
        """
        self._setting = setting
        self._receive = receive
        self._backoff = backoff
        self.client = Client(
            app_token=app_token,
            logger=_client_logger(),
            web_client=WebClient(base_url=api_url, timeout=CALL_SECONDS, retry_handlers=[]),
            ping_interval=PING_SECONDS,
            receive_buffer_size=BUFFER_BYTES,
        )
        self.client.socket_mode_request_listeners.append(self._handle)
        self._connector = BackgroundTask(run, self._connect, "slack-socket")
        self._change = Condition()
        self._closed = False
        self._busy = 0

    def open(self) -> None:
        """Connects, in a thread of its own. Returns at once."""
        self._connector.start()

    def close(self) -> None:
        """Accepts no more envelopes, waits until those in work are committed and acknowledged, and disconnects."""
        with self._change:
            self._closed = True
            self._change.wait_for(lambda: self._busy == 0)
        self._connector.cancel()
        self.client.close()

    def _handle(self, client: BaseSocketModeClient, req: SocketModeRequest) -> None:
        with self._change:
            if self._closed:
                return
            self._busy += 1
        try:
            self._commit_and_acknowledge(client, req)
        finally:
            with self._change:
                self._busy -= 1
                self._change.notify_all()

    def _commit_and_acknowledge(self, client: BaseSocketModeClient, req: SocketModeRequest) -> None:
        try:
            body = self._receive(req.payload)
            answer = SocketModeResponse(req.envelope_id, json.loads(body) if body else None)
            client.send_socket_mode_response(answer)
        except GatewayError as exc:
            log.warning("event not committed; Slack sends it again", kind=req.type, code=exc.code, error=str(exc))
        except SlackClientError:  # it is committed: sent again, it is recognised
            log.info("connection lost before an event was acknowledged", kind=req.type)
        except Exception:
            log.exception("event failed; Slack sends it again", kind=req.type)

    async def _connect(self) -> None:
        problem = "Slack not connected by Socket Mode; retrying"
        await retry(self._connect_in_thread, problem, self._backoff, needs_operator=_is_rejected_token)
        log.info("connected to Slack by Socket Mode")

    async def _connect_in_thread(self) -> None:
        """Raises AppTokenRejected, DeliveryError."""
        try:
            await asyncio.to_thread(self._connect_now)
        except SlackApiError as exc:
            code = exc.response.get("error")
            if code in TRANSIENT:
                raise DeliveryError(f"Slack answers {code}.") from None
            raise AppTokenRejected(f"Slack does not accept {self._setting}: {code}.") from None
        except (OSError, HTTPException, SlackClientError) as exc:
            raise DeliveryError(f"Slack cannot be reached: {exc}") from None

    def _connect_now(self) -> None:
        try:
            self.client.connect()
        finally:
            if self._closed:
                self.client.close()


class AppTokenRejected(DeliveryError):
    """Slack does not open a connection for this app-level token."""


def _is_rejected_token(exc: Exception) -> bool:
    return isinstance(exc, AppTokenRejected)


class Client(SocketModeClient):
    """The SDK's client, which also notices when the other side closes the stream, and when it is closed itself.

    The SDK reads the end of a stream as an empty message, again and again: it keeps a core busy for most of a minute,
    until five pings have failed, and is not connected meanwhile.
    """

    def _run_current_session(self) -> None:
        """Reads from the connection until it ends.

        The SDK's own notes that it begins after it has looked whether there is a connection: one that ended in between
        would be waited for without end, by ``close`` as well.
        """
        connection = self.current_session
        if connection is not None:
            connection.run_until_completion(StateOfConnection(connection))

    def connect(self) -> None:
        super().connect()
        connection = self.current_session
        if connection is not None and connection.sock is not None:
            connection.sock = cast("Any", EofSocket(connection.sock, self))

    def close(self) -> None:
        """Closes without waiting for the next message from Slack, as the locks on the socket and the queue would."""
        self.closed = True
        self.current_app_monitor.event.set()
        self.message_queue.put(None)
        connection = self.current_session
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        super().close()
        self.disconnect()  # a new connection may have been opened meanwhile

    def disconnect(self) -> None:
        with suppress(AttributeError):  # of two threads that disconnect at once, the second finds no socket
            super().disconnect()


class StateOfConnection(ConnectionState):
    """Has ended, for its reader, as soon as the connection has."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ended = False

    @property
    def terminated(self) -> bool:
        return self._ended or not self._connection.is_active()

    @terminated.setter
    def terminated(self, ended: bool) -> None:
        self._ended = ended


class EofSocket:
    """A socket that raises at the end of its stream. Once its client is closed, whatever ends it is the end."""

    def __init__(self, sock: socket.socket, client: Client) -> None:
        self._sock = sock
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        try:
            received = self._sock.recv(size)
        except OSError:
            if self._client.closed:
                return b""
            raise
        if not received and not self._client.closed:
            raise ConnectionResetError("Slack closed the connection")
        return received


def _client_logger() -> logging.Logger:
    """Returns the client's log, without its lines about each connection."""
    logger = logging.getLogger("slack.socket")
    logger.setLevel(logging.WARNING)
    return logger
