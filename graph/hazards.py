"""The dangers of commands: why, what to do instead, and the programs and words that mean them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Hazard:
    """A danger in words. A ruinous one is nothing that anybody means to run."""

    warnings: tuple[str, ...]
    suggestions: tuple[str, ...] = ()
    is_ruinous: bool = False


_DESTRUCTIVE = "This command is potentially destructive"
_LIST_FIRST = "Use 'ls' to list files before deletion"
_ONE_DIRECTORY = "Use 'rm -rf ./directory' to delete specific directory"

DELETES_SYSTEM = Hazard(
    (_DESTRUCTIVE, "Command attempts to delete system files"),
    (_ONE_DIRECTORY, _LIST_FIRST),
    is_ruinous=True,
)
DELETES_HOME = Hazard(
    (_DESTRUCTIVE, "Command attempts to delete a whole home directory"),
    (_ONE_DIRECTORY, _LIST_FIRST),
    is_ruinous=True,
)
DELETES_BELOW_SYSTEM = Hazard(
    (_DESTRUCTIVE, "Command attempts to delete system files"),
    ("Use the package manager to remove what it has installed", _LIST_FIRST),
)
DELETES_ALL_HERE = Hazard(
    (_DESTRUCTIVE, "Command deletes everything in the working directory or above it"),
    (_ONE_DIRECTORY, _LIST_FIRST),
)
DELETES_UNKNOWN = Hazard(
    (_DESTRUCTIVE, "What is deleted only shows when the command runs; if it is empty, much may be"),
    ("Use '${NAME:?}' so that an empty variable stops the command", _LIST_FIRST),
)
DELETES_FOUND = Hazard(
    (_DESTRUCTIVE, "Command deletes all that a search or a list finds"),
    ("Use 'find' without '-delete' to list files before deletion",),
)
OVERWRITES_DEVICE = Hazard(
    (_DESTRUCTIVE, "Command writes to a device: what is on it is lost"),
    ("Use a file such as './disk.img' instead of a device", "Use 'lsblk' to list the devices"),
    is_ruinous=True,
)
OVERWRITES_SYSTEM = Hazard(
    (_DESTRUCTIVE, "Command overwrites system files"),
    ("Use a copy of the file, and compare it with 'diff'",),
    is_ruinous=True,
)
CHANGES_SYSTEM_FILES = Hazard(
    (_DESTRUCTIVE, "Command changes system files"),
    ("Use 'cp' to keep a copy of the file before it changes",),
)
CHANGES_ACCESS_OF_SYSTEM = Hazard(
    (_DESTRUCTIVE, "Command changes who may use system files, all of them"),
    ("Use 'chmod' or 'chown' on './directory'", "Use 'ls -l' to look at permissions first"),
    is_ruinous=True,
)
OPENS_ACCESS = Hazard(
    ("Command lets everyone change the files",),
    ("Use 'chmod u+rwX' to give the owner access",),
)
MULTIPLIES = Hazard(
    (_DESTRUCTIVE, "Command starts itself again and again until the system stops (a fork bomb)"),
    ("Use a loop with an end, and 'wait' for what it starts",),
    is_ruinous=True,
)
RUNS_DOWNLOAD = Hazard(
    ("Command runs code from the network unseen",),
    (
        "Use 'curl -o script.sh' to download it, read it, and then run it",
        "Use 'sha256sum -c' to compare it with a published checksum",
    ),
)
RUNS_OUTPUT = Hazard(
    ("Command runs what another command prints, unseen",),
    ("Use a file for what is to be run, and read it first",),
)
OPENS_SHELL = Hazard(
    ("Command connects a shell or a file with another machine",),
    ("Use 'ssh' to work on another machine",),
)
PRIVILEGED = Hazard(
    ("Command runs with elevated privileges",),
    ("Use the command without elevated privileges where it works",),
)
STOPS_SYSTEM = Hazard(
    ("Command stops or restarts the system",),
    ("Use 'systemctl restart' to restart one service",),
)
ENDS_OTHERS = Hazard(
    ("Command ends processes that it did not start",),
    ("Use 'kill' with the id of one process", "Use 'ps' to list processes first"),
)
DISCARDS_WORK = Hazard(
    (_DESTRUCTIVE, "Command discards changes that are not committed"),
    ("Use 'git stash' to keep the changes", "Use 'git status' to list them first"),
)
REWRITES_HISTORY = Hazard(
    ("Command overwrites the history of others",),
    ("Use 'git push --force-with-lease'",),
)
DISCARDS_STORE = Hazard(
    (_DESTRUCTIVE, "Command deletes data that is not kept elsewhere"),
    ("Use the program's way of listing what it would delete first",),
)
UNKNOWN_PROGRAM = Hazard(
    ("Which program runs only shows when the command runs",),
    ("Use the name of the program",),
)

OF_PROGRAMS: Mapping[str, Hazard] = {
    **dict.fromkeys(("sudo", "su", "doas", "pkexec", "run0", "runuser", "nsenter"), PRIVILEGED),
    **dict.fromkeys(("setcap", "insmod", "modprobe", "mount", "visudo", "usermod"), PRIVILEGED),
    **dict.fromkeys(("shutdown", "reboot", "halt", "poweroff", "kexec"), STOPS_SYSTEM),
    **dict.fromkeys(("killall", "pkill", "killall5"), ENDS_OTHERS),
    **dict.fromkeys(("mkfs", "mke2fs", "mkswap", "wipefs", "fdisk", "sfdisk"), OVERWRITES_DEVICE),
    **dict.fromkeys(("sgdisk", "parted", "blkdiscard", "hdparm", "badblocks"), OVERWRITES_DEVICE),
}
OF_WORDS: tuple[tuple[re.Pattern[str], Hazard], ...] = tuple(
    (re.compile(words), hazard)
    for words, hazard in (
        (r"git( .*)? reset( .*)? --hard\b", DISCARDS_WORK),
        (r"git( .*)? clean( .*)? (-\w*f|--force)", DISCARDS_WORK),
        (r"git( .*)? (checkout|restore)( .*)? (--|\.)( |$)", DISCARDS_WORK),
        (r"git( .*)? stash (clear|drop)", DISCARDS_WORK),
        (r"git( .*)? push( .*)? (-\w*f\b|--force$|--force |--mirror|--delete)", REWRITES_HISTORY),
        (r"(docker|podman)( .*)? prune", DISCARDS_STORE),
        (r"(docker|podman)( .*)? volume rm", DISCARDS_STORE),
        (r"(docker|podman) run( .*)? --privileged", PRIVILEGED),
        (r"kubectl( .*)? delete", DISCARDS_STORE),
        (r"terraform( .*)? destroy", DISCARDS_STORE),
        (r"crontab( .*)? -\w*r", DISCARDS_STORE),
        (r"(dropdb|redis-cli( .*)? flush(all|db))\b", DISCARDS_STORE),
        (r"(psql|mysql|sqlite3)\b.*\b(?i:(drop|truncate) (table|database|schema))", DISCARDS_STORE),
        (r"(init|telinit) [06]$", STOPS_SYSTEM),
        (r"systemctl( .*)? (poweroff|reboot|halt|kexec)", STOPS_SYSTEM),
        (r"kill( .*)? -1$", ENDS_OTHERS),
        (r"(nc|ncat|netcat)( .*)? (-\w*[ec]|--exec|--sh-exec) ", OPENS_SHELL),
        (r"chmod( .*)? ([ug]\+\w*s|[2467]\d{3})( |$)", PRIVILEGED),
    )
)
