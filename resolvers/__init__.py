"""The GraphQL edge: parse, call one service or read, shape the answer."""
