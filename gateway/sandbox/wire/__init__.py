"""How requests come in and answers go out: forms, parameters, keys, faults."""
