"""The door for tests: time, money mishaps and faults on demand."""
