"""Pages of `docs/` that are written from the code, one module a page or a group of pages."""
