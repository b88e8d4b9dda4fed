"""Remembers and decides: tables, and what may happen to them."""
