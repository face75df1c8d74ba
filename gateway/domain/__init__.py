"""The rules of billing in plain Python: no framework, no clock, no network."""
