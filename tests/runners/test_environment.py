import os
import subprocess
import sys
from pathlib import Path

import pytest

from runners.environment import VariableRefused, allowed

SERVER = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/server",
    "LC_ALL": "de_DE.UTF-8",
    "https_proxy": "http://proxy:3128",
    "NODE_EXTRA_CA_CERTS": "/etc/ssl/ours.pem",
}
SECRETS = {
    "JWT_SECRET": "s3cret",
    "DATABASE_URL": "postgresql://server:s3cret@db/claude",
    "REDIS_URL": "redis://:s3cret@cache",
    "ADMIN_PASSWORD": "s3cret",
    "ANTHROPIC_API_KEY": "s3cret",
    "LD_PRELOAD": "/tmp/evil.so",
    "PYTHONPATH": "/srv",
    "CLAUDE_CLI_API_RUN": "the-run-that-we-are-part-of",
}

SERVER_PROGRAM = """
import ctypes, os, subprocess, sys
from runners.environment import hide_from_children

def give_up_root():
    # Changing the user hides the process as well: undo that, it is not what is tested.
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)

def a_child_reads_us():
    return subprocess.run(["cat", f"/proc/{os.getpid()}/environ"], capture_output=True).returncode

if os.getuid() == 0:
    give_up_root()
before = a_child_reads_us()
hide_from_children()
print(before, a_child_reads_us())
"""


def test_a_child_gets_what_is_harmless_and_no_secret() -> None:
    assert allowed({**SERVER, **SECRETS}, {}) == {**SERVER, "LANG": "C.UTF-8"}


def test_the_callers_variables_and_home_come_on_top() -> None:
    environment = allowed(SERVER, {"GREETING": "hello", "LC_ALL": "C"}, home=Path("/srv/home"))

    assert environment == {
        **SERVER,
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "GREETING": "hello",
        "HOME": "/srv/home",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "PWD", "ENV", "BASH_ENV", "IS_SANDBOX", "IFS", "NODE_OPTIONS"),
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONSTARTUP"),
        *("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR", "CLAUDE_CLI_API_RUN"),
        *("HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"),
    ],
)
def test_a_reserved_variable_is_refused(name: str) -> None:
    with pytest.raises(VariableRefused, match="is reserved") as refused:
        allowed(SERVER, {"GREETING": "hello", name: "x"})

    assert refused.value.name == name


@pytest.mark.parametrize("name", ["", "A=B", "1ST", "WITH SPACE", "NUL\0", "Ü", "A\n", "F()", "-x"])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(VariableRefused, match="is not a name") as refused:
        allowed(SERVER, {name: "x"})

    assert refused.value.name == name


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_malformed_value_is_refused(value: str) -> None:
    with pytest.raises(VariableRefused, match="value") as refused:
        allowed(SERVER, {"GREETING": value})

    assert refused.value.name == "GREETING"


@pytest.mark.parametrize("name", ["PYTHONUNBUFFERED", "TZ", "LANG", "MY_PATH", "_", "a1"])
def test_a_harmless_variable_is_accepted(name: str) -> None:
    assert allowed(SERVER, {name: "x"})[name] == "x"


def test_a_child_of_the_same_user_cannot_read_a_hidden_servers_environment() -> None:
    server = subprocess.run(
        (sys.executable, "-c", SERVER_PROGRAM),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (server.stdout, server.stderr) == ("0 1\n", "")
