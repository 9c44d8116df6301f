"""The web server as a process: sockets, signals and disconnecting clients."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from gateway.domain.errors import SettingsError
from gateway.web import server
from tests.adapters.chat import parse
from tests.fakes import chat_server
from tests.faults.crashing_process import fork_context
from tests.waiting import until


class SiteProcess:
    """A running ``tests.fakes.chat_server``."""

    def __init__(self, **options: Any) -> None:
        input_, output, errors = (multiprocessing.Pipe(duplex=False) for _ in range(3))
        streams = input_[0], output[1], errors[1]
        self._process = fork_context.Process(target=chat_server.run_forked, args=(options, *streams), daemon=True)
        self._process.start()
        for stream in streams:
            stream.close()
        self._input = input_[1]
        self._output = os.fdopen(os.dup(output[0].fileno()))
        self._errors = os.fdopen(os.dup(errors[0].fileno()))
        for read in (output[0], errors[0]):
            read.close()
        self.url = self.read_line()
        self.port = int(self.url.rpartition(":")[2]) if ":" in self.url else 0

    def read_line(self) -> str:
        return self._output.readline().strip()

    def open_gate(self) -> None:
        os.write(self._input.fileno(), b"\n")

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait_for_exit(self, number: int | None = None) -> tuple[int, str]:
        """Waits for the exit, after sending a signal if one is given; returns exit status and standard error."""
        if number is not None:
            self.send_signal(number)
        self._process.join(30)
        assert self._process.exitcode is not None
        return self._process.exitcode, self._errors.read()

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        for stream in (self._input, self._output, self._errors):
            stream.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    @contextmanager
    def open_request(self, method: str, path: str, body: Any = None, **headers: str) -> Iterator[HTTPResponse]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            raw = None if body is None else json.dumps(body)
            connection.request(method, path, raw, {"Content-Type": "application/json", "Connection": "close"} | headers)
            with connection.getresponse() as response:
                yield response

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Sends a request; returns status and body."""
        with self.open_request(method, path, body, **headers) as response:
            return response.status, json.load(response)

    def waiting_callers(self) -> int:
        """Returns the number of clients that wait for a reply."""
        (told,) = self.request("GET", "/readyz")[1]["checks"]
        return int(told.split()[0])


@pytest.fixture
def start() -> Iterator[Callable[..., SiteProcess]]:
    processes: list[SiteProcess] = []

    def begin(**options: Any) -> SiteProcess:
        processes.append(SiteProcess(**options))
        return processes[-1]

    yield begin
    for process in processes:
        process.close()


Start = Callable[..., SiteProcess]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def send_message(pool: ThreadPoolExecutor, process: SiteProcess) -> Future[tuple[int, Any]]:
    """Sends a message in a thread; the result is status and body."""
    return pool.submit(process.request, "POST", "/chat", {"message": "hi"})


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_request_that_runs_when_the_process_is_stopped_gets_its_answer_and_no_new_one_is_taken(
    start: Start, pool: ThreadPoolExecutor, number: int
) -> None:
    process = start()
    answer = send_message(pool, process)
    until(process.waiting_callers)
    process.send_signal(number)
    assert process.read_line() == "stopping"
    until(lambda: is_refused(process))
    process.open_gate()
    status, body = answer.result(30)
    assert (status, body["response"]) == (200, "at last")
    assert process.read_line() == "stopped True"
    assert process.wait_for_exit() == (0, "")


def is_refused(process: SiteProcess) -> bool:
    try:
        process.connect().close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the port was closed while this connection was in its backlog
        return False
    return False


def test_a_stream_that_runs_when_the_process_is_stopped_ends_as_it_should(start: Start) -> None:
    process = start()
    with process.open_request("POST", "/chat", {"message": "hi", "stream": True}) as response:
        assert response.readline() == b"event: turn\n"
        process.send_signal(signal.SIGTERM)
        assert process.read_line() == "stopping"
        process.open_gate()
        assert b"event: done" in response.read()
    assert process.wait_for_exit() == (0, "")


def test_callers_whose_turn_outlives_the_process_are_told_where_to_look(start: Start, pool: ThreadPoolExecutor) -> None:
    process = start(grace=1.0)
    answer = send_message(pool, process)
    until(process.waiting_callers)
    assert process.wait_for_exit(signal.SIGTERM) == (0, "")
    status, body = answer.result(30)
    assert (status, body["error"]["code"]) == (504, "timed_out")
    assert body["error"]["turn_id"]


def test_a_request_that_outlives_the_grace_time_is_cut_off(start: Start, pool: ThreadPoolExecutor) -> None:
    process = start(grace=0.2, let_go=False)
    answer = send_message(pool, process)
    until(process.waiting_callers)
    status, errors = process.wait_for_exit(signal.SIGTERM)
    assert status == 0
    assert "requests cut off" in errors
    assert isinstance(answer.exception(30), OSError)


def test_a_second_interrupt_ends_the_process_at_once(start: Start, pool: ThreadPoolExecutor) -> None:
    process = start()
    send_message(pool, process)
    until(process.waiting_callers)
    process.send_signal(signal.SIGINT)
    assert process.read_line() == "stopping"
    assert process.wait_for_exit(signal.SIGINT) == (130, "")


def test_a_process_that_is_stopped_while_it_starts_ends_in_good_order(start: Start) -> None:
    process = start(slow=True)
    assert process.url == "starting"
    process.send_signal(signal.SIGTERM)
    process.open_gate()
    assert process.read_line().startswith("http://127.0.0.1:")
    assert process.read_line() == "stopping"
    assert process.read_line() == "stopped True"
    assert process.wait_for_exit() == (0, "")


def test_under_nohup_a_terminal_that_hangs_up_stops_nothing(start: Start) -> None:
    process = start(nohup=True)
    process.send_signal(signal.SIGHUP)
    assert process.request("GET", "/healthz") == (200, {"status": "ok"})
    assert process.wait_for_exit(signal.SIGTERM) == (0, "")


def test_callers_who_have_said_nothing_hold_nothing_up(start: Start) -> None:
    process = start()
    with process.connect(), closing(HTTPConnection("127.0.0.1", process.port)) as kept:
        kept.request("GET", "/healthz")
        assert kept.getresponse().read() == b'{"status":"ok"}\n'
        assert process.wait_for_exit(signal.SIGTERM) == (0, "")


def test_a_port_that_is_taken_is_one_line_and_status_1(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(port=port)
        assert process.url == ""
        status, errors = process.wait_for_exit()
    assert status == 1
    assert errors == f"Cannot listen on 127.0.0.1:{port}: the port is in use. Set HOST and PORT to a free address.\n"


@pytest.mark.parametrize("host", ["bot..example.com", "a" * 64, "bot.example.com:8080"])
def test_what_is_no_name_of_a_machine_is_one_line(host: str) -> None:
    with pytest.raises(SettingsError, match=f"^Cannot listen on {re.escape(host)}:0: .*Set HOST and PORT"):
        server.serve(pytest.fail, host=host, port=0, grace_seconds=0.0)


# ---------------------------------------------------------------- serving


def test_the_first_words_of_a_stream_come_through_before_the_rest_is_known(start: Start) -> None:
    process = start()
    with process.open_request("POST", "/chat", {"message": "hi", "stream": True}) as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        seen = b""
        while b"event: delta" not in seen or b": ping" not in seen:
            seen += response.readline()
        process.open_gate()
        events = parse((seen + response.read()).decode())
    assert [name for name, _ in events] == ["turn", "delta", "delta", "done"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_goes_away_frees_his_place(start: Start, *, stream: bool) -> None:
    process = start()
    caller = process.connect()
    body = json.dumps({"message": "hi", "stream": stream}).encode()
    head = f"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    caller.sendall(head.encode() + body)
    until(process.waiting_callers)
    caller.close()
    until(lambda: not process.waiting_callers())
    assert process.wait_for_exit(signal.SIGTERM) == (0, "")


def test_when_all_places_are_taken_more_callers_are_sent_away_and_health_is_still_told(
    start: Start, pool: ThreadPoolExecutor
) -> None:
    process = start(max_waiting=3)
    answers = [send_message(pool, process) for _ in range(3)]
    until(lambda: process.waiting_callers() == 3)
    status, body = process.request("POST", "/chat", {"message": "hi"})
    assert (status, body["error"]["code"]) == (503, "overloaded")
    assert process.request("GET", "/healthz")[0] == 200
    assert process.request("POST", "/chat", {"message": "hi"}, Prefer="respond-async")[0] == 202
    process.open_gate()
    assert [answer.result(30)[0] for answer in answers] == [200] * 3


def test_a_body_in_chunks_is_read_and_one_without_end_is_not(start: Start) -> None:
    process = start()
    process.open_gate()
    head = "POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with process.connect() as caller:
        caller.sendall(head.encode() + b'12\r\n{"message": "hi"}\n\r\n0\r\n\r\n')
        assert caller.recv(100).startswith(b"HTTP/1.1 200 ")
    with process.connect() as caller:
        caller.sendall(head.encode())
        for _ in range(4):  # more than a message may have, without an end
            caller.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        assert caller.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_caller_who_falls_silent_in_the_middle_loses_his_connection(start: Start) -> None:
    process = start(limits={"head": 1, "body": 1})
    head = b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    with process.connect() as in_body, process.connect() as in_head:
        in_body.sendall(head + b"{")
        in_head.sendall(head[:30])
        assert in_body.recv(100).startswith(b"HTTP/1.1 408 ")
        assert in_head.recv(100) == b""
    assert process.wait_for_exit(signal.SIGTERM) == (0, "")
