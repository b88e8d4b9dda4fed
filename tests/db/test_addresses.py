"""Where webhooks may be sent to."""

import pytest

from db.addresses import check_url, is_public, may_be_reached
from db.errors import Problem

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.1",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1%eth0",
    "fd00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1",
]  # fmt: skip
PUBLIC = [
    "93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
    "2002:101:101::",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


def test_what_the_operator_allows_may_be_reached_by_name_or_by_address() -> None:
    allowed = {"intranet", "10.0.0.1"}

    assert [True, True, False, True] == [
        may_be_reached("Intranet", "10.0.0.9", allowed),
        may_be_reached("other", "10.0.0.1", allowed),
        may_be_reached("other", "10.0.0.9", allowed),
        may_be_reached("other", "1.1.1.1", allowed),
    ]


@pytest.mark.parametrize(
    "url", ["https://example.org", "http://example.org:8080/a?b=c#d", "https://[2606:4700::1]/"]
)
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert url == check_url("url", url, ())


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "VALIDATION_REQUIRED_FIELD"),
        ("https://example.org/" + "x" * 2000, "VALIDATION_VALUE_TOO_LONG"),
        ("example.org", "VALIDATION_INVALID_FORMAT"),
        ("ftp://example.org", "VALIDATION_INVALID_FORMAT"),
        ("file:///etc/passwd", "VALIDATION_INVALID_FORMAT"),
        ("https://", "VALIDATION_INVALID_FORMAT"),
        ("https://example.org:port/", "VALIDATION_INVALID_FORMAT"),
        ("https://[::1/", "VALIDATION_INVALID_FORMAT"),
        ("https://user:password@example.org/", "VALIDATION_INVALID_FORMAT"),
        ("https://example.org/a b", "VALIDATION_INVALID_FORMAT"),
        ("https://exa\tmple.org/", "VALIDATION_INVALID_FORMAT"),
        ("https://example.org\\@10.0.0.1/", "VALIDATION_INVALID_FORMAT"),
        ("https://bücher.example/", "VALIDATION_INVALID_FORMAT"),
        ("http://127.0.0.1/", "VALIDATION_INVALID_FORMAT"),
        ("http://[::ffff:7f00:1]/", "VALIDATION_INVALID_FORMAT"),
        ("http://LOCALHOST/", "VALIDATION_INVALID_FORMAT"),
    ],
)
def test_a_wrong_url_is_refused(url: str, code: str) -> None:
    with pytest.raises(Problem) as refused:
        check_url("url", url, ())

    assert (code, "url") == (refused.value.code, refused.value.details["field"])


def test_a_private_url_is_taken_when_the_operator_allows_it() -> None:
    assert "http://127.0.0.1/" == check_url("url", "http://127.0.0.1/", {"127.0.0.1"})
