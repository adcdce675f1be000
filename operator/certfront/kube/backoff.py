"""The pause before something that has failed, or has ended by itself, is begun again."""

import asyncio
import random
from typing import Final

_SHORTEST: Final = 0.5
_LONGEST: Final = 20.0


class Backoff:
    """0.5 s doubling to 20 s, with a fifth of jitter; `reset` after anything that went well."""

    def __init__(self) -> None:
        self._seconds = _SHORTEST

    async def pause(self) -> None:
        """Wait; the next pause is twice as long."""
        await asyncio.sleep(self._seconds * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        self._seconds = min(self._seconds * 2, _LONGEST)

    def reset(self) -> None:
        """The next pause is the shortest again."""
        self._seconds = _SHORTEST
