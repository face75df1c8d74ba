"""The local Stripe: a stateful stand-in the real SDK talks to over HTTP."""
