"""Who works here: accounts, and what each has open."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, false

from db.tables.columns import at, metadata, refers, word
from db.types import Id, Json, Role, SessionStatus

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("username", String(64), nullable=False, unique=True),
    Column("email", String(254), unique=True),
    Column("full_name", String(200)),
    Column("avatar_url", String(2000)),
    Column("password_hash", Text, nullable=False),
    *word("role", Role),
    Column("is_premium", Boolean, nullable=False, server_default=false()),
    Column("token_version", Integer, nullable=False, server_default="1"),
    Column("preferences", Json, nullable=False),
    at("created_at", required=True),
    at("updated_at", required=True),
    at("last_login_at"),
    at("disabled_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    refers("project_id", "projects.id"),
    refers("user_id", "users.id", required=True),
    *word("status", SessionStatus),
    Column("settings", Json, nullable=False),
    at("created_at", required=True),
    at("last_accessed_at", required=True),
    at("expires_at", required=True),
    at("deleted_at"),
    Index(None, "user_id", "created_at", "id"),
)
