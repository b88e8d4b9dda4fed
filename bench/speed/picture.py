"""The picture: requests in a second of CPU time, as bars."""

from collections.abc import Iterator
from html import escape

from bench.speed.contenders import CONTENDERS, US
from bench.speed.measuring import Figures

SHOWN = ("Q1", "Q2", "Q3", "M1")
DATABASES = ("PostgreSQL", "SQLite")
NAMES, BARS, HIGH, GAP = 190, 250, 18, 34
COLOURS = {True: "#0b7285", False: "#adb5bd"}


def drawn(figures: Figures) -> str:
    """An SVG: for each question a group of bars, a column for each database."""
    parts = list(_groups(figures))
    height = max(y for y, _ in parts) + GAP
    width = NAMES + len(DATABASES) * (BARS + 90)
    shapes = "\n".join(shape for _, shape in parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
 font-family="sans-serif" font-size="12">
<rect width="{width}" height="{height}" fill="white"/>
{shapes}
</svg>
"""


def _groups(figures: Figures) -> Iterator[tuple[int, str]]:
    y = 24
    for column, database in enumerate(DATABASES):
        yield y, _text(_left(column), y, f"{database}: requests a CPU second", weight="bold")
    y += 10
    for what in SHOWN:
        y += GAP
        yield y, _text(8, y - 8, what, weight="bold")
        for contender in CONTENDERS:
            found = [figures.median(contender.name, each, what) for each in DATABASES]
            if not any(found):
                continue
            yield y, _text(8, y + 13, contender.name)
            for column, (database, one) in enumerate(zip(DATABASES, found, strict=True)):
                if one:
                    most = max(_all(figures, database, what))
                    share = one.per_cpu_second / most
                    yield y, _bar(_left(column), y, share, one.per_cpu_second, contender.name == US)
            y += HIGH


def _all(figures: Figures, database: str, what: str) -> Iterator[float]:
    for contender in CONTENDERS:
        if found := figures.median(contender.name, database, what):
            yield found.per_cpu_second


def _left(column: int) -> int:
    return NAMES + column * (BARS + 90)


def _bar(x: int, y: int, share: float, value: float, is_ours: bool) -> str:
    wide = max(BARS * share, 1)
    return (
        f'<rect x="{x}" y="{y + 2}" width="{wide:.1f}" height="{HIGH - 4}" '
        f'fill="{COLOURS[is_ours]}"/>{_text(x + wide + 5, y + 13, f"{value:,.0f}")}'
    )


def _text(x: float, y: float, words: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{escape(words)}</text>'
