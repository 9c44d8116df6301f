"""Reads text files that people edit, and says what is wrong with their encoding."""

from __future__ import annotations

from pathlib import Path

from gateway.domain.errors import SettingsError

ENCODING = "utf-8-sig"
"""UTF-8, and what Windows writes before it."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How a file begins that PowerShell has written: learn.microsoft.com/powershell, about_Character_Encoding."""


def read_text(path: Path) -> str:
    """Returns the text of a file. Raises SettingsError, which names the line that is not UTF-8."""
    try:
        content = path.read_bytes()
        return content.decode(ENCODING)
    except OSError as exc:
        raise SettingsError(f"{path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        found = "it is UTF-16 text" if content.startswith(UTF_16) else f"line {line} is not UTF-8 text"
        raise SettingsError(f"{path} cannot be read: {found}; save the file as UTF-8.") from None
