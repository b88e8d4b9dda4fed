"""How workers take runs, keep them, and take over those of workers that are gone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, text, update

from db import lifecycle
from db.engine import Tx
from db.ids import new_id
from db.tables import runs, workers
from db.types import RunStatus, UtcDateTime

LEASE_SECONDS = 20.0
BEAT_SECONDS = 5.0
MOST_RUNS_OF_A_USER = 10
SHARE_SECONDS = 60
"""How much later a run's turn comes for each run of the same project that is running already."""


def claim(tx: Tx, worker_id: str, most: int) -> Sequence[Row[Any]]:
    """Take the best `most` runs that are due, for a worker; exact, however many claim at once."""
    if tx.dialect_name == "postgresql":
        # A statement of its own: only the next one then sees what the lock's last holder did.
        tx.execute(text("SELECT pg_advisory_xact_lock(727274)"))
    claimed = [row.id for row in tx.all(_CLAIM, _claim_parameters(tx, worker_id, most))]
    if not claimed:
        return []
    # RETURNING keeps no order; the best comes first.
    return tx.all(select(runs).where(runs.c.id.in_(claimed)).order_by(runs.c.rank, runs.c.id))


def beat(tx: Tx, worker_id: str) -> dict[str, bool]:
    """Renew the leases of a worker: its runs, and whether each is asked to be cancelled."""
    tx.execute(update(workers).where(workers.c.id == worker_id).values(seen_at=tx.now))
    held = tx.all(
        update(runs)
        .where(runs.c.worker_id == worker_id, runs.c.status == RunStatus.RUNNING)
        .values(lease_until=tx.now + timedelta(seconds=LEASE_SECONDS))
        .returning(runs.c.id, runs.c.cancel_asked_at)
    )
    return {row.id: row.cancel_asked_at is not None for row in held}


def rescue_expired(tx: Tx) -> int:
    """Give every run whose lease is over its next state; returns how many there were."""
    late = select(runs).where(runs.c.status == RunStatus.RUNNING, runs.c.lease_until < tx.now)
    return _rescue(tx, late)


def runs_of(tx: Tx, worker_id: str) -> Sequence[Row[Any]]:
    """The runs that a worker holds."""
    theirs = (runs.c.status == RunStatus.RUNNING, runs.c.worker_id == worker_id)
    return tx.all(select(runs).where(*theirs))


def rescue_of(tx: Tx, worker_id: str) -> int:
    """Give every run of a worker that is known to be dead its next state."""
    theirs = select(runs).where(runs.c.status == RunStatus.RUNNING, runs.c.worker_id == worker_id)
    return _rescue(tx, theirs)


def enlist(tx: Tx, host: str, boot_id: str, pid: int, pid_started: int, concurrency: int) -> str:
    """Record a worker that begins to serve; returns its id."""
    worker_id = new_id()
    tx.execute(
        insert(workers),
        {
            "id": worker_id,
            "host": host,
            "boot_id": boot_id,
            "pid": pid,
            "pid_started": pid_started,
            "concurrency": concurrency,
            "started_at": tx.now,
            "seen_at": tx.now,
        },
    )
    return worker_id


def dismiss(tx: Tx, worker_id: str) -> None:
    """Forget a worker that serves no more."""
    tx.execute(workers.delete().where(workers.c.id == worker_id))


def workers_on(tx: Tx, host: str) -> Sequence[Row[Any]]:
    """The workers of one machine."""
    return tx.all(select(workers).where(workers.c.host == host))


def _rescue(tx: Tx, which: Any) -> int:
    found = tx.all(which.with_for_update(skip_locked=True))
    for run in found:
        lifecycle.rescue(tx, run)
    return len(found)


def _claim_parameters(tx: Tx, worker_id: str, most: int) -> dict[str, Any]:
    return {
        "most": most,
        "worker_id": worker_id,
        "now": tx.now,
        "lease_until": tx.now + timedelta(seconds=LEASE_SECONDS),
        "share": SHARE_SECONDS * 1_000_000,
        "per_user": MOST_RUNS_OF_A_USER,
    }


# The n best runs can only be in the n buckets with the best heads. So: walk the buckets by index,
# look at the head of each lane of each, keep the n best buckets, take up to n runs of each of
# their lanes, and of those the n best. A bucket's running runs push its next ones back.
_READY = """
    r.status = 'queued' AND r.bucket = {bucket} AND r.lane = l.name AND r.due_at <= :now
    AND NOT EXISTS (
      SELECT 1 FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on_task_id
      WHERE d.task_id = r.task_id AND d.dependency_type = 'blocks'
        AND t.status <> 'completed' AND t.deleted_at IS NULL)
"""
_CLAIM_SQL = f"""
WITH RECURSIVE bucket(id) AS (
  SELECT (SELECT min(bucket) FROM runs WHERE status = 'queued')
  UNION ALL
  SELECT (SELECT min(r.bucket) FROM runs r WHERE r.status = 'queued' AND r.bucket > bucket.id)
  FROM bucket WHERE bucket.id IS NOT NULL
), busy AS (
  SELECT bucket, count(*) AS running FROM runs WHERE status = 'running' GROUP BY bucket
), open AS (
  SELECT bucket.id, COALESCE(busy.running, 0) AS running,
    COALESCE(p.max_concurrent_tasks, :per_user) - COALESCE(busy.running, 0) AS free
  FROM bucket LEFT JOIN projects p ON p.id = bucket.id LEFT JOIN busy ON busy.bucket = bucket.id
  WHERE bucket.id IS NOT NULL
    AND (p.id IS NULL OR (p.status <> 'archived' AND p.deleted_at IS NULL))
), head AS (
  SELECT open.id, open.running, open.free,
    (SELECT h.id FROM lanes l JOIN runs h ON h.id = (
        SELECT r.id FROM runs r WHERE {_READY.format(bucket="open.id")}
        ORDER BY r.rank, r.id LIMIT 1)
     WHERE l.paused_at IS NULL ORDER BY h.rank, h.id LIMIT 1) AS best
  FROM open WHERE open.free > 0
), near AS (
  SELECT head.id, head.running, head.free FROM head JOIN runs h ON h.id = head.best
  ORDER BY h.rank + CAST(:share AS bigint) * head.running, h.id LIMIT :most
), candidate AS (
  SELECT c.id, c.rank, near.free, near.running,
    row_number() OVER (PARTITION BY near.id ORDER BY c.rank, c.id) AS place
  FROM near CROSS JOIN lanes l JOIN runs c ON c.id IN (
    SELECT r.id FROM runs r WHERE {_READY.format(bucket="near.id")}
    ORDER BY r.rank, r.id LIMIT :most)
  WHERE l.paused_at IS NULL
), chosen AS (
  SELECT id FROM candidate WHERE place <= free
  ORDER BY rank + CAST(:share AS bigint) * (running + place - 1), id LIMIT :most
)
UPDATE runs SET status = 'running', attempt = attempt + 1, fence = fence + 1,
  worker_id = :worker_id, claimed_at = :now, lease_until = :lease_until
WHERE id IN (SELECT id FROM chosen) AND status = 'queued'
RETURNING id
"""  # noqa: S608 - nothing but words of ours
_CLAIM = text(_CLAIM_SQL).bindparams(
    bindparam("now", type_=UtcDateTime), bindparam("lease_until", type_=UtcDateTime)
)
