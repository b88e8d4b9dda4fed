"""What every test may ask for: databases, and a Redis."""

import pytest

# What tests share says as well as they do what was not as expected.
pytest.register_assert_rewrite("tests.db.claims_chaos", "tests.db.claims_model")

pytest_plugins = [
    "tests.fixtures.sqlite",
    "tests.fixtures.postgres",
    "tests.fixtures.databases",
    "tests.fixtures.valkey",
    "tests.fixtures.server",
    "tests.fixtures.agents",
    "tests.fixtures.clock",
    "tests.fixtures.receiver",
]


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database; the test runs once on each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database without tables; the test runs once on each kind."""
    return str(request.getfixturevalue(f"empty_{request.param}_url"))
