"""Programs that run other programs: what they start, in words or as a text for a shell."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from graph.shell import Command

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"})
INTERPRETERS = SHELLS | {"python", "python3", "perl", "ruby", "node", "php"}


@dataclass(frozen=True)
class _Starter:
    """How the words of a program lead to the program that it starts."""

    valued: str = ""
    """Options that take the next word."""
    skipped: int = 0
    """How many words stand between the options and the program."""


_STARTERS: Mapping[str, _Starter] = {
    "builtin": _Starter(),
    "busybox": _Starter(),
    "chroot": _Starter(skipped=1),
    "command": _Starter(),
    "doas": _Starter("-u -C"),
    "env": _Starter("-u --unset -C --chdir"),
    "exec": _Starter("-a"),
    "flock": _Starter("-w -E", skipped=1),
    "ionice": _Starter("-c -n -p"),
    "nice": _Starter("-n --adjustment"),
    "nohup": _Starter(),
    "nsenter": _Starter("-t --target"),
    "pkexec": _Starter("--user"),
    "run0": _Starter(),
    "setsid": _Starter(),
    "stdbuf": _Starter("-i -o -e"),
    "strace": _Starter("-e -o -p"),
    "sudo": _Starter("-u --user -g --group -h --host -p --prompt -C -r -t -T -U -D -R"),
    "time": _Starter("-f -o"),
    "timeout": _Starter("-s --signal -k --kill-after", skipped=1),
    "unshare": _Starter(),
    "watch": _Starter("-n --interval"),
    "xargs": _Starter("-I -i -n -P -L -l -d -a -E -s --max-args --max-procs --replace"),
}
_SCRIPTED = SHELLS | {"su", "script", "flock", "runuser"}
_EXECUTES = ("-exec", "-execdir", "-ok", "-okdir")
_ECHO = ("echo", "printf")


def started(command: Command) -> Iterator[Command]:
    """A command, and every one that it starts with the rest of its words."""
    while True:
        yield command
        words = _inner(command)
        if not words:
            return
        command = replace(command, words=tuple(words))


def scripts(command: Command) -> Iterator[str]:
    """The texts that a command gives to a shell, as far as they are known."""
    program, words = command.program, command.words[1:]
    if program == "eval":
        yield " ".join(words)
    elif program == "trap":
        yield from words[:1]
    elif program == "alias":
        yield from (word.partition("=")[2] for word in words)
    elif program == "ssh":
        yield " ".join(_after_options(words, "-p -i -l -o -F -J -L -R -D")[1:])
    elif program in _SCRIPTED and (text := _script_of(words)) is not None:
        yield text
    elif reads_program(command) and program in SHELLS:
        yield from _read_by(command)


def reads_program(command: Command) -> bool:
    """Whether it is an interpreter that takes what it runs from its standard input."""
    if command.program not in INTERPRETERS:
        return False
    words = command.words[1:]
    named = [word for word in _arguments(words) if word not in ("-", "/dev/stdin")]
    return _script_of(words) is None and (not named or "-s" in words)


def operands(command: Command) -> list[str]:
    """Its words that are no options; all that follow `--`."""
    words = list(command.words[1:])
    if "--" in words:
        end = words.index("--")
        return [word for word in words[:end] if not word.startswith("-")] + words[end + 1 :]
    return [word for word in words if not word.startswith("-") or word == "-"]


def flags(command: Command) -> frozenset[str]:
    """Its options: the letters of short ones, the names of long ones."""
    options = [word for word in command.words[1:] if word.startswith("-")]
    long = {word[2:].partition("=")[0] for word in options if word.startswith("--")}
    return frozenset(long.union(*(word[1:] for word in options if not word.startswith("--"))))


def _inner(command: Command) -> Sequence[str]:
    program, words = command.program, command.words[1:]
    if program == "find":
        return _executed_by_find(words)
    if not (starter := _STARTERS.get(program)):
        return ()
    return _after_options(words, starter.valued)[starter.skipped :]


def _after_options(words: Sequence[str], valued: str) -> Sequence[str]:
    place = 0
    while place < len(words):
        word = words[place]
        if word in valued.split():
            place += 2
        elif word.startswith("-") or _is_assignment(word):
            place += 1
        else:
            break
    return words[place:]


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def _executed_by_find(words: Sequence[str]) -> Sequence[str]:
    """What `find` runs on what it finds: its first starting point stands for all that it finds."""
    for place, word in enumerate(words):
        if word in _EXECUTES:
            start = "." if words[0].startswith("-") else words[0]
            rest = words[place + 1 :]
            end = next((at for at, one in enumerate(rest) if one in (";", "+")), len(rest))
            return [one.replace("{}", start) for one in rest[:end]]
    return ()


def _script_of(words: Sequence[str]) -> str | None:
    for place, word in enumerate(words):
        if word == "--command" or (word.startswith("-") and word[1:].isalpha() and "c" in word):
            return words[place + 1] if place + 1 < len(words) else ""
    return None


def _arguments(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-") or word == "-"]


def _read_by(command: Command) -> Iterator[str]:
    if command.read is not None:
        yield command.read
    for before in command.fed_by:
        if before.program in _ECHO:
            yield " ".join(word for word in before.words[1:] if not word.startswith("-"))
        elif before.read is not None:
            yield before.read
