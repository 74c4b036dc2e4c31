"""The directory of users, in SQLite or PostgreSQL. This package alone imports SQLAlchemy (extra ``inbound``).

`streamer.directory.store.Directory` is the way in. Nothing is imported here, so that a service without a directory, and
an installation without the extra, never load SQLAlchemy; the check of the configuration asks for the extra.
"""
