"""kopf, and nothing else: log-in, watches, and handlers of a few lines that put keys on the queue."""
