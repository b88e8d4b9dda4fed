"""What schemathesis is told before it asks."""

from typing import Any

import schemathesis
from schemathesis import Case, HookContext

DOTS = (".", "..")


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], __: object) -> None:
    """A client takes these out of a path, and then asks for another one than is described."""
    for name, value in (case.path_parameters or {}).items():
        if value in DOTS:
            case.path_parameters[name] = "unknown"
