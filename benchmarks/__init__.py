"""Measurements of the gateway, as ratios between ways of doing the same work (README.md)."""
