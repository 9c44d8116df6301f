"""Socket Mode: Bolt's connection to Slack, that takes what can be committed and leaves the rest with Slack."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from threading import Condition
from typing import Any, cast

from slack_bolt.adapter.socket_mode.internals import send_response
from slack_bolt.request import BoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.interval_runner import IntervalRunner
from slack_sdk.socket_mode.request import SocketModeRequest

from gateway import logs
from gateway.errors import GatewayError

CONNECT_SECONDS = 10.0
"""From one attempt to the next, while there has been no connection yet; later on, the client sees to it."""
PING_SECONDS = 5.0
CALL_SECONDS = 10
BUFFER_BYTES = 16 * 1024
"""What is read at once. The client goes one call deeper for each piece of a message and for each message in a piece."""

log = logs.get(__name__)


class Socket:
    """One connection; Slack sends each envelope over one of all that are open, and again if nobody acknowledges it."""

    def __init__(self, answer: Callable[[BoltRequest], BoltResponse], app_token: str, api_url: str) -> None:
        """``answer`` is called in the client's threads; what it raises leaves the envelope with Slack."""
        self._answer = answer
        self.client = Client(
            app_token=app_token,
            logger=_quiet(),
            web_client=WebClient(base_url=api_url, timeout=CALL_SECONDS, retry_handlers=[]),
            ping_interval=PING_SECONDS,
            receive_buffer_size=BUFFER_BYTES,
        )
        self.client.socket_mode_request_listeners.append(self.handle)
        self._connector = IntervalRunner(self._try_to_connect, CONNECT_SECONDS)
        self._change = Condition()
        self._shut = False
        self._busy = 0

    def open(self) -> None:
        """Connect, in a thread of the client's kind. Returns at once."""
        self._connector.start()

    def shut(self) -> None:
        """Take no more, let what is half taken be committed and acknowledged, and disconnect."""
        with self._change:
            self._shut = True
            self._change.wait_for(lambda: self._busy == 0)
        self._connector.event.set()
        self.client.close()

    def handle(self, client: BaseSocketModeClient, req: SocketModeRequest) -> None:
        with self._change:
            if self._shut:
                return
            self._busy += 1
        try:
            self._take(client, req)
        finally:
            with self._change:
                self._busy -= 1
                self._change.notify_all()

    def _take(self, client: BaseSocketModeClient, req: SocketModeRequest) -> None:
        started = time.time()
        try:
            answer = self._answer(BoltRequest(mode="socket_mode", body=req.payload))
            send_response(client, req, answer, started)
        except GatewayError as exc:
            log.warning("event not taken; Slack sends it again", kind=req.type, code=exc.code, error=str(exc))
        except SlackClientError:  # it is committed: when it comes again, it is known
            log.info("connection lost before an event was acknowledged", kind=req.type)
        except Exception:
            log.exception("event broke off; Slack sends it again", kind=req.type)

    def _try_to_connect(self) -> None:
        try:
            self.client.connect()
        except SlackApiError as exc:
            error = exc.response.get("error")
            log.error("Slack does not accept SLACK_APP_TOKEN; it is tried again", error=error)  # noqa: TRY400  # not a bug
        except (OSError, HTTPException, SlackClientError) as exc:
            log.warning("Slack cannot be reached for Socket Mode; it is tried again", error=str(exc))
        else:
            log.info("connected to Slack by Socket Mode")
            self._connector.event.set()
        if self._shut:
            self.client.close()


class Client(SocketModeClient):
    """The SDK's client, that notices when the other side is gone.

    Its own reads an end of the stream as a message of no bytes, again and again: a core is busy with it for most of a
    minute until five pings have failed, and as long as that nothing is connected.
    """

    def connect(self) -> None:
        super().connect()
        connection = self.current_session
        if connection is not None and connection.sock is not None:
            connection.sock = cast("Any", Ending(connection.sock, self))

    def close(self) -> None:
        """Without waiting until Slack says something, as the locks on the socket and the queue would."""
        self.closed = True
        self.current_app_monitor.event.set()
        self.message_queue.put(None)
        connection = self.current_session
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        super().close()
        self.disconnect()  # a new connection may have come while the old one was closed

    def disconnect(self) -> None:
        with suppress(AttributeError):  # of two threads that disconnect at once, the second finds no socket any more
            super().disconnect()


class Ending:
    """A socket whose end is an error, as long as its client wants it open."""

    def __init__(self, sock: socket.socket, client: Client) -> None:
        self._sock = sock
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        received = self._sock.recv(size)
        if not received and not self._client.closed:
            raise ConnectionResetError("Slack closed the connection")
        return received


def _quiet() -> logging.Logger:
    """The client's log: it tells of each connection below warnings, and of what it tries again as of errors."""
    quiet = logging.getLogger("slack.socket")
    quiet.setLevel(logging.WARNING)
    return quiet
