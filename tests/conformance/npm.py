"""Installs npm packages at fixed versions into a folder of the test environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NPM_CACHE = Path(sys.prefix) / "npm"
NPM_TIMEOUT_SECONDS = 300.0


class NpmUnavailable(Exception):
    """npm is not installed, or cannot install the package."""


@dataclass(frozen=True)
class NpmPackage:
    name: str
    version: str
    integrity: str = ""
    """Of its archive, as in npm's lock file. With it, the package may have no dependencies."""

    def ensure_installed(self) -> Path:
        """Installs the package if needed and returns its folder.

        Raises NpmUnavailable, and RuntimeError when the checksum differs.
        """
        root = NPM_CACHE / f"{self.name.replace('/', '-')}-{self.version}"
        if not (root / "done").exists():
            self._install(root)
            (root / "done").touch()
        return root / "node_modules" / self.name

    def _install(self, root: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise NpmUnavailable("npm is not installed")
        root.mkdir(parents=True, exist_ok=True)
        (root / "package.json").write_text(json.dumps({"private": True, "dependencies": {self.name: self.version}}))
        if self.integrity:
            (root / "package-lock.json").write_text(json.dumps(self._lock_file()))
        # `ci` installs exactly what the lock file says; no package scripts are run
        how = "ci" if self.integrity else "install"
        command = [npm, how, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            done = subprocess.run(
                command, cwd=root, capture_output=True, text=True, check=False, timeout=NPM_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise NpmUnavailable(
                f"npm did not install {self.name}@{self.version} within {NPM_TIMEOUT_SECONDS:g} s"
            ) from None
        if "EINTEGRITY" in done.stderr:
            raise RuntimeError(f"{self.name}@{self.version} has another checksum than expected")
        if done.returncode != 0:
            raise NpmUnavailable(f"npm cannot install {self.name}@{self.version} ({_error_code(done.stderr)})")

    def _lock_file(self) -> dict[str, object]:
        """Returns a lock file without a URL: npm uses its configured registry and verifies the checksum."""
        wanted = {self.name: self.version}
        locked = {"version": self.version, "integrity": self.integrity}
        packages = {"": {"dependencies": wanted}, f"node_modules/{self.name}": locked}
        return {"lockfileVersion": 3, "requires": True, "packages": packages}


def _error_code(stderr: str) -> str:
    """Returns npm's error code, such as E404, without URLs."""
    _, _, rest = stderr.partition("npm error code ")
    return rest.split()[0] if rest else "no reason given"
