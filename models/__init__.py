"""The tables, as Tortoise sees them; what the database itself enforces stands in models/migrations."""
