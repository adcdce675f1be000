"""Host names as Kong takes them: what an SNI may be, and in which order a client's name is tried.

Kong source: `validate_wildcard_host` in kong/db/schema/typedefs.lua, host parsing in
kong/tools/ip.lua, `produce_wild_snis` in kong/runloop/certificate.lua; the recorded table of names
that Kong 3.9.3 takes and refuses is the authority.
"""

import re

_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_PORT = re.compile(r"(.*):(\d+)", re.DOTALL)
_CHARACTERS = re.compile(r"[A-Za-z0-9._-]+")
_FIRST_LABEL = re.compile(r"[^.]+(\.[^.]+\.\S+)")
_LAST_LABEL = re.compile(r"([^.]+\.)[^.]+$")


def sni_error(name: str) -> str | None:
    """Why Kong refuses this name as an SNI, in its words; None where it takes it."""
    if not name:
        return "length must be at least 1"
    star = name.find("*")
    if star >= 0:
        if star not in (0, len(name) - 1):
            return "wildcard must be leftmost or rightmost character"
        if name.count("*") > 1:
            return "only one wildcard must be specified"
        name = name.replace("*", "wildcard")
    return _host_error(name)


def _host_error(name: str) -> str | None:
    if name.count(":") > 1:
        return "must not be an IP"
    host, port = name, ""
    if found := _PORT.fullmatch(name):
        host, port = found.groups()
    if re.fullmatch(r"[\d.]+", host):
        return "must not be an IP" if _is_ipv4(host) else f"invalid value: {name}"
    labels = host.removesuffix(".").split(".")
    if not _CHARACTERS.fullmatch(host) or any(not x or x.endswith("-") for x in labels):
        return f"invalid value: {name}"
    return "must not have a port" if port else None


def _is_ipv4(text: str) -> bool:
    return bool(_IPV4.fullmatch(text)) and all(int(part) < 256 for part in text.split("."))


def candidates(name: str) -> list[str]:
    """The SNIs to try for a client's name: itself, `*.rest`, `name.*`, and `*`.

    One label of wildcard only: the first one (and only where two more labels follow), or the last.
    """
    tried = [name]
    if found := _FIRST_LABEL.fullmatch(name):
        tried.append("*" + found.group(1))
    if found := _LAST_LABEL.search(name):
        tried.append(name[: found.start()] + found.group(1) + "*")
    return [*tried, "*"]
