"""Says what is wrong with a ``.env`` file, where its parser would leave lines out."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from gateway.domain.errors import SettingsError

ENCODING = "utf-8-sig"
"""UTF-8, and what Windows writes before it."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How a file begins that PowerShell has written: learn.microsoft.com/powershell, about_Character_Encoding."""


def check_file(path: Path) -> None:
    """Raises SettingsError, which names each line that cannot be parsed, without what it says."""
    if not path.is_file():
        return
    try:
        content = path.read_bytes()
        text = content.decode(ENCODING)
    except OSError as exc:
        raise SettingsError(f"{path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        found = "it is UTF-16 text" if content.startswith(UTF_16) else f"line {line} is not UTF-8 text"
        raise SettingsError(f"{path} cannot be read: {found}; save the file as UTF-8.") from None
    wrong = [_what_is_wrong(path, binding) for binding in parse_stream(StringIO(text)) if binding.error]
    if wrong:
        raise SettingsError("\n".join(wrong))


def _what_is_wrong(path: Path, binding: Binding) -> str:
    written = binding.original.string
    leading = len(written) - len(written.lstrip())
    line = binding.original.line + written.count("\n", 0, leading)
    _, equals, value = written.partition("=")
    quoted = equals and value.lstrip()[:1] in {'"', "'"}
    advice = "a quote is not closed, or text follows it" if quoted else "write KEY=value"
    return f"{path}, line {line}, cannot be parsed: {advice}."
