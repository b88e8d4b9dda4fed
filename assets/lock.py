"""Writes package-lock.json beside package.json, for `npm ci`: each package and its hash.

Only the packages themselves: what the browser loads of them carries all that it depends on.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def main(npm: str) -> None:
    """Ask npm for the hash of each package that package.json names."""
    project = json.loads((FOLDER / "package.json").read_text())
    wanted = project["dependencies"]
    packages = {
        "": {"name": project["name"], "dependencies": wanted},
        **{f"node_modules/{name}": _pinned(npm, name, wanted[name]) for name in wanted},
    }
    lock = {
        "name": project["name"],
        "lockfileVersion": 3,
        "requires": True,
        "packages": packages,
    }
    (FOLDER / "package-lock.json").write_text(json.dumps(lock, indent=2) + "\n")


def _pinned(npm: str, name: str, version: str) -> dict[str, Any]:
    asked = [npm, "view", f"{name}@{version}", "dist.integrity", "license", "--json"]
    told = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    return {"version": version, "integrity": told["dist.integrity"], "license": told["license"]}


if __name__ == "__main__":
    main(*sys.argv[1:])
