import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runners import place
from runners.place import PlaceRefused, confined


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a few places in it, and one that leads out."""
    root = tmp_path / "root"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "file").touch()
    (tmp_path / "root-of-another").mkdir()
    (root / "shortcut").symlink_to("src/deep")
    (root / "up").symlink_to("..")
    (root / "away").symlink_to("../root-of-another")
    (root / "absolute").symlink_to("/etc")
    (root / "magic").symlink_to("/proc/self/root")
    (root / "loop").symlink_to("loop")
    return root


@pytest.fixture
def without_openat2(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(top: int, path: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(place, "_openat2", refuse)


@pytest.mark.parametrize("wanted", [None, "", ".", "./", "{root}", "{root}/"])
def test_the_root_itself_is_the_place_for_nothing_else(root: Path, wanted: str | None) -> None:
    assert confined(root, wanted and wanted.format(root=root)) == root


@pytest.mark.parametrize("wanted", ["src/deep", "src//deep/", "./src/./deep", "{root}/src/deep"])
def test_a_directory_inside_is_accepted_however_it_is_spelled(root: Path, wanted: str) -> None:
    assert confined(root, wanted.format(root=root)) == root / "src" / "deep"


def test_a_symlink_that_stays_inside_is_resolved(root: Path) -> None:
    assert confined(root, "shortcut") == root / "src" / "deep"


def test_a_root_behind_a_symlink_may_be_spelled_both_ways(root: Path) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)

    assert {confined(alias, f"{alias}/src"), confined(alias, f"{root}/src")} == {root / "src"}


@pytest.mark.parametrize(
    ("wanted", "issue"),
    [
        ("..", "must not contain .."),
        ("src/../src", "must not contain .."),
        ("{root}/../root-of-another", "must not contain .."),
        ("/", "leads outside"),
        ("/etc", "leads outside"),
        ("{root}-of-another", "leads outside"),
        ("//etc", "leads outside"),
        ("up", "leads outside"),
        ("up/root/src", "leads outside"),
        ("away", "leads outside"),
        ("absolute", "leads outside"),
        ("magic/etc", "leads outside"),
        ("loop", "cannot be entered: Too many levels of symbolic links"),
        ("file", "is not a directory"),
        ("file/below", "is not a directory"),
        ("missing", "does not exist"),
        ("~", "does not exist"),
        ("nul\0", "is not a path"),
        ("\ud800", "is not a path"),
        ("x" * 300, "cannot be entered: File name too long"),
    ],
)
def test_what_leads_out_or_nowhere_is_refused(root: Path, wanted: str, issue: str) -> None:
    wanted = wanted.format(root=root)
    with pytest.raises(PlaceRefused) as refused:
        confined(root, wanted)

    assert (refused.value.wanted, refused.value.issue) == (wanted, issue)


def test_a_missing_root_is_refused(root: Path) -> None:
    with pytest.raises(PlaceRefused, match="does not exist"):
        confined(root / "missing", None)


@pytest.mark.usefixtures("without_openat2")
def test_without_openat2_directories_are_accepted(root: Path) -> None:
    assert [confined(root, None), confined(root, "src/deep")] == [root, root / "src" / "deep"]


@pytest.mark.usefixtures("without_openat2")
@pytest.mark.parametrize("wanted", ["up", "away", "absolute", "magic/etc", "shortcut", "loop"])
def test_without_openat2_every_symlink_is_refused(root: Path, wanted: str) -> None:
    with pytest.raises(PlaceRefused, match="is not a directory"):
        confined(root, wanted)


def test_no_open_file_is_left(root: Path) -> None:
    before = open_files()
    confined(root, "src")
    with pytest.raises(PlaceRefused):
        confined(root, "up")

    assert open_files() == before


def test_a_directory_that_is_exchanged_meanwhile_never_leads_out(root: Path) -> None:
    found: set[Path | str] = set()
    with exchanged(root / "swap", root / "away"):
        for _ in range(1000):
            try:
                found.add(confined(root, "swap"))
            except PlaceRefused as refused:
                found.add(refused.issue)

    assert found <= {root / "swap", root / "spare", "leads outside", "does not exist"}


def open_files() -> list[Path]:
    return sorted(Path("/proc/self/fd").iterdir())


@contextmanager
def exchanged(directory: Path, symlink: Path) -> Iterator[None]:
    """While it lasts, somebody else puts the directory and the symlink in each other's place."""
    spare = directory.with_name("spare")
    directory.mkdir()
    done = threading.Event()

    def exchange() -> None:
        while not done.is_set():
            directory.rename(spare)
            symlink.rename(directory)
            directory.rename(symlink)
            spare.rename(directory)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
