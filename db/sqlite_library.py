"""SQLite as the library that this process uses, set up before its first connection."""

import _sqlite3
import ctypes
from sqlite3 import SQLITE_OK

MULTITHREAD, MEMORY_STATUS = 2, 9
library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))


def spare_locks() -> bool:
    """Let connections go without locks of their own; False where SQLite does not offer that.

    It takes one at each call, for each value of each row, in case that two threads use a connection
    at the same moment. Ours never do. Nor does it count its memory then, under one more lock. No
    connection may be open when this is called.
    """
    try:
        library.sqlite3_shutdown()
        done = [library.sqlite3_config(MULTITHREAD), library.sqlite3_config(MEMORY_STATUS, 0)]
        return [*done, library.sqlite3_initialize()] == [SQLITE_OK] * 3
    except AttributeError:  # It is hidden within Python.
        return False
