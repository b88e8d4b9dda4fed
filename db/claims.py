"""How workers take runs, keep them, and take over those of workers that are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, insert, literal_column, select, text, update

from db import lifecycle
from db.clock import from_now
from db.engine import Moment, Tx
from db.ids import new_id
from db.lifecycle import Report
from db.listing import one_of
from db.statements import Part, Statement, Writing
from db.tables import runs, workers

LEASE_SECONDS = 20.0
BEAT_SECONDS = 5.0
MOST_RUNS_OF_A_USER = 10
SHARE_SECONDS = 60
"""How much later a run's turn comes for each run of the same project that is running already."""
MOST_RESCUED_AT_ONCE = 100


@dataclass(frozen=True)
class Turn:
    """What came of a turn: the runs whose reports were accepted, and those that were claimed."""

    accepted: set[str]
    claimed: Sequence[Row[Any]]


def turn(at: Moment, worker_id: str, reports: Sequence[Report], most: int) -> Writing[Turn]:
    """Record how a worker's runs go, and give it up to `most` new ones: one commit for both."""
    accepted = yield from lifecycle.record(at, reports)
    return Turn(accepted, (yield from claim(at, worker_id, most)) if most else [])


def claim(at: Moment, worker_id: str, most: int) -> Writing[Sequence[Row[Any]]]:
    """Take the best `most` runs that are due, for a worker; exact, however many claim at once."""
    yield from queue_up(at)
    values = {
        "most": most,
        "worker_id": worker_id,
        "lease": LEASE_SECONDS,
        "share": SHARE_SECONDS * 1_000_000,
        "per_user": MOST_RUNS_OF_A_USER,
    }
    claimed = yield _CLAIM[at.dialect_name], values
    # RETURNING keeps no order; the best comes first.
    return sorted(claimed, key=lambda run: (run.rank, run.id))


def queue_up(at: Moment) -> Writing[None]:
    """Have everyone else who claims, or changes many queued runs, wait until we have committed.

    On PostgreSQL it has to be a statement of its own: only the next one then sees what the last
    one before us did. On SQLite whoever writes is alone.
    """
    if at.dialect_name == "postgresql":
        yield _GATE, {}


def beat(tx: Tx, worker_id: str, run_ids: Sequence[str]) -> dict[str, bool]:
    """Renew a worker's leases on these runs: those it still holds, and whether to cancel each.

    What it holds without knowing, because the answer to its claim was lost, is not renewed: such a
    run is rescued when its lease is over.
    """
    tx.execute(update(workers).where(workers.c.id == worker_id).values(seen_at=from_now(0)))
    if not run_ids:
        return {}
    theirs = select(runs.c.id).where(one_of(runs.c.id, run_ids), *_held_by(worker_id))
    held = tx.all(
        update(runs)
        .where(runs.c.id.in_(theirs.order_by(runs.c.id).with_for_update()))
        .values(lease_until=from_now(LEASE_SECONDS))
        .returning(runs.c.id, runs.c.cancel_asked_at)
    )
    return {row.id: row.cancel_asked_at is not None for row in held}


def rescue_expired(tx: Tx) -> int:
    """Give every run whose lease is over its next state; returns how many there were."""
    return _rescue(tx, (lifecycle.IS_RUNNING, runs.c.lease_until < from_now(0)))


def runs_of(tx: Tx, worker_id: str) -> Sequence[Row[Any]]:
    """The runs that a worker holds."""
    return tx.all(select(runs).where(*_held_by(worker_id)))


def enlist(tx: Tx, host: str, boot_id: str, pid: int, pid_started: int, concurrency: int) -> str:
    """Record a worker that begins to serve; returns its id."""
    worker_id = new_id()
    tx.execute(
        insert(workers).values(started_at=from_now(0), seen_at=from_now(0)),
        {
            "id": worker_id,
            "host": host,
            "boot_id": boot_id,
            "pid": pid,
            "pid_started": pid_started,
            "concurrency": concurrency,
        },
    )
    return worker_id


def dismiss(tx: Tx, worker_id: str) -> None:
    """Forget a worker that serves no more, and give what it still holds its next state."""
    while _rescue(tx, _held_by(worker_id)):
        pass
    tx.execute(workers.delete().where(workers.c.id == worker_id))


def workers_on(tx: Tx, host: str) -> Sequence[Row[Any]]:
    """The workers of one machine."""
    return tx.all(select(workers).where(workers.c.host == host))


def _held_by(worker_id: str) -> tuple[Any, ...]:
    return lifecycle.IS_RUNNING, runs.c.worker_id == worker_id


def _rescue(tx: Tx, which: tuple[Any, ...]) -> int:
    found = [row.id for row in tx.all(_free(which))]
    if found:
        lifecycle.rescue(tx, found)
    return len(found)


def _free(which: tuple[Any, ...]) -> Select[Any]:
    """Runs that nobody else is changing at this moment."""
    chosen = select(runs.c.id).where(*which).order_by(runs.c.id).limit(MOST_RESCUED_AT_ONCE)
    return chosen.with_for_update(skip_locked=True)


_CLAIMED = (
    *("id", "task_id", "project_id", "user_id", "bucket", "runner", "command"),
    *("working_directory", "environment", "options", "agent_session_id", "agent_event_seq"),
    *("timeout_seconds", "lane", "rank", "status", "attempt", "fence", "due_at", "claimed_at"),
    *("lease_until", "last_seq", "total_bytes"),
)
# The n best runs can only be in the n buckets with the best heads. So: walk the buckets by index,
# look at the head of each lane of each, keep the n best buckets, take up to n runs of each of
# their lanes, and of those the n best. A bucket's running runs push its next ones back.
_READY = """
    r.status = 'queued' AND r.bucket = {bucket} AND r.lane = l.name AND r.due_at <= {now}
    AND NOT EXISTS (
      SELECT 1 FROM task_dependencies d
      WHERE d.task_id = r.task_id AND d.dependency_type = 'blocks' AND 'completed' <> (
        SELECT t.status FROM tasks t WHERE t.id = d.depends_on_task_id AND t.deleted_at IS NULL))
    ORDER BY r.rank, r.id
"""
_CLAIM_SQL = """
WITH RECURSIVE bucket(id) AS (
  SELECT (SELECT min(bucket) FROM runs WHERE status = 'queued')
  UNION ALL
  SELECT (SELECT min(r.bucket) FROM runs r WHERE r.status = 'queued' AND r.bucket > bucket.id)
  FROM bucket WHERE bucket.id IS NOT NULL
), busy AS MATERIALIZED (
  SELECT bucket, count(*) AS running FROM runs WHERE status = 'running' GROUP BY bucket
), open AS (
  SELECT bucket.id, COALESCE(busy.running, 0) AS running,
    COALESCE(p.max_concurrent_tasks, :per_user) - COALESCE(busy.running, 0) AS free
  FROM bucket LEFT JOIN projects p ON p.id = bucket.id LEFT JOIN busy ON busy.bucket = bucket.id
  WHERE bucket.id IS NOT NULL
    AND (p.id IS NULL OR (p.status <> 'archived' AND p.deleted_at IS NULL))
), head AS MATERIALIZED (
  SELECT open.id, open.running, open.free,
    (SELECT h.id FROM lanes l JOIN runs h ON h.id = (
        SELECT r.id FROM runs r WHERE {ready_in_open} LIMIT 1)
     WHERE l.paused_at IS NULL ORDER BY h.rank, h.id LIMIT 1) AS best
  FROM open WHERE open.free > 0
), near AS MATERIALIZED (
  SELECT head.id, head.running, head.free FROM head JOIN runs h ON h.id = head.best
  ORDER BY h.rank + CAST(:share AS bigint) * head.running, h.id LIMIT :most
), candidate AS (
  SELECT c.id, c.rank, near.free, near.running,
    row_number() OVER (PARTITION BY near.id ORDER BY c.rank, c.id) AS place
  FROM near CROSS JOIN lanes l {each_ready_in_near}
  WHERE l.paused_at IS NULL
), chosen AS (
  SELECT id FROM candidate WHERE place <= free
  ORDER BY rank + CAST(:share AS bigint) * (running + place - 1), id LIMIT :most
)
UPDATE runs SET status = 'running', attempt = attempt + 1, fence = fence + 1,
  worker_id = :worker_id, claimed_at = {now}, lease_until = {lease_until}
WHERE {is_chosen} AND status = 'queued'
RETURNING {columns}
"""
_WORDS: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "now": "statement_timestamp()",
        # So that it goes by the index, whatever is thought of how many there are.
        "is_chosen": "id = ANY (ARRAY(SELECT id FROM chosen))",
        "lease_until": "statement_timestamp() + CAST(:lease AS float) * INTERVAL '1 second'",
        "each": """CROSS JOIN LATERAL (
    SELECT r.id, r.rank FROM runs r WHERE {ready} LIMIT LEAST(:most, near.free)) c""",
    },
    "sqlite": {
        "now": "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'",
        "is_chosen": "id IN (SELECT id FROM chosen)",
        "lease_until": ("strftime('%Y-%m-%dT%H:%M:%f', 'now', :lease || ' seconds') || '000Z'"),
        "each": "CROSS JOIN runs c ON c.id IN (SELECT r.id FROM runs r WHERE {ready} LIMIT :most)",
    },
}


def _claim_in(words: Mapping[str, str]) -> Any:
    near = _READY.format(bucket="near.id", now=words["now"])
    sql = _CLAIM_SQL.format(
        now=words["now"],
        lease_until=words["lease_until"],
        is_chosen=words["is_chosen"],
        ready_in_open=_READY.format(bucket="open.id", now=words["now"]),
        each_ready_in_near=words["each"].format(ready=near),
        columns=", ".join(_CLAIMED),
    )
    return Statement(text(sql).columns(*(runs.c[name] for name in _CLAIMED)))


_CLAIM = {dialect: _claim_in(words) for dialect, words in _WORDS.items()}
# Planned once, whatever its values: to plan a claim takes longer than to take twenty runs.
_GATE = Statement(
    select(
        literal_column("pg_advisory_xact_lock(727274)"),
        literal_column("set_config('plan_cache_mode', 'force_generic_plan', true)"),
    ),
    Part.LOCKS,
)
