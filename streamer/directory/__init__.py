"""The directory of users, in SQLite or PostgreSQL. This package alone imports SQLAlchemy (extra ``inbound``)."""
