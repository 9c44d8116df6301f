"""Says what is wrong with a ``.env`` file, where its parser would leave lines out."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from gateway.domain.errors import SettingsError
from gateway.settings.text_file import read_text


def check_file(path: Path) -> None:
    """Raises SettingsError, which names each line that cannot be parsed, without what it says.

    A folder is passed over, as a virtual environment may be called so, unless it is empty.
    """
    if path.is_symlink() and not path.exists():
        raise SettingsError(f"{path} is a link to a file that does not exist. Write that file, or remove the link.")
    if path.is_dir() and not any(path.iterdir()):
        how = "Docker makes one where it finds no file to mount"
        raise SettingsError(f"{path} is an empty folder: {how}. Write the file, or remove the folder.")
    if not path.is_file():
        return
    bindings = parse_stream(StringIO(read_text(path)))
    if wrong := [_what_is_wrong(path, binding) for binding in bindings if binding.error]:
        raise SettingsError("\n".join(wrong))


def _what_is_wrong(path: Path, binding: Binding) -> str:
    written = binding.original.string
    leading = len(written) - len(written.lstrip())
    line = binding.original.line + written.count("\n", 0, leading)
    _, equals, value = written.partition("=")
    quoted = equals and value.lstrip()[:1] in {'"', "'"}
    advice = "a quote is not closed, or text follows it" if quoted else "write KEY=value"
    return f"{path}, line {line}, cannot be parsed: {advice}."
