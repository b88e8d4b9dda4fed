"""What the operator decides, read once from the environment."""

import os
import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SHORTEST_SECRET = 32


class Settings(BaseSettings):
    """Every setting, with its default; each is an environment variable of the same name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    data_dir: Path = Path("data")
    """Where the SQLite file, the generated secret and the workspaces live."""

    database_url: str = ""
    """`sqlite:///path` or `postgresql://…`; by default a SQLite file below `data_dir`."""

    redis_url: SecretStr | None = None
    """`redis://…`: carries the bus between processes and counts requests; none by default."""

    jwt_secret: SecretStr | None = None
    """Signs the access tokens; at least 32 bytes. Generated once below `data_dir` by default."""

    access_token_seconds: int = Field(default=3600, ge=60)
    """How long an access token is good for."""

    refresh_grace_seconds: int = Field(default=7 * 24 * 3600, ge=0)
    """How long after its expiry an access token may still be exchanged for a new one."""

    admin_username: str = Field(default="admin", max_length=64)
    admin_password: SecretStr | None = None
    """The administrator of the first start; without a password one is generated and printed."""

    rate_limit_enabled: bool = True
    rate_limit_anonymous: int = Field(default=100, ge=1)
    """Requests a minute of one address, as long as nobody is signed in."""

    rate_limit_user: int = Field(default=200, ge=1)
    """Requests a minute of one user."""

    rate_limit_premium: int = Field(default=500, ge=1)
    """Requests a minute of one premium user."""

    rate_limit_login: int = Field(default=10, ge=1)
    """Attempts a minute to sign in as one user from one address."""

    trusted_proxies: Annotated[list[str], NoDecode] = []
    """Addresses and networks, comma-separated, of proxies whose `X-Forwarded-For` is believed."""

    max_requests_in_flight: int = Field(default=1000, ge=1)
    """How many requests this process answers at once; further ones get `SYSTEM_OVERLOADED`."""

    websocket_connections_per_user: int = Field(default=50, ge=1)
    """How many WebSockets one user may have open on this process."""

    queue_max_size: int = Field(default=10_000, ge=1)
    """How many runs may wait in one lane; what is enqueued beyond that gets `QUEUE_FULL`."""

    environment: str = "production"
    """What this installation is called in `/api/system/info`."""

    worker_concurrency: int = Field(default=8, ge=0, le=1000)
    """How many runs this process carries out at once; 0 leaves them to `claude-cli-api work`."""

    workspace_root: Path | None = None
    """Runs work below this directory; by default `workspaces` below `data_dir`."""

    claude_command: str = "claude"
    """The CLI that carries out tasks without a command: a name on PATH, or a path."""

    anthropic_api_key: SecretStr | None = None
    anthropic_auth_token: SecretStr | None = None
    claude_code_oauth_token: SecretStr | None = None
    """What the CLI signs in with: one of these. They are handed to it and to nothing else."""

    anthropic_base_url: str | None = None
    """Where the CLI finds the API, if not at its usual place."""

    claude_model: str | None = None
    """The model of tasks and projects that name none; by default the CLI's own choice."""

    claude_max_turns: int = Field(default=200, ge=1, le=10_000)
    """How many turns the CLI may take in a run."""

    claude_max_budget_usd: float = Field(default=10.0, ge=0, le=1_000_000)
    """What a run may cost at most, in dollars; projects and runs may set less. 0 is no limit."""

    claude_permission_mode: Literal["read_only", "accept_edits", "ask"] = "accept_edits"
    """What agents may do by themselves in projects that do not say."""

    claude_stall_seconds: float = Field(default=600.0, gt=0)
    """After how long without a sign of life, while no tool runs, a run counts as stuck."""

    approval_seconds: float = Field(default=900.0, gt=0)
    """How long an agent waits for a permission; then it is denied."""

    session_seconds: int = Field(default=2 * 3600, ge=60)
    """How long a user session lives after its last use."""

    default_timeout_seconds: int | None = Field(default=None, ge=1)
    """What a run may take that names no timeout of its own; by default as long as it wants."""

    run_cpu_seconds: int | None = Field(default=None, ge=1)
    run_memory_bytes: int | None = Field(default=None, ge=1024 * 1024)
    run_file_size_bytes: int | None = Field(default=None, ge=1)
    """What each process of a run may use of these; by default as much as the server may."""

    output_limit_bytes: int = Field(default=16 * 1024 * 1024, ge=1024 * 1024)
    """What is kept of a run's output: its beginning and its end, half of this each."""

    keep_output_days: int | None = Field(default=None, ge=1)
    """For how long the output of finished runs is kept; by default for ever, as the next three."""

    keep_runs_days: int | None = Field(default=None, ge=1)
    """For how long finished runs are kept; the newest one of a task always is."""

    keep_events_days: int | None = Field(default=None, ge=1)
    """For how long history is kept."""

    keep_deleted_days: int | None = Field(default=None, ge=1)
    """For how long deleted tasks and projects are kept."""

    keep_deliveries_days: int | None = Field(default=30, ge=1)
    """For how long what was sent to webhooks is kept; the events themselves stay."""

    webhook_allowed_hosts: Annotated[list[str], NoDecode] = []
    """Hosts, comma-separated names and addresses, that webhooks may be sent to though private."""

    metrics_token: SecretStr | None = None
    """What Prometheus has to present at /metrics, as a bearer token; by default nothing."""

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Where `claude-cli-api work` serves its metrics, on 127.0.0.1; by default nowhere."""

    otel_exporter_otlp_endpoint: str | None = None
    """Where OpenTelemetry's spans go, by OTLP over HTTP; needs the extra `otel`."""

    stop_grace_seconds: float = Field(default=5.0, ge=0)
    """What a cancelled process gets between SIGTERM and SIGKILL."""

    drain_seconds: float = Field(default=30.0, ge=0)
    """What running processes get to end by themselves when the server stops."""

    process_backend: Literal["auto", "namespace", "process"] = "auto"
    """How runs are contained: bubblewrap's PID namespace, or a session with a sub-reaper."""

    allowed_origins: Annotated[list[str], NoDecode] = []
    """Web pages on other origins that may open WebSockets and call us (CORS); comma-separated."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _a_known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql://", "postgres://")):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _only_with_its_packages(cls, value: str | None) -> str | None:
        if value and find_spec("opentelemetry") is None:
            raise ValueError("needs OpenTelemetry: pip install --editable '.[otel]'")
        return value

    @field_validator("allowed_origins", "trusted_proxies", "webhook_allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [word.strip() for word in value.split(",")] if isinstance(value, str) else value

    @field_validator("webhook_allowed_hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        return [host.lower() for host in value]

    @field_validator("redis_url")
    @classmethod
    def _a_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value().encode()) < SHORTEST_SECRET:
            raise ValueError(f"must be at least {SHORTEST_SECRET} bytes long")
        return value

    @property
    def database(self) -> str:
        """The database's address, the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'claude-cli-api.db'}"

    @property
    def workspaces(self) -> Path:
        """The directory below which runs work."""
        return (self.workspace_root or self.data_dir / "workspaces").absolute()

    def agent_home(self, bucket: str) -> Path:
        """Where agents keep what they know of a project's conversations."""
        return (self.data_dir / "agents" / bucket).absolute()

    def signing_key(self) -> str:
        """The secret that signs tokens: the operator's, else one generated once and kept."""
        if self.jwt_secret:
            return self.jwt_secret.get_secret_value()
        return _kept_secret(self.data_dir / "jwt-secret")


def _kept_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(fd, "w") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret)
    return secret
