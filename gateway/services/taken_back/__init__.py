"""Refunds and disputes of deposits: what goes back to the card, what is owed then, and whose earnings it touches."""
