"""Stands between a worker and one command: holds it until told, and ends it with all it started.

A program of its own, with the arguments CONTROL DIRECTORY ARGV..., started once for each run: so it
imports only what is built in or starts at once. In a PID namespace it is process 1.

CONTROL is a socket of messages. The command's process says `ready` and waits; the worker says
`begin`, `stop` (SIGTERM to the whole tree) and `kill`. The worker's end closing, however that
happened, means `kill`. When the command has exited, what it left behind is killed; when nothing
is left the shim answers with the command's wait status, in digits, and exits.
"""

import os
import sys

# `signal` and `collections.abc` dress these up, which would cost every run another 9 ms.
from _collections_abc import Iterator
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIG_IGN,
    SIGALRM,
    SIGCONT,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGSTOP,
    SIGTERM,
    alarm,
    signal,
    valid_signals,
)
from _thread import start_new_thread

NAMESPACE_INIT = 1
PR_SET_CHILD_SUBREAPER = 36
NOT_FOUND, NOT_STARTED = 127, 126

# What SIGKILL has not ended by then (another user's, or stuck in the kernel) is left to itself.
PATIENCE_SECONDS = 10


def main() -> None:
    control, directory, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(control, False)
    outlive_signals()
    adopt_orphans()
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(opener)
        become(command, directory, control, gate)
    let_go_of_the_pipes()
    tree = Tree(pid, control)
    start_new_thread(obey, (tree, control, opener))
    tree.bury()


class Tree:
    """The command's process and everything that came from it."""

    def __init__(self, command: int, control: int) -> None:
        self.command = command
        self.control = control
        self.status: int | None = None
        self.stopping = False
        self.doomed = False
        signal(SIGALRM, lambda *_: self.report())

    def stop(self) -> None:
        """Ask all to end; what outlives the command is left alone until told to kill."""
        self.stopping = True
        signal_all(SIGTERM)
        signal_all(SIGCONT)  # One that was stopped hears of it, too.

    def kill(self) -> None:
        if not self.doomed:
            self.doomed = True
            alarm(PATIENCE_SECONDS)
        signal_all(SIGKILL)

    def bury(self) -> None:
        """Collect the dead until none is left alive, then report.

        One that was forked behind the back of `kill` had a parent that was killed: that death
        comes to be collected here, and the next round finds the child. So nothing has to be polled.
        """
        while self.collect():
            if self.doomed or (self.status is not None and not self.stopping):
                self.kill()
        self.report()

    def collect(self) -> bool:
        """Wait for a death, take all that are dead by then; say whether any are left."""
        options = 0
        try:
            while (found := os.waitpid(-1, options))[0]:
                options = os.WNOHANG
                if found[0] == self.command:
                    self.status = found[1]
        except ChildProcessError:
            return False
        return True

    def report(self) -> None:
        try:
            if self.status is not None:
                os.write(self.control, str(self.status).encode())
        except OSError:
            pass  # The worker is gone.
        finally:
            os._exit(0)


def obey(tree: Tree, control: int, opener: int) -> None:
    try:
        while order := os.read(control, 16):
            if order == b"begin":
                os.write(opener, b"!")
            elif order == b"stop":
                tree.stop()
            elif order == b"kill":
                tree.kill()
    except ConnectionResetError:
        pass  # The worker died before it read all that we said.
    tree.kill()


def become(command: list[str], directory: str, control: int, gate: int) -> None:
    """Wait for the gate, then be the command: its pid is the one that was made known before."""
    os.setsid()
    # Whoever started the server in the background has had it ignore some, too.
    for number in valid_signals() - {SIGKILL, SIGSTOP}:
        signal(number, SIG_DFL)
    os.write(control, b"ready")
    if not os.read(gate, 1):
        os._exit(NOT_STARTED)
    try:
        enter(directory)
    except OSError as error:
        give_up(NOT_STARTED, directory, error)
    try:
        os.execvpe(command[0], command, environment_for(directory))
    except FileNotFoundError as error:
        give_up(NOT_FOUND, command[0], error)
    except OSError as error:
        give_up(NOT_STARTED, command[0], error)


def enter(directory: str) -> None:
    """Go to a canonical path. What has become a symlink since it was checked is refused."""
    here = os.open("/", os.O_PATH)
    for name in directory.strip("/").split("/"):
        here = os.open(name or ".", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    os.fchdir(here)


def environment_for(directory: str) -> dict[bytes, bytes]:
    """What this program was given: Python adds LC_CTYPE of its own, and bubblewrap a PWD."""
    with open("/proc/self/environ", "rb") as given:
        pairs = (entry.partition(b"=") for entry in given.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs} | {b"PWD": os.fsencode(directory)}


def give_up(code: int, what: str, error: OSError) -> None:
    why = "command not found" if code == NOT_FOUND else error.strerror
    os.write(2, os.fsencode(f"{what}: {why}\n"))
    os._exit(code)


def outlive_signals() -> None:
    """Meant for everything around, as by a service manager: the worker decides for the tree."""
    for number in (SIGTERM, SIGINT, SIGHUP):
        signal(number, SIG_IGN)


def adopt_orphans() -> None:
    """Make whatever loses its parent below come back here: no daemon escapes."""
    if os.getpid() == NAMESPACE_INIT:
        return
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def let_go_of_the_pipes() -> None:
    """So that they end when the tree closes them."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def signal_all(number: int) -> None:
    """Signal all below. The kernel signals a group in one go, which no fork can slip through."""
    if os.getpid() == NAMESPACE_INIT:
        send(-1, number)
        return
    signalled = set()
    for pid in descendants(os.getpid()):
        target = address_of(pid)
        if target not in signalled:
            signalled.add(target)
            send(target, number)


def address_of(pid: int) -> int:
    """The group of a process, as `kill` spells it, unless it still is in ours."""
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:
        return pid
    return pid if group == os.getpgrp() else -group


def send(target: int, number: int) -> None:
    try:
        os.kill(target, number)
    except (ProcessLookupError, PermissionError):
        pass  # Dead already, or beyond us: `report` does not wait for it for ever.


def descendants(ancestor: int) -> Iterator[int]:
    """All below a process. Each one's children are read before it is handed out to be killed."""
    waiting = children(ancestor)
    while waiting:
        pid = waiting.pop()
        waiting += children(pid)
        yield pid


def children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as listed:
                found += map(int, listed.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # It ended meanwhile, and what it had is another's child by now.
    return found
