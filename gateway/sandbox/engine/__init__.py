"""The state behind the API: objects, what happens to them, and when."""
