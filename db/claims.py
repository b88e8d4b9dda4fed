"""How workers take runs, keep them, and take over those of workers that are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    insert,
    literal_column,
    select,
    text,
    update,
)

from db import lifecycle
from db.clock import from_now
from db.engine import Moment, Tx
from db.ids import new_id
from db.lifecycle import Report
from db.listing import one_of
from db.statements import Part, Statement, Writing
from db.tables import leases, runs, waiting, workers
from db.types import RunStatus

LEASE_SECONDS = 20.0
BEAT_SECONDS = 5.0
FORGOTTEN_SECONDS = 24 * 3600
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
    values: dict[str, Any] = {
        "most": most,
        "worker_id": worker_id,
        "lease": LEASE_SECONDS,
        "share": SHARE_SECONDS * 1_000_000,
        "per_user": MOST_RUNS_OF_A_USER,
    }
    if at.dialect_name == "postgresql":
        claimed = yield _CLAIM_AT_ONCE, values
    else:
        values["ids"] = [run.run_id for run in (yield _CHOOSE, values)]
        yield _HOLD, values
        claimed = yield _BEGIN, values
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
    # Whoever is about to change them is done then: what they have ended is held no more.
    locked = tx.all(
        select(runs.c.id, runs.c.cancel_asked_at)
        .where(one_of(runs.c.id, run_ids))
        .order_by(runs.c.id)
        .with_for_update()
    )
    held = tx.all(
        update(leases)
        .where(one_of(leases.c.run_id, run_ids), leases.c.worker_id == worker_id)
        .values(until=from_now(LEASE_SECONDS))
        .returning(leases.c.run_id)
    )
    is_cancelled = {row.id: row.cancel_asked_at is not None for row in locked}
    return {row.run_id: is_cancelled[row.run_id] for row in held}


def rescue_expired(tx: Tx, worker_id: str = "", in_hand: Sequence[str] = ()) -> int:
    """Give every run whose lease is over its next state; returns how many there were.

    Those that the worker itself still holds and has in hand are left to its next beat: after the
    machine was suspended all leases are over, though nobody is lost.
    """
    is_in_hand = (leases.c.worker_id == worker_id) & one_of(leases.c.run_id, in_hand)
    return _rescue(tx, (leases.c.until < from_now(0)) & ~is_in_hand)


def runs_of(tx: Tx, worker_id: str) -> Sequence[Row[Any]]:
    """The runs that a worker holds."""
    held = select(leases.c.run_id).where(leases.c.worker_id == worker_id)
    return tx.all(select(runs).where(runs.c.id.in_(held)))


def enlist(tx: Tx, host: str, boot_id: str, pid: int, pid_started: int, concurrency: int) -> str:
    """Record a worker that begins to serve; returns its id.

    Those that were not heard of for a day are forgotten: of what their machine was, there may be
    nobody to tell that they are dead.
    """
    tx.execute(workers.delete().where(workers.c.seen_at < from_now(-FORGOTTEN_SECONDS)))
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
    while _rescue(tx, leases.c.worker_id == worker_id):
        pass
    tx.execute(workers.delete().where(workers.c.id == worker_id))


def workers_on(tx: Tx, host: str, boot_id: str) -> Sequence[Row[Any]]:
    """The workers of one machine, since it was started."""
    return tx.all(select(workers).where(workers.c.host == host, workers.c.boot_id == boot_id))


def _rescue(tx: Tx, which: ColumnElement[bool]) -> int:
    found = [row.id for row in tx.all(_free(which))]
    if found:
        lifecycle.rescue(tx, found)
    return len(found)


def _free(which: ColumnElement[bool]) -> Select[Any]:
    """Runs of such leases that nobody else is changing at this moment."""
    held = select(runs.c.id).join(leases, leases.c.run_id == runs.c.id).where(which)
    chosen = held.order_by(runs.c.id).limit(MOST_RESCUED_AT_ONCE)
    # The lease as well: one that was renewed meanwhile is looked at again.
    return chosen.with_for_update(of=[runs, leases], skip_locked=True)


_CLAIMED = (
    *("id", "task_id", "project_id", "user_id", "bucket", "runner", "command"),
    *("working_directory", "environment", "options", "agent_session_id", "agent_event_seq"),
    *("timeout_seconds", "lane", "rank", "status", "attempt", "fence", "due_at", "claimed_at"),
    *("last_seq", "total_bytes"),
)
# The n best runs can only be in the n buckets with the best heads. So: walk the buckets by index,
# look at the head of each lane of each, keep the n best buckets, take up to n runs of each of
# their lanes, and of those the n best. A bucket's running runs push its next ones back.
_READY = """
    w.bucket = {bucket} AND w.lane = l.name AND w.due_at <= {now}
    AND NOT EXISTS (
      SELECT 1 FROM task_dependencies d
      WHERE d.task_id = w.task_id AND d.dependency_type = 'blocks' AND 'completed' <> (
        SELECT t.status FROM tasks t WHERE t.id = d.depends_on_task_id AND t.deleted_at IS NULL))
    ORDER BY w.rank, w.run_id
"""
_CHOSEN = """
WITH RECURSIVE bucket(id) AS (
  SELECT (SELECT min(bucket) FROM waiting)
  UNION ALL
  SELECT (SELECT min(w.bucket) FROM waiting w WHERE w.bucket > bucket.id)
  FROM bucket WHERE bucket.id IS NOT NULL
), busy AS MATERIALIZED (
  SELECT bucket, count(*) AS running FROM leases GROUP BY bucket
), open AS (
  SELECT bucket.id, COALESCE(busy.running, 0) AS running,
    COALESCE(p.max_concurrent_tasks, :per_user) - COALESCE(busy.running, 0) AS free
  FROM bucket LEFT JOIN projects p ON p.id = bucket.id LEFT JOIN busy ON busy.bucket = bucket.id
  WHERE bucket.id IS NOT NULL
    AND (p.id IS NULL OR (p.status <> 'archived' AND p.deleted_at IS NULL))
), head AS MATERIALIZED (
  SELECT open.id, open.running, open.free,
    (SELECT h.run_id FROM lanes l {first_ready_in_open}
     WHERE l.paused_at IS NULL ORDER BY h.rank, h.run_id LIMIT 1) AS best
  FROM open WHERE open.free > 0
), near AS MATERIALIZED (
  SELECT head.id, head.running, head.free FROM head JOIN waiting h ON h.run_id = head.best
  ORDER BY h.rank + CAST(:share AS bigint) * head.running, h.run_id LIMIT :most
), candidate AS (
  SELECT c.run_id, c.rank, near.free, near.running,
    row_number() OVER (PARTITION BY near.id ORDER BY c.rank, c.run_id) AS place
  FROM near CROSS JOIN lanes l {each_ready_in_near}
  WHERE l.paused_at IS NULL
), chosen AS (
  SELECT run_id FROM candidate WHERE place <= free
  ORDER BY rank + CAST(:share AS bigint) * (running + place - 1), run_id LIMIT :most
)
"""
_WORDS: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "now": "statement_timestamp()",
        "first": """CROSS JOIN LATERAL (
      SELECT w.run_id, w.rank FROM waiting w WHERE {ready} LIMIT 1) h""",
        "each": """CROSS JOIN LATERAL (
    SELECT w.run_id, w.rank FROM waiting w WHERE {ready} LIMIT LEAST(:most, near.free)) c""",
    },
    "sqlite": {
        "now": "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'",
        "first": """JOIN waiting h ON h.run_id = (
      SELECT w.run_id FROM waiting w WHERE {ready} LIMIT 1)""",
        "each": """CROSS JOIN waiting c ON c.run_id IN (
    SELECT w.run_id FROM waiting w WHERE {ready} LIMIT :most)""",
    },
}


def _chosen_by(words: Mapping[str, str]) -> str:
    in_open, in_near = (
        _READY.format(bucket=bucket, now=words["now"]) for bucket in ("open.id", "near.id")
    )
    return _CHOSEN.format(
        first_ready_in_open=words["first"].format(ready=in_open),
        each_ready_in_near=words["each"].format(ready=in_near),
    )


_CLAIM = """{chosen}, taken AS (
  UPDATE runs SET status = 'running', attempt = attempt + 1, fence = fence + 1,
    worker_id = :worker_id, claimed_at = statement_timestamp()
  WHERE id = ANY (ARRAY(SELECT run_id FROM chosen)) AND status = 'queued'
  RETURNING {columns}
), gone AS (
  DELETE FROM waiting WHERE run_id = ANY (ARRAY(SELECT id FROM taken))
), held AS (
  INSERT INTO leases (run_id, bucket, lane, worker_id, until)
  SELECT id, bucket, lane, :worker_id,
    statement_timestamp() + CAST(:lease AS float) * INTERVAL '1 second'
  FROM taken
)
SELECT {columns} FROM taken
"""
_CHOOSE_SQL = """{chosen}
DELETE FROM waiting WHERE run_id IN (SELECT run_id FROM chosen) RETURNING run_id
"""
# A run is locked before its place: whoever changes both does so in this order. By an array, so
# that they are found by the index, whatever is thought of how many there are.
_claim = _CLAIM.format(chosen=_chosen_by(_WORDS["postgresql"]), columns=", ".join(_CLAIMED))
_CLAIM_AT_ONCE = Statement(text(_claim).columns(*(runs.c[name] for name in _CLAIMED)))
_CHOOSE = Statement(
    text(_CHOOSE_SQL.format(chosen=_chosen_by(_WORDS["sqlite"]))).columns(waiting.c.run_id)
)
_are_chosen = one_of(runs.c.id, bindparam("ids"))
_HOLD = Statement(
    insert(leases).from_select(
        ["run_id", "bucket", "lane", "worker_id", "until"],
        select(
            runs.c.id,
            runs.c.bucket,
            runs.c.lane,
            bindparam("worker_id", type_=leases.c.worker_id.type),
            from_now("lease"),
        ).where(_are_chosen),
    )
)
_BEGIN = Statement(
    update(runs)
    .where(_are_chosen)
    .values(
        status=RunStatus.RUNNING,
        attempt=runs.c.attempt + 1,
        fence=runs.c.fence + 1,
        worker_id=bindparam("worker_id", type_=runs.c.worker_id.type),
        claimed_at=from_now(0),
    )
    .returning(*(runs.c[name] for name in _CLAIMED))
)
# Planned once, whatever its values: to plan a claim takes longer than to take twenty runs.
_GATE = Statement(
    select(
        literal_column("pg_advisory_xact_lock(727274)"),
        literal_column("set_config('plan_cache_mode', 'force_generic_plan', true)"),
    ),
    Part.LOCKS,
)
