"""What a child may see of the server's environment, and what a caller may add to it."""

import ctypes
from collections.abc import Mapping
from pathlib import Path

from db.variables import NETWORK, VariableRefused, check_variables

__all__ = ["VariableRefused", "allowed", "hide_from_children"]

PR_SET_DUMPABLE = 4

# No locale at all would make programs print something else than UTF-8.
DEFAULT_LANG = "C.UTF-8"

INHERITED = {
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "USER", "LOGNAME", "SHELL"),
    *NETWORK,
}


def allowed(
    server: Mapping[str, str], extra: Mapping[str, str], *, home: Path | None = None
) -> dict[str, str]:
    """The environment of a child: a few harmless variables of the server's, and the caller's own.

    `home` takes the place of the server's HOME. Raises `VariableRefused` for the first variable
    in `extra` that is malformed or reserved.
    """
    check_variables(extra)
    inherited = {name: value for name, value in server.items() if _is_inherited(name)}
    if home is not None:
        inherited["HOME"] = str(home)
    return {"LANG": DEFAULT_LANG} | inherited | dict(extra)


def hide_from_children() -> None:
    """Make the server's environment and memory unreadable to processes of the same user.

    Without it a child reads the server's secrets in /proc/<pid>/environ, or attaches a debugger.
    To be called once at start: a child that is started later is readable again, and has no secrets.

    It does not hold against root: a server that runs as root should use the `namespace` backend,
    where children do not see it in /proc at all. Neither does it hide one run from another of the
    same user; that, too, the namespace does. The server itself, unless it is root, loses
    /proc/self/environ and /proc/self/io, and leaves no core dump.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def _is_inherited(name: str) -> bool:
    # Proxies are also spelled in lower case.
    return name in INHERITED or name.upper() in NETWORK or name.startswith("LC_")
