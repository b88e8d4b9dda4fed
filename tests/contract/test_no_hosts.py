"""No file says where packages come from: that is for whoever installs them to decide."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "yarn" + "pkg.com",
    "crates" + ".io",
    "ana" + "conda.org",
    "proxy." + "golang.org",
]
LOCK_LINE = re.compile(
    r"""
    [\w.-]+(\[[\w,-]+\])? == \S+ (\ ;\ .+)?   # a pinned package, perhaps only for some machines
    | \ +--hash=sha256:[0-9a-f]{64}
    | \ +\#\ .*                               # who asked for it
    """,
    re.VERBOSE,
)


def test_no_file_names_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)} names {host}"
        for path in _files()
        for host in HOSTS
        if host.encode() in path.read_bytes()
    ]

    assert [] == found


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-dev.lock", "assets/requirements.lock"]
)
def test_a_lock_holds_nothing_but_packages_and_hashes(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()

    assert [] == [line for line in lines if not LOCK_LINE.fullmatch(line.removesuffix(" \\"))]


def test_the_lock_of_the_web_pages_holds_nothing_but_packages_and_hashes() -> None:
    wanted = json.loads((ROOT / "assets/package.json").read_text())["dependencies"]
    packages = json.loads((ROOT / "assets/package-lock.json").read_text())["packages"]
    itself = packages.pop("")

    assert wanted == itself["dependencies"]
    assert {f"node_modules/{name}": version for name, version in wanted.items()} == {
        name: package["version"] for name, package in packages.items()
    }
    assert [{"version", "integrity", "license"}] * len(packages) == [
        package.keys() for package in packages.values()
    ]
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())


def _files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listed.returncode:
        pytest.skip(f"not a git checkout: {listed.stderr.strip()}")
    return [path for name in listed.stdout.split("\0") if (path := ROOT / name).is_file()]
