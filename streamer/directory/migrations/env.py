"""Runs the migrations on the connection, and in the transaction, that `streamer.directory.migrating` handed over."""

from alembic import context

from streamer.directory.tables import METADATA, VERSION_TABLE

_connection = context.config.attributes["connection"]
context.configure(
    connection=_connection,
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    # SQLite changes a table by writing a new one.
    render_as_batch=_connection.dialect.name == "sqlite",
)
context.run_migrations()
