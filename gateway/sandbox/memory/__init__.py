"""What the local Stripe remembers over a restart: its state as a file of JSON."""
