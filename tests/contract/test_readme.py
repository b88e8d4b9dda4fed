"""What the README says is what happens."""

import asyncio
import re
from pathlib import Path

from pydantic.fields import FieldInfo

from settings import Settings
from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD

README = Path(__file__).parents[2] / "README.md"


async def test_the_journey_by_curl_works_as_written(sqlite_url: str, tmp_path: Path) -> None:
    script = "\n".join(re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL))

    async with program(tmp_path, sqlite_url) as server:
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            script.replace("http://localhost:8000", server.url),
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "ADMIN_PASSWORD": PASSWORD},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            printed, complaints = await shell.communicate()

    assert (0, b"") == (shell.returncode, complaints)
    for line in _shown_output():
        assert line in printed.decode()
    assert '"status":"completed"' in printed.decode()
    assert '"action":"status_changed"' in printed.decode()


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", README.read_text(), re.MULTILINE))

    assert {name.upper(): _shown(field.default) for name, field in _settings().items()} == {
        name: default.strip() for name, default in table.items()
    }


def _shown_output() -> list[str]:
    shown = re.search(r"```text\n(.*?)```", README.read_text(), re.DOTALL)
    assert shown
    return [line for line in shown[1].splitlines() if line]


def _settings() -> dict[str, FieldInfo]:
    return dict(Settings.model_fields)


def _shown(default: object) -> str:
    if default in (None, "", []):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
