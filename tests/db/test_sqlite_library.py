"""SQLite's own locks, which nobody needs who never shares a connection."""

import subprocess
import sys

ASKED = """
import ctypes
{first}
from db.sqlite_library import library
connection = ctypes.c_void_p()
library.sqlite3_open(b":memory:", ctypes.byref(connection))
library.sqlite3_db_mutex.restype = ctypes.c_void_p
print(library.sqlite3_db_mutex(connection) is not None)
"""


def has_lock(first: str) -> str:
    """Whether a connection has a lock, in a process that did something first."""
    asked = [sys.executable, "-c", ASKED.format(first=first)]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def test_no_connection_of_ours_has_a_lock_of_its_own() -> None:
    assert ("True", "False") == (has_lock(""), has_lock("import db.sqlite"))
