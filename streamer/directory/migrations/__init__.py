"""Alembic's migrations of the directory: they run in the process, on a connection that `migrating.py` hands over."""
