"""A package of npm's at one version, in a folder of the environment that runs the tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(sys.prefix) / "npm"
PATIENCE = 300.0


class NotToBeHad(Exception):
    """There is no npm here, or it does not get the package."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    integrity: str = ""
    """Of its archive, as npm writes it into a lock. Without it, and only then, it may need other packages."""

    def installed(self) -> Path:
        """Its folder. Raises NotToBeHad; and RuntimeError when what came is not what was asked for."""
        root = CACHE / f"{self.name.replace('/', '-')}-{self.version}"
        if not (root / "done").exists():
            self._install(root)
            (root / "done").touch()
        return root / "node_modules" / self.name

    def _install(self, root: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise NotToBeHad("npm is not installed")
        root.mkdir(parents=True, exist_ok=True)
        (root / "package.json").write_text(json.dumps({"private": True, "dependencies": {self.name: self.version}}))
        if self.integrity:
            (root / "package-lock.json").write_text(json.dumps(self._lock()))
        # `ci` takes what the lock says or nothing; no script of a package is run
        how = "ci" if self.integrity else "install"
        command = [npm, how, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise NotToBeHad(f"npm did not get {self.name}@{self.version} within {PATIENCE:g} s") from None
        if "EINTEGRITY" in done.stderr:
            raise RuntimeError(f"{self.name}@{self.version} is not what it was: its checksum differs")
        if done.returncode != 0:
            raise NotToBeHad(f"npm does not get {self.name}@{self.version} ({_code(done.stderr)})")

    def _lock(self) -> dict[str, object]:
        """Without an address: npm asks whichever registry it is set up for, and checks what comes."""
        wanted = {self.name: self.version}
        locked = {"version": self.version, "integrity": self.integrity}
        packages = {"": {"dependencies": wanted}, f"node_modules/{self.name}": locked}
        return {"lockfileVersion": 3, "requires": True, "packages": packages}


def _code(said: str) -> str:
    """The word of npm for what went wrong, such as E404; nothing of addresses."""
    _, _, rest = said.partition("npm error code ")
    return rest.split()[0] if rest else "no reason given"
