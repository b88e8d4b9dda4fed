"""The command line: serve, work, migrate, prune, user, schema."""

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket as sockets
from types import FrameType
from typing import Annotated, Any, NoReturn

import structlog
import typer
import uvicorn
from prometheus_client import start_http_server
from pydantic import ValidationError

import app as composition
from db import migrations, users
from db.engine import Database, Tx
from db.errors import Problem, ResourceAlreadyExists
from db.types import Role
from graph.auth import Passwords
from graph.http import with_request_id
from graph.protocol import HttpProtocol
from graph.schema import rest_sdl, sdl
from runners.deliveries import Deliveries
from runners.environment import hide_from_children
from runners.upkeep import Upkeep
from runners.worker import with_run
from settings import Settings

command = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The backend behind a web UI for the claude CLI. Settings come from the environment.",
)


def main() -> None:
    """The console script's entry."""
    command()


@command.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Serve the API, and carry out runs unless WORKER_CONCURRENCY is 0."""
    settings = _settings()
    hide_from_children()
    listener = _listener(host, port)
    _set_up(settings)
    app = _checked(lambda: composition.create_app(settings))
    config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        ws_max_size=1024 * 1024,
        timeout_graceful_shutdown=10,
    )
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0") else host  # noqa: S104 - only compared
    address = f"http://{shown}:{listener.getsockname()[1]}"
    server = Server(config, app, f"Ready. GraphiQL: {address}/graphql  REST: {address}/docs")
    _end_quietly()
    server.run(sockets=[listener])
    if not server.started:
        raise typer.Exit(1)


@command.command()
def work() -> None:
    """Carry out runs of the database's queues, without serving the API."""
    settings = _settings()
    hide_from_children()
    _set_up(settings)
    asyncio.run(_work(settings))


@command.command()
def migrate() -> None:
    """Bring the database to the schema of this version."""
    settings = _settings()
    changed = _checked(lambda: migrations.upgrade(settings.database))
    print("The database was migrated." if changed else "The database is up to date.")


@command.command()
def prune(
    dry_run: Annotated[bool, typer.Option(help="Only say how much that would be.")] = False,
) -> None:
    """Remove what is older than the settings KEEP_..._DAYS allow."""
    settings = _settings()
    _set_up(settings)
    for name, count in asyncio.run(_prune(settings, dry_run=dry_run)).items():
        print(f"{name.replace('_', ' ')}: {count}")


@command.command()
def user(
    username: str,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.DEVELOPER,
    password: Annotated[str | None, typer.Option(help="By default one is made up.")] = None,
) -> None:
    """Make an account; prints the password when it made it up."""
    settings = _settings()
    _set_up(settings)
    try:
        asyncio.run(_make_user(settings, username, password, role))
    except Problem as problem:
        _stop(f"{problem.message} {dict(problem.details)}")


@command.command()
def schema(
    rest: Annotated[bool, typer.Option(help="In the spelling of the REST documents.")] = False,
) -> None:
    """Print the GraphQL schema."""
    print(rest_sdl() if rest else sdl(), end="")


class Server(uvicorn.Server):
    """uvicorn, which says when it is ready and ends streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, app: composition.App, ready: str) -> None:
        super().__init__(config)
        self._app = app
        self._ready = ready

    async def startup(self, sockets: list[sockets.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _settle()
            print(self._ready, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """At the first signal claim nothing more, then drain; at the second end at once.

        What runs dies with us then, and its record is put right at the next start.
        """
        if self.should_exit:
            os._exit(128 + sig)
        self._app.stop_claiming()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
        self._app.streams.end()
        await super().shutdown(sockets)


async def _work(settings: Settings) -> None:
    database = composition.connect(settings)
    worker = composition.create_worker(settings, database)
    stopped = asyncio.Event()

    def stop(number: int) -> None:
        if stopped.is_set():
            os._exit(128 + number)
        worker.stop_claiming()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, "127.0.0.1")
    with composition.traced(settings):
        async with (
            composition.opened(database),
            Upkeep(database, settings).going_on(),
            Deliveries(database, settings).going_on(),
            worker.working(),
        ):
            print("Working. Stop with Ctrl-C.", flush=True)
            await stopped.wait()


async def _prune(settings: Settings, *, dry_run: bool) -> dict[str, int]:
    database = composition.connect(settings)
    async with composition.opened(database):
        upkeep = Upkeep(database, settings)
        return await (upkeep.prunable() if dry_run else upkeep.prune())


async def _make_user(settings: Settings, username: str, password: str | None, role: Role) -> None:
    made_up = secrets.token_urlsafe(12)
    hashed = await Passwords().hash(password or made_up)
    database = composition.connect(settings)
    async with composition.opened(database):
        await database.write(users.create, None, username=username, password_hash=hashed, role=role)
    print(f"Made {username}." + ("" if password else f" Password: {made_up}"))


def _settings() -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in wrong["loc"]).upper()
        _stop(f"The setting {name} is wrong: {wrong['msg'].removeprefix('Value error, ')}")
    _configure_logs(settings)
    return settings


def _set_up(settings: Settings) -> None:
    """Migrate what may be migrated at once, and make the administrator of the first start."""
    _checked(lambda: settings.data_dir.mkdir(parents=True, exist_ok=True))
    fresh = _checked(lambda: migrations.is_empty(settings.database))
    if fresh or settings.database.startswith("sqlite"):
        _checked(lambda: migrations.upgrade(settings.database))
    elif not _checked(lambda: migrations.is_current(settings.database)):
        _stop("The database needs to be migrated first: claude-cli-api migrate")
    _checked(lambda: asyncio.run(_make_administrator(settings)))


async def _make_administrator(settings: Settings) -> None:
    """Make the first account, as long as there is none."""
    database = composition.connect(settings)
    async with composition.opened(database):
        if await database.write(users.is_empty):
            await _make_first(database, settings)


async def _make_first(database: Database, settings: Settings) -> None:
    given = settings.admin_password.get_secret_value() if settings.admin_password else None
    password = given or secrets.token_urlsafe(12)
    hashed = await Passwords().hash(password)

    def make(tx: Tx) -> bool:
        if not users.is_empty(tx):
            return False
        users.create(
            tx, None, username=settings.admin_username, password_hash=hashed, role=Role.ADMIN
        )
        return True

    try:
        made = await database.write(make)
    except ResourceAlreadyExists:
        return  # Others start at the same moment: one of them was first.
    if made and not given:
        print(f"First start: sign in as {settings.admin_username} with password {password}")


def _settle() -> None:
    """What is there by now stays: the collector need not look through it with every answer."""
    gc.collect()
    gc.freeze()


def _end_quietly() -> None:
    """uvicorn raises the signal that stopped it once more: stopping when told to is no failure."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def _listener(host: str, port: int) -> sockets.socket:
    try:
        listener = sockets.create_server((host, port), backlog=2048)
    except OSError as error:
        _stop(f"Can't listen on {host}:{port}: {os.strerror(error.errno or 0)}")
    # Connections inherit it: no answer waits for the acknowledgement of the one before.
    listener.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    return listener


def _checked(step: Any) -> Any:
    """Run a step of the start; what the operator can mend stops it with one line."""
    try:
        return step()
    except migrations.UnknownRevision as error:
        _stop(f"The database is of a newer version ({error}) than this program.")
    except Exception as error:
        logging.getLogger(__name__).debug("the start failed", exc_info=error)
        # One line: some libraries add where to read more.
        _stop(f"The start failed: {str(error).partition(chr(10))[0] or type(error).__name__}")


def _stop(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def _configure_logs(settings: Settings) -> None:
    """structlog for us and for the libraries that log by the standard library."""
    shared: list[Any] = [
        with_request_id,
        with_run,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for library in ("uvicorn", "alembic"):
        logging.getLogger(library).setLevel("WARNING")
