"""The pages in docs/ that are made from the code: ``make docs`` writes them, a test holds them true."""
