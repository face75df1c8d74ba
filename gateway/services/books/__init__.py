"""Whether every cent is where it should be, and what the platform's own accounts hold (docs/books.md)."""
