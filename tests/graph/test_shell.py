"""Command lines, read as a shell reads them."""

import asyncio

import pytest

from graph import shell
from graph.shell import UNKNOWN, Command, Redirect, Unreadable


async def words_of(text: str) -> list[tuple[str, ...]]:
    return [command.words for command in (await shell.read(text)).commands]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"""\rm 'a b' "c d" e\ f""", ("rm", "a b", "c d", "e f")),
        (r""""a\nb\"c" a\nb""", (r'a\nb"c', "anb")),
        (r"$'\x2f\x62in'", ("/bin",)),
        ("""r''m "" ''""", ("rm", "", "")),
        ("ls ~/x $HOME ${HOME}/y $PWD", ("ls", "~/x", "~", "~/y", ".")),
        ("ls ${X:-/tmp} ${Y}", ("ls", "/tmp", UNKNOWN)),
        ("ls a$(b)c", ("b",)),
        ("ls $((1 + 2)) ${#X} ${X%.c}", ("ls", UNKNOWN, UNKNOWN, UNKNOWN)),
        ("ls a\\\nb", ("ls", "ab")),
    ],
)
async def test_words_are_read_without_their_quotes(text: str, words: tuple[str, ...]) -> None:
    assert words == (await words_of(text))[0]


async def test_variables_hold_what_they_were_given() -> None:
    assert [("rm", "/")] == await words_of("D=/; rm $D")
    assert [("export",), ("rm", "/b")] == [("export",), *await words_of("export D=/b; rm $D")]
    assert [("rm", UNKNOWN)] == await words_of("rm $D; D=/")


@pytest.mark.parametrize(
    "text",
    [
        "if a; then b; fi",
        "while a; do b; done",
        "case x in y) a;; *) b;; esac",
        "(a) && { b; }",
        "a; f() { b; }",
        "! a || time b",
        "X=$(a) b",
        "a & b",
    ],
)
async def test_commands_are_found_however_deep(text: str) -> None:
    assert [("a",), ("b",)] == await words_of(text)


async def test_a_pipeline_says_what_feeds_a_command() -> None:
    first, second, third = (await shell.read("a x | (cd b; c)")).commands

    assert [("a", "x")] == [command.words for command in third.fed_by]
    assert [("a", "x")] == [command.words for command in second.fed_by]
    assert () == first.fed_by


async def test_substitutions_say_what_becomes_words() -> None:
    *_, last = (await shell.read("a $(b) `c` <(d)")).commands

    assert ("a", UNKNOWN, UNKNOWN, UNKNOWN) == last.words
    assert [("b",), ("c",), ("d",)] == [command.words for command in last.within]


@pytest.mark.parametrize("text", ["sh <<'E'\nls $X\nE\n", "sh <<< 'ls $X\n'"])
async def test_what_a_command_is_given_to_read_is_known(text: str) -> None:
    (command,) = (await shell.read(text)).commands

    assert Command(("sh",), read="ls $X\n") == command


async def test_redirections_are_found() -> None:
    script = await shell.read("a > x 2>&1; { b; } >> y; >| z < w")

    assert [
        Redirect(">", "x"),
        Redirect(">&", "1"),
        Redirect(">>", "y"),
        Redirect(">|", "z"),
        Redirect("<", "w"),
    ] == list(script.redirects)


@pytest.mark.parametrize(
    ("text", "multiplies"),
    [
        (":(){ :|:& };:", True),
        ("bomb() { bomb | bomb & }; bomb", True),
        ("function f { f & f & }; f", True),
        ("while true; do ./x & done", True),
        ("f() { g | h & }; f", False),
        ("walk() { for d in *; do (cd $d; walk); done; }; walk", False),
        ("while read -r x; do echo $x & done", False),
        ("a & b & wait", False),
    ],
)
async def test_a_fork_bomb_is_known_by_its_shape(text: str, multiplies: bool) -> None:
    assert multiplies == (await shell.read(text)).multiplies


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("if a; then b", "1:1: `if` statement must end with `fi`"),
        ('echo "x', '1:6: reached EOF without closing quote `"`'),
        ("a | | b", "1:3: `|` must be followed by a statement"),
        ("$(" * 3000 + ")" * 3000, "exceeded max depth"),
        ("$(" * 200 + "a" + ")" * 200, "It is nested too deeply"),
        ("a;" * 1001, "It is too complicated"),
    ],
)
async def test_what_a_shell_would_not_read_is_said_with_its_place(text: str, issue: str) -> None:
    with pytest.raises(Unreadable) as refused:
        await shell.read(text)

    assert issue == str(refused.value)


async def test_a_text_that_takes_long_is_given_up() -> None:
    with pytest.raises(Unreadable, match="too complicated"):
        await shell.read("$(" * 1200 + "ls" + ")" * 1200)


async def test_a_few_texts_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To start a process takes the loop's own time, and one request may ask for hundreds."""
    tree_of = shell._tree_of
    at_once: list[int] = []
    reading = 0

    async def counted(text: bytes) -> bytes:
        nonlocal reading
        reading += 1
        at_once.append(reading)
        try:
            return await tree_of(text)
        finally:
            reading -= 1

    monkeypatch.setattr(shell, "_tree_of", counted)
    found = await asyncio.gather(*(words_of(f"echo {number}") for number in range(20)))

    assert [[("echo", str(number))] for number in range(20)] == found
    assert shell._MOST_AT_ONCE == max(at_once)
