"""kopf without a memory: no handler here asks what an object was like before.

kopf works out an object's essence, its difference to the last handled one, and what its handlers
have left unfinished, for every event of a watch, also where only event handlers are registered (what
that costs: docs/performance.md). These storages store nothing anywhere.
"""

from typing import Any

import kopf

_NOTHING = kopf.BodyEssence()


class NoDiffBase(kopf.DiffBaseStorage):
    """No essence is built, so no object (a Secret least of all) is copied or annotated."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Always the same empty essence: nothing ever differs."""
        return _NOTHING

    def fetch(self, **_: Any) -> None:
        """As for an object that is seen for the first time."""

    def store(self, **_: Any) -> None:
        """Nothing is written to the object."""


class NoProgress(kopf.ProgressStorage):
    """Event handlers are called once and never retried, so there is no progress to keep."""

    def fetch(self, **_: Any) -> None:
        """No handler has begun."""

    def store(self, **_: Any) -> None:
        """Nothing is written to the object."""

    def purge(self, **_: Any) -> None:
        """Nothing was written to the object."""

    def touch(self, **_: Any) -> None:
        """No object is touched to be seen again."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """The essence holds no progress."""
        return essence
