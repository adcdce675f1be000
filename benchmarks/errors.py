"""What can go wrong with a measurement, besides the sandbox itself."""


class BenchError(Exception):
    """The measurement did not come about; the message says what was waited for."""
