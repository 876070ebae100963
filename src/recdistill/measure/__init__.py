"""Clock, memory, environment, and what was seen of each setting."""
