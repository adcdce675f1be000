"""Logging of a process: one line a record on stderr, with anything like a key masked."""

import logging
import re

_SECRET = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|$)"
    r"|(?<=Bearer )\S+",
    re.DOTALL,
)
# Some of these log payloads and parts of keys at DEBUG: a verbose process does not switch that on.
_QUIET = ("kubernetes", "acme", "josepy", "urllib3", "aiohttp.access", "kopf", "asyncio")


def _masked(text: str) -> str:
    """`text` without secrets. Nearly every line has neither mark, and the search is slow."""
    if "PRIVATE KEY" not in text and "Bearer" not in text:
        return text
    return _SECRET.sub("(masked)", text)


class RedactedFormatter(logging.Formatter):
    """Masks private keys and bearer tokens in the whole line, arguments and tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, masked."""
        return _masked(super().format(record))


def configure(*, verbose: bool) -> None:
    """Log to stderr from INFO on (our own packages from DEBUG on where `verbose`)."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactedFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("certfront").setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
