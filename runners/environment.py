"""What a child may see of the server's environment, and what a caller may add to it."""

import ctypes
import os
import re
from collections.abc import Mapping
from pathlib import Path

PR_SET_DUMPABLE = 4

# No locale at all would make programs print something else than UTF-8.
DEFAULT_LANG = "C.UTF-8"

# Who can set these decides where traffic goes and whom it trusts: the server's word alone.
NETWORK = {
    *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"),
    "NODE_EXTRA_CA_CERTS",
}
INHERITED = {
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "USER", "LOGNAME", "SHELL"),
    *NETWORK,
}

# Makes a program run other code than it is made of, or belongs to the server or the agent.
RESERVED = {
    *(
        "PATH",
        "HOME",
        "PWD",
        "IS_SANDBOX",
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "IFS",
    ),
    *("NODE_OPTIONS", "NODE_PATH", "NODE_TLS_REJECT_UNAUTHORIZED"),
    *("PERL5OPT", "PERL5LIB", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"),
    *("GCONV_PATH", "LOCPATH", "NLSPATH", "GLIBC_TUNABLES", "HOSTALIASES", "RES_OPTIONS"),
    *NETWORK,
}
RESERVED_PREFIXES = ("LD_", "DYLD_", "PYTHON", "ANTHROPIC_", "CLAUDE_")
HARMLESS = {
    *("PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONHASHSEED"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER"),
}

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class VariableRefused(ValueError):
    """A variable that the caller of the API may not set, or not like this."""

    def __init__(self, name: str, issue: str) -> None:
        super().__init__(f"{name!r} {issue}")
        self.name = name
        self.issue = issue


def allowed(
    server: Mapping[str, str], extra: Mapping[str, str], *, home: Path | None = None
) -> dict[str, str]:
    """The environment of a child: a few harmless variables of the server's, and the caller's own.

    `home` takes the place of the server's HOME. Raises `VariableRefused` for the first variable
    in `extra` that is malformed or reserved.
    """
    for name, value in extra.items():
        _check(name, value)
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


def _check(name: str, value: str) -> None:
    if not NAME.fullmatch(name):
        raise VariableRefused(name, "is not a name: letters, digits and _, no digit first")
    if _is_reserved(name):
        raise VariableRefused(name, "is reserved")
    if "\0" in value:
        raise VariableRefused(name, "has a NUL in its value")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise VariableRefused(name, "has a value that is not text") from None


def _is_reserved(name: str) -> bool:
    upper = name.upper()
    return upper not in HARMLESS and (upper in RESERVED or upper.startswith(RESERVED_PREFIXES))


def _is_inherited(name: str) -> bool:
    # Proxies are also spelled in lower case.
    return name in INHERITED or name.upper() in NETWORK or name.startswith("LC_")
