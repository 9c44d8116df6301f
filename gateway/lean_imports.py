"""Imports parts of libraries without what they load and the gateway does not use. It is loaded when asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any


@contextmanager
def importing_without(library: str) -> Iterator[None]:
    """Lets a library that can do without another one be imported without it: inside, there is no such ``library``.

    Nothing changes if it is loaded already.
    """
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # how Python marks what cannot be imported
    try:
        yield
    finally:
        del sys.modules[library]


@contextmanager
def importing_parts_of(*packages: str) -> Iterator[None]:
    """Inside, modules of these packages can be imported without the ``__init__`` of the packages.

    That runs as soon as somebody asks the package for something that is not there yet, so ``import`` by any other code
    finds what it always does. Nothing changes for a package that is loaded already. A package comes before those in it.
    """
    for name in packages:
        if name not in sys.modules:
            sys.modules[name] = _package(name)
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], own, sys.modules[name])  # as an import does
    yield


def _package(name: str) -> ModuleType:
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package = module_from_spec(spec)
    package.__class__ = _PartlyLoaded
    return package


class _PartlyLoaded(ModuleType):
    """A package of which modules may be loaded, but whose ``__init__`` has not run."""

    _loading = RLock()  # one for all: the code of one may need another

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if spec is None or spec.loader is None or (name.startswith("__") and name != "__all__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        if find_spec(f"{self.__name__}.{name}"):
            return import_module(f"{self.__name__}.{name}")
        with self._loading:
            if self.__class__ is _PartlyLoaded:
                self.__class__ = ModuleType  # type: ignore[assignment]  # an ordinary one, also while its code runs
                spec.loader.exec_module(self)
        return getattr(self, name)
