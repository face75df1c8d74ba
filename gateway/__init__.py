"""The billing gateway: what stands between a platform and Stripe."""

__version__ = "0.1.0"
