"""Finds the reasons that the source gives, without running it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "operator" / "certfront"
PACKAGES = ("pki", "issuance", "loadbalancers", "reconcilers", "agent")

_CAMEL = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")
_FIRST_ARGUMENT = {"Waiting", "Refused", "InvalidHandover", "Reason"}
_SECOND_ARGUMENT = {"_fail", "_refuse"}
_ANY_ARGUMENT = {"_read", "_go_on", "_record"}
_KEYWORDS = {"reason", "step", "progress"}
# The step of a provider's operation shows in messages; the reason of the condition is a shared one.
_KEYWORDS_OF_PROVIDERS = {"reason"}
# A trigger says why something is issued; it is no reason of a condition.
_NOT_REASONS = {"Trigger"}


def used() -> dict[str, str]:
    """Every reason that is spelled out as a string, and where it was found first."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in sorted((SOURCE / package).rglob("*.py")):
            keywords = _KEYWORDS_OF_PROVIDERS if package == "loadbalancers" else _KEYWORDS
            for name, line in _reasons(ast.parse(path.read_text()), keywords):
                found.setdefault(name, f"{path.relative_to(ROOT)}:{line}")
    return found


def named_constants() -> set[str]:
    """The identifiers and strings that modules other than the declarations use."""
    seen: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if path.name == "reasons.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                seen.add(node.attr)
            elif isinstance(node, ast.Name):
                seen.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                seen.add(node.value)
    return seen


def _reasons(tree: ast.AST, keywords: set[str]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        for value in _places(node, keywords):
            yield from (
                (name, getattr(node, "lineno", 0))
                for name in _strings(value)
                if _CAMEL.fullmatch(name)
            )


def _places(node: ast.AST, keywords: set[str]) -> Iterator[ast.expr]:
    """The expressions of a node whose strings are reasons."""
    if isinstance(node, ast.Call):
        yield from _of_call(node, keywords)
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        # `return "Expired", message`, where a pair is the reason and its message.
        if len(node.value.elts) == 2:
            yield node.value.elts[0]
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "reason" for target in targets):
            yield node.value
    elif isinstance(node, ast.ClassDef) and node.name.endswith("Fault"):
        yield from (item.value for item in node.body if isinstance(item, ast.Assign))


def _of_call(call: ast.Call, keywords: set[str]) -> Iterator[ast.expr]:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in _NOT_REASONS:
        return
    if name in _FIRST_ARGUMENT:
        yield from call.args[:1]
    if name in _SECOND_ARGUMENT:
        yield from call.args[1:2]
    if name in _ANY_ARGUMENT:
        yield from call.args
    if name == "__init__":
        yield from call.args[:1]
    yield from (keyword.value for keyword in call.keywords if keyword.arg in keywords)


def _strings(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _strings(value.body)
        yield from _strings(value.orelse)
