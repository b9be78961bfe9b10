"""Files in and out: `read`, `scan`, `info`, `read_decay`, `fold` and the writers."""
