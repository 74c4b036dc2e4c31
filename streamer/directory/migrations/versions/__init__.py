"""One module a migration, named by its number. A migration that was released is never changed."""
