"""The API's operations, one module a resource: what each accepts and what it does."""
