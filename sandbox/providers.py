"""Emulated cloud balancers as processes of the sandbox: their addresses, credentials and settings.

One process of :mod:`sandbox.emulators` for each provider, on a loopback address of its own where its
API and what it serves are found. What a LoadBalancer and its Secret have to say to reach it is
here, too, for tests and the demo.
"""

import secrets
import string
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sandbox import environment
from sandbox.addresses import free_ports
from sandbox.emulators import NAMES
from sandbox.state import Emulator, HttpReady, Service, State, provider_address

OVH_SERVICE = "ip-1.2.3.4"
OVH_FARM = "12345"
RACKSPACE_ID = "71"
OPENSCALER_ID = "42"
AWS_REGION = "eu-west-1"
AWS_BALANCERS = ("shop", "shop-classic")
"""The application and the classic load balancer."""
AWS_TARGET_GROUP = "web"
CLASSIC_PORT = 8444

_Spec = dict[str, Any]
_CAPITALS = string.ascii_uppercase + "234567"


def prepare(state: State, name: str, *, low_ports: bool) -> State:
    """Describe the emulator called `name`: new credentials, and listeners on 443 and 80.

    Where low ports may not be bound, they are 8443 and 8080, and frontends have to say so.
    """
    address = provider_address(state.number, NAMES.index(name))
    url = f"http://{address}:{free_ports(address, 1)[0]}"
    emulator = Emulator(
        name=name,
        url=url,
        front=address,
        https_port=443 if low_ports else 8443,
        http_port=80 if low_ports else 8080,
        credentials=_CREDENTIALS[name](),
    )
    kept = tuple(each for each in state.emulators if each.name != name)
    described = state.with_services(_service(state, emulator))
    return msgspec.structs.replace(described, emulators=(*kept, emulator))


def load_balancers(emulator: Emulator) -> dict[str, _Spec]:
    """The specs of the LoadBalancers that reach it, by type; their Secret is called `credentials`.

    Handshakes are tried at the emulator's front.
    """
    specs = _SPECS[emulator.name](emulator)
    reference = {"name": "credentials"}
    return {
        type_: {
            "type": type_,
            block: {**settings, "credentialsSecretRef": reference},
            **({} if type_ == "Kong" else {"probeAddress": emulator.front}),
        }
        for type_, (block, settings) in specs.items()
    }


def frontend_settings(emulator: Emulator, type_: str) -> _Spec:
    """What the spec of a frontend of that type must say besides its certificates: port and farm."""
    found: _Spec = {}
    if type_ == "AWSClassic":
        # Both balancers of AWS are served on one address.
        found |= {"port": CLASSIC_PORT, "awsClassic": {"instancePort": 80}}
    elif emulator.https_port != 443:
        found["port"] = emulator.https_port
    farm = {"OVH": OVH_FARM, "AWSApplication": AWS_TARGET_GROUP}.get(type_)
    if farm:
        found["defaultFarm"] = farm
    return found


def _service(state: State, emulator: Emulator) -> Service:
    arguments = _ARGUMENTS[emulator.name](emulator)
    return Service(
        name=emulator.name,
        argv=(
            *(sys.executable, "-m", "sandbox.emulators", emulator.name),
            *("--api", emulator.url.removeprefix("http://"), "--front", emulator.front),
            *("--seed", str(secrets.randbelow(1 << 31))),
            *arguments,
        ),
        environment={
            **environment.basic(),
            "PYTHONPATH": str(environment.REPOSITORY),
            "PYTHONUNBUFFERED": "1",
        },
        log=str(state.root / "logs" / f"{emulator.name}.log"),
        ready=HttpReady(url=f"{emulator.url}/_control/ready"),
    )


def _flags(**values: str) -> tuple[str, ...]:
    return tuple(
        part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", value)
    )


def _ovh(emulator: Emulator) -> tuple[str, ...]:
    found = emulator.credentials
    return _flags(
        services=OVH_SERVICE,
        farms=f"{OVH_FARM}=shop",
        application_key=found["applicationKey"],
        application_secret=found["applicationSecret"],
        consumer_key=found["consumerKey"],
        resolves="*",
    )


def _kong(emulator: Emulator) -> tuple[str, ...]:
    return _flags(
        https_port=str(emulator.https_port),
        http_port=str(emulator.http_port),
        route_seconds="1.0",
        token=emulator.credentials["token"],
    )


def _rackspace(emulator: Emulator) -> tuple[str, ...]:
    return (
        *_flags(
            username=emulator.credentials["username"],
            api_key=emulator.credentials["apiKey"],
            load_balancers=RACKSPACE_ID,
            update_seconds="0.5",
        ),
        *_flags(port_map=f"{emulator.https_port}={emulator.https_port}"),
        *_flags(port_map=f"80={emulator.http_port}"),
    )


def _openscaler(emulator: Emulator) -> tuple[str, ...]:
    return _flags(
        token=emulator.credentials["token"],
        lbs=f"{OPENSCALER_ID}={emulator.https_port}",
    )


def _aws(emulator: Emulator) -> tuple[str, ...]:
    application, classic = AWS_BALANCERS
    return _flags(
        region=AWS_REGION,
        access_key_id=emulator.credentials["accessKeyID"],
        secret_access_key=emulator.credentials["secretAccessKey"],
        application=application,
        classic=classic,
        target_groups=AWS_TARGET_GROUP,
    )


_ARGUMENTS: Mapping[str, Callable[[Emulator], tuple[str, ...]]] = {
    "aws": _aws,
    "kong": _kong,
    "openscaler": _openscaler,
    "ovh": _ovh,
    "rackspace": _rackspace,
}

_CREDENTIALS: Mapping[str, Callable[[], dict[str, str]]] = {
    "aws": lambda: {
        "accessKeyID": "AKIA" + "".join(secrets.choice(_CAPITALS) for _ in range(16)),
        "secretAccessKey": secrets.token_hex(20),
    },
    "kong": lambda: {"token": secrets.token_hex(16)},
    "openscaler": lambda: {"token": secrets.token_hex(16)},
    "ovh": lambda: {
        "applicationKey": secrets.token_hex(8),
        "applicationSecret": secrets.token_hex(16),
        "consumerKey": secrets.token_hex(16),
    },
    "rackspace": lambda: {"username": "certfront", "apiKey": secrets.token_hex(16)},
}
"""Made for each sandbox: what is found of them in a log was written there by somebody."""

_SPECS: Mapping[str, Callable[[Emulator], dict[str, tuple[str, _Spec]]]] = {
    "aws": lambda emulator: {
        "AWSApplication": (
            "awsApplication",
            {
                "region": AWS_REGION,
                "loadBalancerName": AWS_BALANCERS[0],
                "endpointURL": emulator.url,
            },
        ),
        "AWSClassic": (
            "awsClassic",
            {
                "region": AWS_REGION,
                "loadBalancerName": AWS_BALANCERS[1],
                "endpointURL": emulator.url,
            },
        ),
    },
    "kong": lambda emulator: {
        "Kong": (
            "kong",
            {
                "adminURL": emulator.url,
                "proxyAddress": f"{emulator.front}:{emulator.https_port}",
            },
        )
    },
    "openscaler": lambda emulator: {
        "OpenScaler": (
            "openScaler",
            {"endpoint": emulator.url, "loadBalancerID": OPENSCALER_ID},
        )
    },
    "ovh": lambda emulator: {
        "OVH": ("ovh", {"endpoint": f"{emulator.url}/1.0", "serviceName": OVH_SERVICE})
    },
    "rackspace": lambda emulator: {
        "Rackspace": (
            "rackspace",
            {
                "region": "DFW",
                "loadBalancerID": RACKSPACE_ID,
                "identityURL": f"{emulator.url}/v2.0",
            },
        )
    },
}
