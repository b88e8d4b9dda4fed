"""Which dangers a command has: by what it deletes, what it writes and whose code it runs."""

import posixpath
import re
from collections.abc import Callable, Iterator

from graph import hazards
from graph.hazards import Hazard
from graph.shell import UNKNOWN, Command, Redirect, Script
from graph.starters import INTERPRETERS, flags, operands, reads_program

_FETCHERS = frozenset({"curl", "wget", "fetch", "aria2c", "http", "https", "nc", "ncat", "lynx"})
_DECODERS = frozenset({"base64", "xxd", "openssl", "gunzip", "zcat", "gzip", "tr", "rev"})
_RUNS_ITS_WORDS = INTERPRETERS | {".", "source", "eval"}
_DELETERS = frozenset({"rm", "rmdir", "shred", "srm", "trash", "unlink", "wipe"})
_COPIERS = frozenset({"cp", "install", "ln", "mv", "rsync"})
_SEARCHES_BY_NAME = frozenset({"-name", "-iname", "-path", "-regex"})

_SYSTEM = re.compile(
    "bin|boot|dev|etc|home|lib|lib32|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var"
    "|Applications|Library|System|Users|Volumes"
)
_SYSTEM_TO_THE_BOTTOM = re.compile(r"/(bin|boot|dev|etc|lib\d*|proc|sbin|sys|usr)(/(?!src/)|$)")
_HARMLESS = re.compile(r"/dev/|/proc/(self|sys)/")
_DEVICE = re.compile(
    r"/dev/(r?disk\d|sd|hd|vd|xvd|nvme|mmcblk|loop|md|dm-|mapper/|mem|kmem|port|sr\d)"
)
_CONNECTION = re.compile(r"/dev/(tcp|udp)/")
_HOME = re.compile(r"~[\w.-]*|/root|/(home|Users)/[^/]+")
_PATTERN = re.compile(r"[*?\[{]")
_LONGEST_WORDING = 1000
_FOR_EVERYONE = re.compile(r"[0-7]?777|[ao]*[+=]r?w(x|$)?")


def of_script(script: Script) -> Iterator[Hazard]:
    """The dangers of a command line as a whole: what multiplies, and where output goes."""
    if script.multiplies:
        yield hazards.MULTIPLIES
    for redirect in script.redirects:
        yield from _of_redirect(redirect)


def of_command(command: Command) -> Iterator[Hazard]:
    """The dangers of one simple command."""
    for rule in _RULES:
        yield from rule(command)


def _of_redirect(redirect: Redirect) -> Iterator[Hazard]:
    if _CONNECTION.match(redirect.target):
        yield hazards.OPENS_SHELL
    elif ">" in redirect.operator and redirect.operator != ">&":
        yield from _of_written(redirect.target, is_kept=redirect.operator in (">>", "&>>"))


def _of_deletion(command: Command) -> Iterator[Hazard]:
    if command.program not in _DELETERS:
        return
    everything = bool(flags(command) & {"r", "R", "recursive"})
    targets = operands(command)
    if everything and not targets:
        yield hazards.DELETES_FOUND  # The targets come from `xargs`.
    for target in targets:
        yield from _of_deleted(target, everything)


def _of_search(command: Command) -> Iterator[Hazard]:
    if command.program == "find" and "-delete" in command.words:
        start = "." if command.words[1].startswith("-") else command.words[1]
        is_narrow = not _SEARCHES_BY_NAME.isdisjoint(command.words)
        for hazard in _of_deleted(start, True):
            if hazard.is_ruinous or not is_narrow:
                yield hazard


def _of_move(command: Command) -> Iterator[Hazard]:
    if command.program == "mv":
        for source in operands(command)[:-1]:
            yield from (hazard for hazard in _of_deleted(source, True) if hazard.is_ruinous)


def _of_writing(command: Command) -> Iterator[Hazard]:
    program, targets = command.program, operands(command)
    if program == "dd":
        targets = [word[3:] for word in command.words if word.startswith("of=")]
    elif program in _COPIERS:
        targets = targets[-1:]
    elif program not in ("tee", "truncate", "shred"):
        return
    is_kept = program in _COPIERS or (program == "tee" and "a" in flags(command))
    for target in targets:
        yield from _of_written(target, is_kept=is_kept)


def _of_editing(command: Command) -> Iterator[Hazard]:
    is_in_place = command.program in ("sed", "perl") and flags(command) & {"i", "in-place"}
    if is_in_place and any(_is_system_file(_normal(target)) for target in operands(command)):
        yield hazards.CHANGES_SYSTEM_FILES


def _of_access(command: Command) -> Iterator[Hazard]:
    if command.program not in ("chmod", "chown", "chgrp"):
        return
    mode, *targets = operands(command) or [""]
    is_recursive = bool(flags(command) & {"R", "recursive"})
    if is_recursive and any(_is_top(_normal(target)) for target in targets):
        yield hazards.CHANGES_ACCESS_OF_SYSTEM
    if command.program == "chmod" and _FOR_EVERYONE.fullmatch(mode):
        yield hazards.OPENS_ACCESS


def _of_foreign_code(command: Command) -> Iterator[Hazard]:
    if reads_program(command):
        yield from _of_sources(command.fed_by)
    if command.program in _RUNS_ITS_WORDS and UNKNOWN in "".join(operands(command)[:1]):
        yield from _of_sources(command.within)


def _of_name(command: Command) -> Iterator[Hazard]:
    if UNKNOWN in command.program:
        yield hazards.UNKNOWN_PROGRAM
    elif hazard := hazards.OF_PROGRAMS.get(command.program.partition(".")[0]):
        yield hazard


def _of_wording(command: Command) -> Iterator[Hazard]:
    wording = " ".join((command.program, *command.words[1:]))[:_LONGEST_WORDING]
    for words, hazard in hazards.OF_WORDS:
        if words.match(wording):
            yield hazard


_RULES: tuple[Callable[[Command], Iterator[Hazard]], ...] = (
    _of_deletion,
    _of_search,
    _of_move,
    _of_writing,
    _of_editing,
    _of_access,
    _of_foreign_code,
    _of_name,
    _of_wording,
)


def _of_sources(sources: tuple[Command, ...]) -> Iterator[Hazard]:
    """What it means to run what these commands print."""
    programs = {source.program for source in sources}
    if programs & _FETCHERS:
        yield hazards.RUNS_DOWNLOAD
    elif programs & _DECODERS:
        yield hazards.RUNS_OUTPUT


def _of_deleted(target: str, everything: bool) -> Iterator[Hazard]:
    path = _normal(target)
    if UNKNOWN in path:
        emptied = _normal(path.replace(UNKNOWN, ""))
        if everything and (not emptied or _is_top(emptied)):
            yield hazards.DELETES_UNKNOWN
    elif _HOME.fullmatch(path):
        yield hazards.DELETES_HOME
    elif _is_top(path):
        yield hazards.DELETES_SYSTEM
    elif _is_system_file(path):
        yield hazards.DELETES_BELOW_SYSTEM
    elif everything and (path in (".", "*", ".*") or path.split("/")[0] == ".."):
        yield hazards.DELETES_ALL_HERE


def _of_written(target: str, *, is_kept: bool) -> Iterator[Hazard]:
    """`is_kept` when what was in the file stays, or the file may be a new one."""
    path = _normal(target)
    if _DEVICE.match(path):
        yield hazards.OVERWRITES_DEVICE
    elif _is_system_file(path) and not _HARMLESS.match(path):
        yield hazards.CHANGES_SYSTEM_FILES if is_kept else hazards.OVERWRITES_SYSTEM


def _normal(path: str) -> str:
    """A path in its shortest spelling; all that is in a directory counts as the directory."""
    shortest = posixpath.normpath(path) if path else ""
    shortest = re.sub(r"^/+", "/", shortest)
    while shortest.endswith(("/*", "/.*")):
        shortest = shortest.rpartition("/")[0] or "/"
    return shortest


def _is_top(path: str) -> bool:
    """Whether it is the root, a directory of the system just below it, or a pattern for those."""
    above, _, name = path.rpartition("/")
    if above or not path.startswith("/"):
        return False
    return not name or bool(_SYSTEM.fullmatch(name) or _PATTERN.search(name))


def _is_system_file(path: str) -> bool:
    return bool(_SYSTEM_TO_THE_BOTTOM.match(path))
