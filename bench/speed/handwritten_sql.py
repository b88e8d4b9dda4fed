"""What the hand-written endpoints ask their database, for either kind."""

import os

IS_SQLITE = os.environ["DATABASE_URL"].startswith("sqlite")
PAGE_SIZE = 50

# The first parameter comes first: SQLite numbers them as it meets them.
SCALARS = """
    t.id, t.title, t.description, t.status, t.priority, t.progress_percentage, t.tags, t.metadata,
    t.created_at, t.updated_at, t.started_at, t.completed_at
"""
# SQLite would take the index over projects, and sort all that somebody sees.
PROJECT = "+t.project_id" if IS_SQLITE else "t.project_id"
VISIBLE = f"""
    t.deleted_at IS NULL AND {PROJECT} IN (SELECT project_id FROM project_members
                                              WHERE user_id = $1)
"""
LIST = f"""
    SELECT {SCALARS}, p.id, p.name, u.id, u.username
    FROM tasks t JOIN projects p ON p.id = t.project_id LEFT JOIN users u ON u.id = t.assigned_to
    WHERE {VISIBLE} AND (t.created_at, t.id) < ($2, $3)
    ORDER BY t.created_at DESC, t.id DESC LIMIT {PAGE_SIZE}
"""
ONE_VISIBLE = """
    t.deleted_at IS NULL AND EXISTS (SELECT 1 FROM project_members m
                                     WHERE m.user_id = $1 AND m.project_id = t.project_id)
"""
ONE = f"SELECT {SCALARS} FROM tasks t WHERE {ONE_VISIBLE} AND t.id = $2"
OF_HISTORY = "e.kind LIKE 'task.%' AND e.kind <> 'task.progressed'"
AMONG = "IN (SELECT value FROM json_each($1))" if IS_SQLITE else "= ANY ($1)"
HISTORY = f"""
    SELECT e.task_id, e.id, e.at, e.kind, e.actor_id FROM events e
    WHERE e.task_id {AMONG} AND {OF_HISTORY} ORDER BY e.tx, e.seq
"""
DEPENDENCIES = f"""
    SELECT d.task_id, t.title, t.status
    FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on_task_id
    WHERE d.task_id {AMONG} ORDER BY d.created_at, d.id
"""
PAGE = f"""
    SELECT t.id, t.title, t.status, t.priority, t.progress_percentage, t.assigned_to, t.created_at,
           t.updated_at
    FROM tasks t WHERE {VISIBLE}
    ORDER BY t.created_at DESC, t.id DESC LIMIT {PAGE_SIZE} OFFSET $2
"""
COUNT = f"SELECT count(*) FROM tasks t WHERE {VISIBLE}"
DETAILS = f"""
    SELECT t.id, t.title, t.description, t.project_id, t.status, t.priority, t.progress_percentage,
           t.estimated_seconds, t.assigned_to, t.created_by, t.created_at, t.updated_at,
           t.started_at, t.completed_at, t.tags, t.metadata
    FROM tasks t WHERE {ONE_VISIBLE} AND t.id = $2
"""
ITS_DEPENDENCIES = """
    SELECT d.id, d.depends_on_task_id, d.dependency_type, t.title, t.status
    FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on_task_id
    WHERE d.task_id = $1 ORDER BY d.created_at, d.id
"""
ITS_HISTORY = f"""
    SELECT e.at, e.kind, e.data -> 'details' -> 'old_value', e.data -> 'details' -> 'new_value',
           e.actor_id
    FROM events e WHERE e.task_id = $1 AND {OF_HISTORY} ORDER BY e.tx, e.seq
"""
USER = "SELECT token_version, disabled_at FROM users WHERE id = $1"

MEMBER = """
    SELECT p.status, p.max_tasks, m.role
    FROM projects p JOIN project_members m ON m.project_id = p.id
    WHERE p.id = $1 AND m.user_id = $2 AND p.deleted_at IS NULL
"""
HELD = "SELECT count(*) FROM tasks WHERE project_id = $1 AND deleted_at IS NULL"
ADD_TASK = """
    INSERT INTO tasks (id, project_id, title, description, status, priority, progress_percentage,
                       created_by, tags, metadata, created_at, updated_at)
    VALUES ($1, $2, $3, $4, 'pending', $5, 0, $6, '[]', $7, $8, $8)
"""
WORDS = "$2" if IS_SQLITE else "to_tsvector('simple', $2)"
ADD_DOCUMENT = f"INSERT INTO documents (id, words) VALUES ($1, {WORDS})"
TX = "0" if IS_SQLITE else "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
ADD_EVENT = f"""
    INSERT INTO events (tx, id, kind, at, actor_id, project_id, task_id, data)
    VALUES ({TX}, $1, 'task.created', $2, $3, $4, $5, $6)
"""
