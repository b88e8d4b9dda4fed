"""What JSON both databases can keep."""

import pytest

from db.errors import InvalidFormat
from db.validation import json_object


@pytest.mark.parametrize("text", ["a\0", "\\\0", "\0\\u0000"])
def test_json_with_a_nul_is_refused(text: str) -> None:
    with pytest.raises(InvalidFormat) as refused:
        json_object("metadata", {"command": text})

    assert "Must not contain NUL" == refused.value.details["issue"]


@pytest.mark.parametrize("text", ["printf '\\u0000'", "\\\\u0000", "\\u0000"])
def test_what_only_spells_a_nul_is_kept(text: str) -> None:
    assert {"command": text} == json_object("metadata", {"command": text})
