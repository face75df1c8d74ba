"""The HTTP edge: who is asking, what they may send, and how every answer looks."""
