"""Changes to free-form JSON, as a JSON Merge Patch (RFC 7396)."""

from collections.abc import Mapping
from typing import Any


def patched(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the patch's keys set; objects within are merged, null takes a key away."""
    found = {key: kept for key, kept in value.items() if key not in patch}
    for key, new in patch.items():
        if isinstance(new, Mapping):
            old = value.get(key)
            found[key] = patched(old if isinstance(old, Mapping) else {}, new)
        elif new is not None:
            found[key] = new
    return found
