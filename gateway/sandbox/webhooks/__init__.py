"""Events on their way to their endpoints."""
