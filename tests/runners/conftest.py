"""What the tests of the runners share: both backends."""

import pytest

from runners.process import Backend, BackendUnavailable, choose
from tests.fixtures.missing import not_tested


@pytest.fixture(scope="session", params=["process", "namespace"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """The test runs once on each backend, which has to work on this machine."""
    try:
        return choose(request.param)
    except BackendUnavailable as refusal:
        not_tested(f"NOT TESTED with the {request.param} backend: {refusal}")
