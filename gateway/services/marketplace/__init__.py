"""Paid tools: published, charged call by call, released to their creators, reversed (docs/marketplace.md)."""
