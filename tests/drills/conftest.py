"""What the drills share."""

from tests.runners.conftest import backend

__all__ = ["backend"]
