"""Where a command may run: in a directory below a root, however its path is spelled."""

import ctypes
import errno
import os
from pathlib import Path, PurePosixPath

# The same on every architecture that numbers its newer system calls alike: all but Alpha.
SYS_OPENAT2 = 437
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
OPEN_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# A kernel before 5.6, or a container runtime that does not know the call.
OPENAT2_IS_MISSING = (errno.ENOSYS, errno.EPERM)
OPENAT2_ATTEMPTS = 8


class PlaceRefused(ValueError):
    """The directory is outside its root, or is none; `issue` says which."""

    def __init__(self, wanted: str, issue: str) -> None:
        super().__init__(f"{wanted!r} {issue}")
        self.wanted = wanted
        self.issue = issue


def confined(root: Path, wanted: str | None) -> Path:
    """The canonical path of the directory `wanted` in `root`; the root itself for None.

    `wanted` is relative to the root, or absolute and inside it. A symlink is followed where it
    stays inside. Raises `PlaceRefused` for `..`, for what leads out, and for what is no directory.

    The kernel resolves the path in one go (`openat2`), so that nobody can exchange a part of it
    meanwhile; and as the answer has no symlink in it, entering it without following any (as the
    shim does) leads there or nowhere.
    """
    canonical = _canonical(root)
    inner = _inside(root, canonical, wanted or ".")
    top = os.open(canonical, OPEN_DIRECTORY)
    try:
        found = _opened(top, inner)
        place = Path(f"/proc/self/fd/{found}").readlink()
        os.close(found)
    except OSError as error:
        raise PlaceRefused(wanted or ".", _issue(error)) from error
    finally:
        os.close(top)
    if not place.is_relative_to(canonical):  # It was moved away meanwhile.
        raise PlaceRefused(wanted or ".", "leads outside")
    return place


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _canonical(root: Path) -> Path:
    try:
        canonical = root.resolve(strict=True)
        os.close(os.open(canonical, OPEN_DIRECTORY))
    except OSError as error:
        raise PlaceRefused(str(root), _issue(error)) from error
    return canonical


def _inside(root: Path, canonical: Path, wanted: str) -> PurePosixPath:
    """The path as it goes on from the root."""
    path = PurePosixPath(wanted)
    if "\0" in wanted or not _is_encodable(wanted):
        raise PlaceRefused(wanted, "is not a path")
    if ".." in path.parts:
        raise PlaceRefused(wanted, "must not contain ..")
    if not path.is_absolute():
        return path
    for spelling in (root, canonical):
        if path.is_relative_to(spelling):
            return path.relative_to(spelling)
    raise PlaceRefused(wanted, "leads outside")


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _opened(top: int, path: PurePosixPath) -> int:
    for _ in range(OPENAT2_ATTEMPTS):
        try:
            return _openat2(top, path)
        except BlockingIOError:
            continue  # Something was renamed on the way, so that the kernel cannot be sure.
        except OSError as error:
            if error.errno in OPENAT2_IS_MISSING:
                return _opened_step_by_step(top, path)
            raise
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def _openat2(top: int, path: PurePosixPath) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    how = _OpenHow(flags=OPEN_DIRECTORY, resolve=RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    found: int = libc.syscall(
        SYS_OPENAT2, top, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)
    )
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def _opened_step_by_step(top: int, path: PurePosixPath) -> int:
    """The strict way for kernels without openat2: no symlink is followed, wherever it leads."""
    here = os.dup(top)
    for name in path.parts:
        try:
            there = os.open(name, OPEN_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)
        here = there
    return here


def _issue(error: OSError) -> str:
    return {
        errno.EXDEV: "leads outside",
        errno.ENOENT: "does not exist",
        errno.ENOTDIR: "is not a directory",
    }.get(error.errno or 0, f"cannot be entered: {error.strerror}")
