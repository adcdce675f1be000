"""Specs of LoadBalancerFrontends that the schema and its rules accept, and those that they refuse.

`test_schemas` tries them all. REFUSED also says what the answer must name.
"""

from typing import Any

Object = dict[str, Any]
FARM = {"name": "shop", "serviceRef": {"name": "shop", "port": 8080}}


def spec(**fields: Any) -> Object:
    return {"certificates": [{"name": "shop"}], **fields}


def farm(**fields: Any) -> Object:
    return spec(farms=[{"name": "shop", **fields}])


def server_at(address: Any, port: Any = 8080) -> Object:
    return farm(servers=[{"address": address, "port": port}])


def redirect(url: Any) -> Object:
    return spec(redirectLocation=url)


ACCEPTED = {
    "a certificate alone": spec(),
    "hostnames alone": {"hostnames": ["shop.example.com"]},
    "no tls": {"ssl": False, "farms": [FARM], "port": 80},
    "two farms": spec(farms=[FARM, {**FARM, "name": "other"}], defaultFarm="other"),
    "farm of a provider": spec(defaultFarm="12345"),
    "null farm": spec(defaultFarm=None, redirectLocation="https://www.shop.example"),
    "redirect to plain http": redirect("http://shop.example:8080/a?b=c"),
    "redirect to an address": redirect("https://[2001:db8::1]/"),
    "address and range as sources": spec(allowedSources=["192.0.2.1", "192.0.2.0/24"]),
    "server over IPv6": server_at("2001:db8::1"),
    "default from the list": spec(defaultCertificate={"name": "shop"}),
    "https only": spec(httpsOnly=True),
    "https only on port 80 of its own choice": spec(httpsOnly=True, port=80, httpPort=8080),
    "hsts as it is": spec(hsts={}),
    "certificates only": spec(manage="CertificatesOnly"),
    "upper-case and international hostnames": spec(hostnames=["Shop.Example", "bücher.example"]),
}

REFUSED: dict[str, tuple[Object, str]] = {
    "nothing": ({}, "spec.certificates"),
    "empty lists": ({"certificates": [], "hostnames": []}, "spec.certificates"),
    "nulls": ({"certificates": None, "hostnames": None}, "spec.certificates"),
    "certificate of no name": (spec(certificates=[{}]), "certificates[0]"),
    "certificate of null": (spec(certificates=[None]), "certificates[0]"),
    "certificate of an empty name": (spec(certificates=[{"name": ""}]), "certificates[0].name"),
    "certificate of two kinds": (
        spec(certificates=[{"name": "a", "secretRef": {"name": "a"}}]),
        "certificates[0]",
    ),
    "certificate of another namespace": (
        spec(certificates=[{"name": "edge/shop"}]),
        "certificates[0].name",
    ),
    "default outside the list": (spec(defaultCertificate={"name": "x"}), "defaultCertificate"),
    "default of another kind": (
        spec(defaultCertificate={"secretRef": {"name": "shop"}}),
        "defaultCertificate",
    ),
    "farm and redirect": (
        spec(farms=[FARM], defaultFarm="shop", redirectLocation="https://a.example"),
        "spec.redirectLocation",
    ),
    "farms that a redirect would leave unused": (
        spec(farms=[FARM], redirectLocation="https://a.example"),
        "spec.redirectLocation",
    ),
    "farm that is not there": (spec(farms=[FARM], defaultFarm="other"), "spec.defaultFarm"),
    "farms of one name": (spec(farms=[FARM, FARM]), "spec.farms"),
    "farm of nothing": (farm(), "farms[0]"),
    "farm of no servers": (farm(servers=[]), "farms[0].servers"),
    "farm of two kinds": (
        farm(servers=[{"address": "10.0.0.1", "port": 1}], serviceRef={"name": "a", "port": 1}),
        "farms[0]",
    ),
    "farm name with a line": (spec(farms=[{**FARM, "name": "a\nb"}]), "farms[0].name"),
    "server by name": (server_at("shop.example.com"), "servers[0].address"),
    "server with a line": (server_at("10.0.0.1\n  server evil 1.2.3.4"), "servers[0].address"),
    "server without a port": (farm(servers=[{"address": "10.0.0.1"}]), "servers[0].port"),
    "port of zero": (server_at("10.0.0.1", 0), "servers[0].port"),
    "port too high": (server_at("10.0.0.1", 65536), "servers[0].port"),
    "port as text": (server_at("10.0.0.1", "8080"), "servers[0].port"),
    "listener port of zero": (spec(port=0), "spec.port"),
    "both ports the same": (spec(httpPort=443), "spec.httpPort"),
    "https only on the port of plain http": (spec(httpsOnly=True, port=80), "spec.port"),
    "health check with a line": (
        farm(serviceRef=FARM["serviceRef"], healthCheck={"path": "/\r\nX: y"}),
        "healthCheck.path",
    ),
    "health check with a space": (
        farm(serviceRef=FARM["serviceRef"], healthCheck={"path": "/ HTTP/1.0"}),
        "healthCheck.path",
    ),
    "health check without a slash": (
        farm(serviceRef=FARM["serviceRef"], healthCheck={"path": "x"}),
        "healthCheck.path",
    ),
    "health check every never": (
        farm(serviceRef=FARM["serviceRef"], healthCheck={"intervalSeconds": 0}),
        "intervalSeconds",
    ),
    "redirect to nothing": (redirect(""), "redirectLocation"),
    "redirect to a path": (redirect("/login"), "redirectLocation"),
    "redirect without a scheme": (redirect("//evil.example"), "redirectLocation"),
    "redirect to a script": (redirect("javascript:alert(1)"), "redirectLocation"),
    "redirect with a line": (redirect("https://a.example/\r\nSet-Cookie: x"), "redirectLocation"),
    "redirect with an encoded line": (redirect("https://a.example/%0D%0Ax"), "redirectLocation"),
    "redirect with a quote": (redirect('https://a.example/"'), "redirectLocation"),
    "redirect with a single quote": (redirect("https://a.example/'"), "redirectLocation"),
    "redirect with a space": (redirect("https://a.example/ code 200"), "redirectLocation"),
    "redirect with a variable": (redirect("https://a.example/%[src]"), "redirectLocation"),
    "redirect with braces": (redirect("https://a.example/{x}"), "redirectLocation"),
    "redirect with a backslash": (redirect("https://a.example\\evil"), "redirectLocation"),
    "redirect with a no-break space": (redirect("https://a.example/\u00a0"), "redirectLocation"),
    "redirect with user information": (redirect("https://a@b.example/"), "redirectLocation"),
    "hostname of an address": (spec(hostnames=["192.0.2.1"]), "hostnames[0]"),
    "hostname of a star": (spec(hostnames=["*"]), "hostnames[0]"),
    "hostname with a line": (spec(hostnames=["a.example\nb"]), "hostnames[0]"),
    "empty binding": (spec(certificates=[{"name": "a", "hostnames": [""]}]), "hostnames[0]"),
    "status code 200": (spec(redirectStatusCode=200), "redirectStatusCode"),
    "sloppy range": (spec(deniedSources=["192.0.2.1/24"]), "deniedSources[0]"),
    "source by name": (spec(trustedSources=["cdn.example"]), "trustedSources[0]"),
    "preload without subdomains": (spec(hsts={"preload": True}), "hsts.preload"),
    "preload of a day": (
        spec(hsts={"preload": True, "includeSubDomains": True, "maxAge": 86400}),
        "hsts.preload",
    ),
    "old tls": (spec(tls={"minVersion": "TLS1.0"}), "tls.minVersion"),
    "certificates without tls": (spec(ssl=False), "spec.ssl"),
    "hsts without tls": ({"ssl": False, "hsts": {}}, "spec.ssl"),
    "unknown manage": (spec(manage="All"), "spec.manage"),
    "farms of a listener made elsewhere": (spec(manage="StoreOnly", farms=[FARM]), "spec.manage"),
    "adopting certificates": (spec(manage="CertificatesOnly", adopt=True), "spec.adopt"),
    "route of nothing": (spec(kong={"routes": [{}]}), "kong.routes[0]"),
    "display name with a line": (spec(displayName="a\nb"), "displayName"),
    "zone with a quote": (spec(zone='a"'), "spec.zone"),
    "null zone is fine, unknown fields are not": (spec(zone=None, x=1), "unknown field"),
}
