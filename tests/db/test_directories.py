"""What tests that were killed have left behind is removed by those that come after them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

from tests.fixtures.directories import directory_of_ours

MAKE_ONE = """
import pathlib, sys
from tests.fixtures.directories import directory_of_ours
with directory_of_ours(pathlib.Path(sys.argv[1])) as directory:
    (directory / "file").touch()
    print(directory, flush=True)
    sys.stdin.read()
"""


def test_the_directory_of_tests_that_were_killed_is_removed(tmp_path: Path) -> None:
    with others_with_a_directory(tmp_path) as (others, directory):
        others.kill()
        others.wait()
        left = directory.exists()
    with directory_of_ours(tmp_path):
        still = directory.exists()

    assert (True, False) == (left, still)


def test_the_directory_of_tests_that_go_on_stays(tmp_path: Path) -> None:
    with others_with_a_directory(tmp_path) as (_, directory), directory_of_ours(tmp_path) as own:
        (own / "file").touch()
        both = [directory.exists(), own.exists()]

    assert [True, True] == both
    assert [] == list(tmp_path.iterdir())


def test_a_directory_that_is_just_being_made_stays(tmp_path: Path) -> None:
    with directory_of_ours(tmp_path) as made:
        pass
    made.mkdir()
    with directory_of_ours(tmp_path):
        still = made.exists()

    assert still


@contextmanager
def others_with_a_directory(place: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Tests of somebody else, and the directory that they have made for a server."""
    command = (sys.executable, "-c", MAKE_ONE, place)
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout
        yield process, Path(process.stdout.readline().decode().strip())
