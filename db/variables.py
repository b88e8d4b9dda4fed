"""Which environment variables the caller of the API may set for a run."""

import os
import re
from collections.abc import Mapping

# Who can set these decides where traffic goes and whom it trusts: the server's word alone.
NETWORK = {
    *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"),
    "NODE_EXTRA_CA_CERTS",
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


def check_variables(variables: Mapping[str, str]) -> None:
    """Raises `VariableRefused` for the first variable that is malformed or reserved."""
    for name, value in variables.items():
        _check(name, value)


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
