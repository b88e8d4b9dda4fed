"""What one process serves with."""

from dataclasses import dataclass

from graph.context import Resources
from graph.execution import Executor


@dataclass(kw_only=True)
class Services(Resources):
    """The resources of one process, and what executes operations on them; see `app.py`."""

    graphql: Executor
    rest: Executor
