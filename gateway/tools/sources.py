"""Finds the function tools: those of this folder, of installed packages, and of the folder that TOOLS_PATH names."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType

from gateway.domain.errors import SettingsError
from gateway.domain.packages import Offer, offers, reason_of
from gateway.tools.calculator import calculate
from gateway.tools.clock import current_time
from gateway.tools.tool import Function, Tool, tool

BUILT_IN = (current_time, calculate)
ENTRY_POINTS = "gateway.tools"
"""The group of entry points by which an installed package offers tools."""
FOLDER_PACKAGE = "gateway_tools_path"
"""The package that the files of TOOLS_PATH are modules of: their names hide no other modules, and they import each
other by ``from . import``."""

CachedFunction = type(cache(calculate.call))
"""What ``functools.cache`` makes of a function."""


@dataclass(frozen=True, slots=True)
class FoundTool:
    """A tool, and where it comes from."""

    tool: Tool
    origin: str
    """For people: "built in", the file, or the package and its entry point."""


def find_tools(folder: Path | None = None) -> Sequence[FoundTool]:
    """Returns the tools of this folder, of installed packages, and of the Python files in ``folder``.

    Imports them. Raises SettingsError, which names the package or the file and says what to do.
    """
    found = [FoundTool(each, "built in") for each in BUILT_IN]
    for offer in offers(ENTRY_POINTS):
        found += _tools_of_package(offer)
    if folder is not None:
        found += _tools_of_folder(folder)
    _check_names(found)
    return found


def _check_names(found: Sequence[FoundTool]) -> None:
    origins: dict[str, str] = {}
    for each in found:
        if first := origins.get(each.tool.name):
            raise SettingsError(
                f"Two tools have the name {each.tool.name}. One comes from: {first}. The other comes from: "
                f"{each.origin}. Rename one of the functions, or remove its file or package."
            )
        origins[each.tool.name] = each.origin


# ---------------------------------------------------------------- packages


def _tools_of_package(offer: Offer) -> Sequence[FoundTool]:
    """Returns the tool, or the tools of the module, that an entry point names."""
    origin, loaded = offer.origin, offer.load("a tool")
    if isinstance(loaded, ModuleType):
        return [FoundTool(each, origin) for each in _tools_of_module(loaded, origin)]
    if not isinstance(loaded, Tool) and (inspect.isclass(loaded) or not callable(loaded)):
        raise SettingsError(
            f"{_capitalized(origin)} offers a tool that is neither a function nor a module. "
            "Name one in its pyproject.toml, such as: find_order = 'shop.tools:find_order'."
        )
    return [FoundTool(_as_tool(loaded, origin), origin)]


# ---------------------------------------------------------------- TOOLS_PATH


def _tools_of_folder(folder: Path) -> Iterator[FoundTool]:
    """Yields the tools of each file that does not begin with an underscore, by the files' names."""
    files = _list_files(folder)
    _make_package(files[0].parent)
    for path in files:
        for each in _tools_of_module(_import_file(path), str(path)):
            yield FoundTool(each, str(path))


def _list_files(folder: Path) -> Sequence[Path]:
    """Returns the absolute paths of the files; there is one at least."""
    try:
        folder = folder.expanduser().absolute()
        files = [path for path in sorted(folder.iterdir()) if path.suffix == ".py" and path.is_file()]
    except (OSError, RuntimeError) as exc:  # RuntimeError: there is no such home directory
        reason = getattr(exc, "strerror", None) or exc
        raise SettingsError(
            f"TOOLS_PATH: the folder {folder} cannot be read: {reason}. Name a folder of tools, or unset the variable."
        ) from exc
    public = [path for path in files if not path.name.startswith(("_", "."))]
    if not public:
        raise SettingsError(
            f"TOOLS_PATH: {folder} has no Python files (*.py). Put your tools there, or unset the variable."
        )
    return public


def _make_package(folder: Path) -> None:
    """Makes a package of the folder, in place of that of an earlier call."""
    for name in [name for name in sys.modules if name.partition(".")[0] == FOLDER_PACKAGE]:
        del sys.modules[name]
    package = ModuleType(FOLDER_PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[FOLDER_PACKAGE] = package
    importlib.invalidate_caches()


def _import_file(path: Path) -> ModuleType:
    if "." in path.stem:
        raise SettingsError(f"TOOLS_PATH: {path} cannot be imported: a module has no dot in its name. Rename the file.")
    try:
        return importlib.import_module(f"{FOLDER_PACKAGE}.{path.stem}")
    except (Exception, SystemExit) as exc:
        raise SettingsError(
            f"TOOLS_PATH: {path} cannot be imported: {reason_of(exc)}{_line_in(path, exc)}. "
            "Mend the file, install what it needs, or move it out of the folder."
        ) from exc


def _line_in(path: Path, exc: BaseException) -> str:
    """Returns which line of a file raised, if it did; a SyntaxError says so itself."""
    lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == str(path)]
    return f" (line {lines[-1]})" if lines else ""


# ---------------------------------------------------------------- functions


def _tools_of_module(module: ModuleType, origin: str) -> Sequence[Tool]:
    """Returns the tools that a module defines: its public functions. ``__all__`` says which, if there is one.

    Without it, what the module imported from elsewhere is left out.
    """
    names = getattr(module, "__all__", None)
    members = [each for name, each in vars(module).items() if not name.startswith("_")]
    if names is not None:
        members = [_member(module, name, origin) for name in names]
    functions = {id(each): each for each in members if isinstance(each, Tool | FunctionType | CachedFunction)}
    own = [each for each in functions.values() if names is not None or _module_of(each) == module.__name__]
    return [_as_tool(each, origin) for each in own]


def _member(module: ModuleType, name: str, origin: str) -> object:
    try:
        return getattr(module, name)
    except (AttributeError, TypeError) as exc:
        raise SettingsError(f"{_capitalized(origin)} has no {name!r}, which its __all__ names. Correct it.") from exc


def _module_of(function: Tool | Function) -> str:
    return getattr(function.call if isinstance(function, Tool) else function, "__module__", "")


def _as_tool(function: Tool | Function, origin: str) -> Tool:
    if isinstance(function, Tool):
        return function
    try:
        return tool(function)
    except Exception as exc:
        reason = str(exc).rstrip(".") if isinstance(exc, TypeError) else reason_of(exc)
        raise SettingsError(
            f"{_capitalized(origin)} has a function that cannot be a tool. {reason}. "
            "Mend it, or begin its name with an underscore if it is no tool."
        ) from exc


def _capitalized(origin: str) -> str:
    return origin[:1].upper() + origin[1:]
