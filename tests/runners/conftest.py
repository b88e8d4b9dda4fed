"""What the tests of the runners share: both backends."""

import pytest

from runners.process import Backend, BackendUnavailable, choose


@pytest.fixture(scope="session", params=["process", "namespace"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """The test runs once on each backend that works on this machine."""
    try:
        return choose(request.param)
    except BackendUnavailable as refusal:
        pytest.skip(f"NOT TESTED with the {request.param} backend: {refusal}")
