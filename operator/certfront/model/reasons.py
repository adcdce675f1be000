"""Condition reasons are part of the API: each has a meaning, a remedy and a page in docs/reasons/.

The packages that decide declare theirs beside the decision; docs/catalogue.py collects them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A CamelCase reason with what it means and what a person does about it, both in sentences."""

    name: str
    meaning: str
    remedy: str
