"""Lines that come in pieces."""

import pytest

from runners.lines import Lines, clipped, parsed


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_put_together_however_they_are_cut_up(size: int) -> None:
    text = "first\n\nzwölf\nlast\nrest".encode()
    lines = Lines()

    found = [
        line for place in range(0, len(text), size) for line in lines.feed(text[place:][:size])
    ]

    assert [b"first", b"", "zwölf".encode(), b"last"] == found


def test_a_line_that_is_far_too_long_is_left_out() -> None:
    lines = Lines(longest=10)

    found = [*lines.feed(b"a" * 8), *lines.feed(b"a" * 8), *lines.feed(b"\nshort\n")]

    assert [b"A line of 16 bytes was left out", b"short"] == found


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": [1, "b"]}', {"a": [1, "b"]}),
        (rb'{"a": "x\u0000y"}', {"a": "x\ufffdy"}),
        (rb'{"a": ["x\ud83d"]}', {"a": ["x\ufffd"]}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "😀"}),
        (b"[1]", None),
        (b"not JSON", None),
        (b"", None),
        (b"[" * 100_000, None),
        (b'{"a":' * 200 + b"1" + b"}" * 200, nested(200)),
        (b'{"a":' * 201 + b"1" + b"}" * 201, None),
        (b"[]" * 201 + b'"' + b'\\"' * 500_000, None),
        (b'{"a": "' + b'{[\\"' * 300 + b'"}', {"a": '{["' * 300}),
    ],
)
def test_a_line_is_parsed_to_what_can_be_stored(line: bytes, expected: object) -> None:
    assert expected == parsed(line)


def test_a_long_text_is_clipped_and_says_so() -> None:
    assert "abc… (2 more characters)" == clipped("abcde", 3)
    assert "abc" == clipped("abc", 3)
