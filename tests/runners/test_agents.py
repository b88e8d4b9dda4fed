"""Which agents are installed on this machine."""

from pathlib import Path

import pytest

from runners import agents
from tests.runners.witness import UP, witness


async def test_a_wrapper_that_never_says_its_version_is_ended_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "PATIENCE_SECONDS", 1)
    wrapper = tmp_path / "claude"
    wrapper.write_text(f"#!/bin/sh\nexec 9>{tmp_path}/witness\n{UP}\nsleep 1000\n")
    wrapper.chmod(0o700)
    async with witness(tmp_path) as tree:
        found = await agents.find(str(wrapper), tmp_path)
        gone = await tree.all_gone()

    assert agents.Installed(str(wrapper), None) == found
    assert gone
