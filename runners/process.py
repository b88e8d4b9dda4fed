"""Starts commands so that nothing of them can be lost: no byte of output, no child left alive.

A command runs below a shim (`runners/shim.py`), in its own session. The two backends differ in
where: the `process` backend starts the shim as it is, where it adopts whatever loses its parent;
the `namespace` backend makes it process 1 of a PID namespace, which the kernel ends with it, and
which hides all other processes from the command.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, ParamSpec

from runners.survivors import RUN_VARIABLE, Identity, identify, sweep

BackendName = Literal["namespace", "process"]
Stream = Literal["stdout", "stderr"]
P = ParamSpec("P")

# Python alone, which starts in half the time. The shim is imported, not run as a file, which
# would be compiled at every start.
PYTHON = (sys.executable, "-I", "-S", "-c")
SHIM = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import shim; shim.main()"
BUBBLEWRAP = (
    *("bwrap", "--die-with-parent", "--unshare-pid", "--as-pid-1"),
    *("--dev-bind", "/", "/", "--proc", "/proc", "--"),
)

READ_BYTES = 65536
MESSAGE_BYTES = 64
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: a `struct ucred`

PROBE_SECONDS = 10.0
# Some 20 ms are usual; what takes this long hangs, as on a file system that is gone.
START_SECONDS = 30.0
# What has been killed gets this to end.
END_SECONDS = 5.0
# The shim itself gives up on what cannot be killed after 10 seconds; see there.
SHIM_PATIENCE_SECONDS = 15.0


class BackendUnavailable(RuntimeError):
    """The backend that was asked for does not work on this machine; says why."""


class NotStarted(OSError):
    """The process that was to hold the command ended before it was ready; says why."""


@dataclass(frozen=True)
class Limits:
    """What each process of a run may use, by `prlimit`; None is as much as the worker may.

    `memory_bytes` bounds a process's data (RLIMIT_DATA), not its address space, of which node
    reserves far more than it uses. Beyond `cpu_seconds` comes SIGXCPU, a second later SIGKILL.
    """

    cpu_seconds: int | None = None
    memory_bytes: int | None = None
    file_size_bytes: int | None = None


@dataclass(frozen=True)
class Spec:
    """One command to run.

    `directory` is absolute and canonical, as `place.confined` returns it: a component that turns
    out to be a symlink is refused. `environment` is all that the command gets, besides the tag and
    PWD. `tag` is the run's id. With `stdin` it can be written to, else it is empty.
    """

    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    tag: str
    stdin: bool = False
    limits: Limits = Limits()


class Process:
    """One command, from before it begins until nothing of its tree is left.

    Its output has to be read, else it waits for its reader once the pipe is full.
    """

    def __init__(
        self, shim: subprocess.Popen[bytes], control: socket.socket, identity: Identity, tag: str
    ) -> None:
        self.identity = identity
        self._shim = shim
        self._control = control
        self._tag = tag
        self._stopping = False
        assert shim.stdout is not None
        assert shim.stderr is not None
        self._pipes: dict[Stream, IO[bytes]] = {"stdout": shim.stdout, "stderr": shim.stderr}
        self._pidfd = os.pidfd_open(shim.pid)
        self._end = asyncio.get_running_loop().create_task(self._follow())

    def begin(self) -> None:
        """Let the command start. Until then nothing of it has run."""
        self._tell(b"begin")

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """What the command prints, as it comes: up to 64 KiB of one stream at a time.

        Nothing is read ahead: the command prints as fast as this is iterated. Ends when all is
        read and the tree has ended, even if somebody outside holds a pipe open, or earlier when it
        has closed both streams. May be left and taken up again, by one reader at a time.
        """
        while self._pipes:
            ended = self._end.done()  # Asked before reading: what was written by then is there.
            read = False
            for stream, pipe in tuple(self._pipes.items()):
                try:
                    data = os.read(pipe.fileno(), READ_BYTES)
                except BlockingIOError:
                    continue
                read = True
                if data:
                    yield stream, data
                else:
                    self._pipes.pop(stream).close()
            if read:
                await asyncio.sleep(0)  # A command that always has more leaves room for others.
            elif ended:
                self.discard_output()
            else:
                await _readable([pipe.fileno() for pipe in self._pipes.values()], self._end)

    async def write(self, data: bytes) -> None:
        """Write to standard input; `BrokenPipeError` when the command no longer reads it.

        Waits while the pipe is full: read the output meanwhile, or both may wait for each other.
        """
        left = memoryview(data)
        while left:
            if self._stdin.closed:
                raise BrokenPipeError("standard input is closed")
            try:
                left = left[os.write(self._stdin.fileno(), left) :]
            except BlockingIOError:
                await _writable(self._stdin.fileno(), self._end)

    def close_stdin(self) -> None:
        self._stdin.close()

    async def wait(self) -> int:
        """The exit code, once nothing of the tree is left; -n when killed by signal n.

        A command that is not found gives 127, one that cannot be started 126, with a line on
        stderr that says why. When the shim itself was killed the code is -9.
        """
        code = await asyncio.shield(self._end)
        if self._shim.stdin is not None:
            self._shim.stdin.close()
        return code

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """End the whole tree: SIGTERM, after the grace SIGKILL; then nothing of it is alive.

        May be called again, to shorten the grace, and after the end.
        """
        if not self._stopping:
            self._stopping = True
            self._tell(b"stop")
        if not await self._ended_within(grace_seconds):
            self._tell(b"kill")
            if not await self._ended_within(SHIM_PATIENCE_SECONDS):
                await asyncio.to_thread(sweep, self._tag)
        await self.wait()

    def discard_output(self) -> None:
        """Let go of what nobody will read any more."""
        while self._pipes:
            self._pipes.popitem()[1].close()

    async def _follow(self) -> int:
        """Hear the shim out, reap it, and make up for it where it did not come to report."""
        try:
            status = await self._last_word()
            await _readable([self._pidfd])
            self._shim.wait()
        finally:
            self._control.close()
            os.close(self._pidfd)
        if status:
            return os.waitstatus_to_exitcode(int(status))
        await asyncio.to_thread(sweep, self._tag)
        return -signal.SIGKILL

    async def _last_word(self) -> bytes:
        loop = asyncio.get_running_loop()
        last = b""
        while True:
            try:
                message = await loop.sock_recv(self._control, MESSAGE_BYTES)
            except ConnectionResetError:
                continue  # It left an order unread; what it said before is still to be had.
            if not message:
                return last
            last = message

    def _tell(self, order: bytes) -> None:
        with contextlib.suppress(OSError):  # It has ended, which `wait` will tell.
            self._control.send(order)
            self._shim.send_signal(signal.SIGCONT)  # The command may have stopped it.

    async def _ended_within(self, seconds: float) -> bool:
        done, _ = await asyncio.wait({self._end}, timeout=seconds)
        return bool(done)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._shim.stdin is not None, "the Spec did not ask for stdin"
        return self._shim.stdin


@dataclass(frozen=True)
class Backend:
    """A way to run commands. `note` says, for operators, why it is not a better one."""

    name: BackendName
    wrapper: tuple[str, ...] = ()
    note: str = ""

    async def spawn(self, spec: Spec) -> Process:
        """Start a process that waits for `begin` to become the command.

        Takes about 20 ms. Call it from a thread that lives as long as the worker: when that
        thread ends, the kernel ends a namespace. Raises `OSError` when the machine refuses another
        process, or one with that long arguments, or does not get it ready within 30 seconds, and
        `ValueError` for a NUL in them.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(ours.close)
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            with theirs:
                shim = _start_shim(self.wrapper, spec, theirs)
            undo.push_async_callback(_off_the_loop, _end_shim, shim, ours, spec.tag)
            identity = identify(await _introduced(ours, shim))
            _limit(identity.pid, spec.limits)
            process = Process(shim, ours, identity, spec.tag)
            undo.pop_all()
        return process

    async def sweep(self, tag: str) -> int:
        """Kill all that carry the tag and their descendants; answers how many there were."""
        return await asyncio.to_thread(sweep, tag)


def choose(name: Literal["auto", "namespace", "process"]) -> Backend:
    """The backend of that name, tried out; `auto` is `namespace` where that works.

    Blocks for some 30 ms. Raises `BackendUnavailable`.
    """
    if problem := _problem_with_the_kernel():
        raise BackendUnavailable(problem)
    problem = "asked for" if name == "process" else _problem_with_namespaces()
    if not problem:
        return Backend("namespace", wrapper=BUBBLEWRAP)
    if name == "namespace":
        raise BackendUnavailable(problem)
    return Backend("process", note=problem)


def _problem_with_the_kernel() -> str:
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        return "running commands needs Linux, with /proc/<pid>/task/<tid>/children"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return f"running commands needs pidfd_open, of Linux 5.3: {error.strerror}"
    return ""


def _problem_with_namespaces() -> str:
    if shutil.which(BUBBLEWRAP[0]) is None:
        return "bubblewrap (bwrap) is not installed"
    probe = (*BUBBLEWRAP, *PYTHON, "import os; assert os.getpid() == 1")
    try:
        tried = subprocess.run(probe, capture_output=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"bubblewrap did not answer within {PROBE_SECONDS:g} s"
    if tried.returncode == 0:
        return ""
    return f"bubblewrap does not work here: {_text(tried.stderr)}"


def _start_shim(
    wrapper: tuple[str, ...], spec: Spec, control: socket.socket
) -> subprocess.Popen[bytes]:
    shim = subprocess.Popen(
        (*wrapper, *PYTHON, SHIM, str(control.fileno()), str(spec.directory), *spec.argv),
        bufsize=0,
        stdin=subprocess.PIPE if spec.stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(control.fileno(),),
        cwd="/",
        env={**spec.environment, RUN_VARIABLE: spec.tag},
        start_new_session=True,
    )
    for pipe in (shim.stdin, shim.stdout, shim.stderr):
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
    return shim


def _end_shim(shim: subprocess.Popen[bytes], control: socket.socket, tag: str) -> None:
    """Before it has begun. What bubblewrap has forked may not end with it that early: it then
    waits for ever to be set up, with our pipes in its hands."""
    control.close()
    sweep(tag)
    with contextlib.suppress(subprocess.TimeoutExpired):  # It is stuck in the kernel.
        shim.communicate(timeout=END_SECONDS)


async def _off_the_loop(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Do what blocks in a thread: to its end, even if nobody waits for that any more."""
    await asyncio.shield(asyncio.to_thread(work, *args, **kwargs))


async def _introduced(control: socket.socket, shim: subprocess.Popen[bytes]) -> int:
    """The pid of the process that will be the command, as the kernel vouches for it.

    The credentials of a message carry the pid by which *we* know its sender, in a namespace or not.
    """
    try:
        async with asyncio.timeout(START_SECONDS):
            await _readable([control.fileno()])
    except TimeoutError:
        raise NotStarted(f"it was not ready within {START_SECONDS:g} s") from None
    message, credentials, *_ = control.recvmsg(MESSAGE_BYTES, socket.CMSG_SPACE(CREDENTIALS.size))
    if not message:
        raise NotStarted(_text(shim.communicate()[1]) or "the shim ended at once")
    pid: int = CREDENTIALS.unpack(credentials[0][2])[0]
    return pid


def _limit(pid: int, limits: Limits) -> None:
    if limits.cpu_seconds is not None:
        _lower(pid, resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    if limits.memory_bytes is not None:
        _lower(pid, resource.RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes)
    if limits.file_size_bytes is not None:
        _lower(pid, resource.RLIMIT_FSIZE, limits.file_size_bytes, limits.file_size_bytes)


def _lower(pid: int, limit: int, soft: int, hard: int) -> None:
    highest = resource.prlimit(pid, limit)[1]
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.prlimit(pid, limit, (soft, hard))


async def _readable(fds: Collection[int], or_done: asyncio.Future[int] | None = None) -> None:
    loop = asyncio.get_running_loop()
    await _woken(fds, loop.add_reader, loop.remove_reader, or_done)


async def _writable(fd: int, or_done: asyncio.Future[int]) -> None:
    loop = asyncio.get_running_loop()
    await _woken([fd], loop.add_writer, loop.remove_writer, or_done)


async def _woken(
    fds: Collection[int],
    watch: Callable[[int, Callable[[], None]], object],
    unwatch: Callable[[int], object],
    or_done: asyncio.Future[int] | None,
) -> None:
    turn = asyncio.Event()

    def wake(_: object) -> None:
        turn.set()

    for fd in fds:
        watch(fd, turn.set)
    if or_done is not None:
        or_done.add_done_callback(wake)
    try:
        await turn.wait()
    finally:
        for fd in fds:
            unwatch(fd)
        if or_done is not None:
            or_done.remove_done_callback(wake)


def _text(stderr: bytes) -> str:
    return stderr.decode(errors="replace").strip()
