"""The Query protocol (iam, elb, elbv2, sts) and JSON 1.1 (acm) as one pair of functions.

A request is parsed by the service's own model, as botocore and moto carry it, and held to it:
members that it has not, missing ones, wrong types, lengths, patterns and enumerations are refused,
although AWS passes over unknown members in silence. Answers are written by moto's serializers, so
that they have the form which botocore's parsers expect.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web
from botocore.model import OperationNotFoundError
from botocore.serialize import QuerySerializer as ClientQuerySerializer
from moto.core.parse import QueryParser
from moto.core.serialize import JSONSerializer, QuerySerializer, SerializationContext
from moto.core.utils import get_service_model

from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.server import BODY

VERSIONS = {
    "2010-05-08": "iam",
    "2011-06-15": "sts",
    "2012-06-01": "elb",
    "2015-12-01": "elbv2",
}
"""API versions of the Query services; the two load balancer services differ in nothing else."""

SIGNING_NAMES = {
    "acm": "acm",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "iam": "iam",
    "sts": "sts",
}

_TARGET = "CertificateManager."
_JSON = "application/x-amz-json-1.1"
_FORM = "application/x-www-form-urlencoded"
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Which call a request is, before anything in it has been checked."""

    service: str
    action: str
    region: str

    @property
    def name(self) -> str:
        """`iam:UploadServerCertificate`; the service as boto3 names it."""
        return f"{self.service}:{self.action}"

    @property
    def permission(self) -> str:
        """The action as an IAM policy names it."""
        return f"{SIGNING_NAMES[self.service]}:{self.action}"


def identify(request: web.Request) -> Operation | None:
    """The call by its target header, or by its form and credential scope; None for no AWS call."""
    scope = _SCOPE.search(request.headers.get("Authorization", ""))
    region = scope.group(1) if scope else "us-east-1"
    signed_for = scope.group(2) if scope else ""
    target = request.headers.get("X-Amz-Target", "")
    if target:
        if not target.startswith(_TARGET) or signed_for not in ("acm", ""):
            return None
        return Operation(service="acm", action=target[len(_TARGET) :], region=region)
    form = dict(_form(request))
    service = VERSIONS.get(form.get("Version", ""))
    action = form.get("Action", "")
    if service is None or not action or signed_for not in (SIGNING_NAMES[service], ""):
        return None
    return Operation(service=service, action=action, region=region)


def parameters(request: web.Request, operation: Operation) -> dict[str, Any]:
    """What the call gives, typed by the model; raises Refused where it does not keep to it."""
    model = _model(operation)
    given = (
        _json(request, operation)
        if operation.service == "acm"
        else _query(request, operation, model)
    )
    shape = model.input_shape
    if shape is None:
        if given:
            raise Refused("ValidationError", "this operation takes no parameters")
        return {}
    blobs = operation.service == "acm"
    problems: list[str] = []
    checked = _walk(shape, given, "", problems, blobs=blobs)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
        raise Refused("ValidationError", f"{count}: {'; '.join(problems)}")
    return dict(checked)


def answer(operation: Operation, result: Mapping[str, Any], request_id: str) -> web.Response:
    """The result in the form of the service."""
    serializer = JSONSerializer if operation.service == "acm" else QuerySerializer
    model = _model(operation)
    made = serializer(model, context=SerializationContext(request_id)).serialize(dict(result))
    body = made["body"]
    return web.Response(
        status=int(made["status_code"]),
        headers={"Content-Type": _content_type(operation.service), "x-amzn-RequestId": request_id},
        body=body.encode() if isinstance(body, str) else body,
    )


def refusal(service: str, refused: Refused, request_id: str) -> web.Response:
    """The refusal in the form of the service."""
    status = refused.status_of(service)
    return web.Response(
        status=status,
        headers={"Content-Type": _content_type(service), "x-amzn-RequestId": request_id},
        body=refusal_body(service, refused, request_id).encode(),
    )


def refusal_body(service: str, refused: Refused, request_id: str) -> str:
    """The text of a refusal; also what a test arms as a fault."""
    code = refused.code_of(service)
    if service == "acm":
        return json.dumps({"__type": code, "message": refused.message})
    side = "Receiver" if refused.status_of(service) >= 500 else "Sender"
    return (
        f'<ErrorResponse xmlns="{_namespace(service)}"><Error><Type>{side}</Type>'
        f"<Code>{escape(code)}</Code><Message>{escape(refused.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def known(operation: Operation) -> bool:
    """Whether the service has such an operation at all."""
    try:
        _model(operation)
    except Refused:
        return False
    return True


def _content_type(service: str) -> str:
    return _JSON if service == "acm" else "text/xml"


def _namespace(service: str) -> str:
    metadata = get_service_model(service).metadata
    return str(metadata.get("xmlNamespace", ""))


def _model(operation: Operation) -> Any:
    try:
        return get_service_model(operation.service).operation_model(operation.action)
    except OperationNotFoundError:
        raise Refused(
            "InvalidAction", f"The action {operation.action} is not valid for this web service."
        ) from None


def _form(request: web.Request) -> list[tuple[str, str]]:
    if not request.headers.get("Content-Type", "").startswith(_FORM):
        return []
    try:
        return parse_qsl(request[BODY].decode("utf-8"), keep_blank_values=True)
    except UnicodeDecodeError:
        return []


def _query(request: web.Request, operation: Operation, model: Any) -> dict[str, Any]:
    pairs = _form(request)
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Refused("MalformedInput", "a parameter is given twice")
    try:
        parsed = QueryParser(model).parse({"values": values})  # type: ignore[typeddict-item] # the rest is for REST
        expected = _flattened(model, parsed)
    except (ValueError, TypeError, KeyError):
        raise Refused("MalformedInput", "a parameter is not of the type of its member") from None
    unknown = values.keys() - expected - {"Action", "Version"}
    if unknown:
        named = ", ".join(sorted(unknown))
        raise Refused("ValidationError", f"{operation.action} has no parameter {named}")
    return dict(parsed)


def _flattened(model: Any, parsed: dict[str, Any]) -> set[str]:
    """The form's keys that give exactly these parameters."""
    if model.input_shape is None:
        return set()
    body = ClientQuerySerializer().serialize_to_request(parsed, model)["body"]
    return set(body)


def _json(request: web.Request, operation: Operation) -> dict[str, Any]:
    if not request.headers.get("Content-Type", "").startswith(_JSON):
        raise Refused("MalformedInput", f"{operation.action} takes {_JSON}")
    try:
        given = json.loads(request[BODY])
    except ValueError:
        raise Refused("MalformedInput", "the body is no JSON") from None
    if not isinstance(given, dict):
        raise Refused("MalformedInput", "the body is no object")
    return given


_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "list": (list,),
    "long": (int,),
    "map": (dict,),
    "string": (str,),
    "structure": (dict,),
}


def _walk(shape: Any, value: Any, path: str, problems: list[str], *, blobs: bool) -> Any:
    """The value with its blobs decoded; what is wrong with it is added to `problems`."""
    kinds = _PYTHON_TYPES.get(shape.type_name)
    if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        raise Refused("MalformedInput", f"{path or 'the request'} is no {shape.type_name}")
    if shape.type_name == "structure":
        return _walk_structure(shape, value, path, problems, blobs=blobs)
    if shape.type_name == "list":
        made = [
            _walk(shape.member, item, f"{path}.{number}", problems, blobs=blobs)
            for number, item in enumerate(value, 1)
        ]
        _bounds(shape, len(made), path, "length", problems)
        return made
    if shape.type_name == "blob" and blobs:
        value = _decoded(value, path)
    problems.extend(_scalar(shape, value, path))
    return value


def _walk_structure(
    shape: Any, value: dict[str, Any], path: str, problems: list[str], *, blobs: bool
) -> dict[str, Any]:
    made = {}
    for name, item in value.items():
        here = f"{path}.{name}" if path else name
        if name not in shape.members:
            problems.append(f"{here} is no member")
        elif item is not None:
            made[name] = _walk(shape.members[name], item, here, problems, blobs=blobs)
    for name in shape.required_members:
        if name not in made:
            here = f"{path}.{name}" if path else name
            problems.append(
                f"Value null at '{here}' failed to satisfy constraint: Member must not be null"
            )
    return made


def _decoded(value: Any, path: str) -> bytes:
    if not isinstance(value, str):
        raise Refused("MalformedInput", f"{path} is no blob")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("MalformedInput", f"{path} is no base64") from None


def _scalar(shape: Any, value: Any, path: str) -> Iterator[str]:
    """What is wrong with a value; its text is never quoted, it may be a key."""
    failed = f"Value at '{path}' failed to satisfy constraint: Member must"
    found: list[str] = []
    if isinstance(value, str | bytes):
        _bounds(shape, len(value), path, "length", found)
    elif isinstance(value, int):
        _bounds(shape, value, path, "value", found)
    yield from found
    if isinstance(value, str):
        pattern = _compiled(shape.metadata.get("pattern", ""))
        if pattern is not None and not pattern.fullmatch(value):
            yield f"{failed} satisfy regular expression pattern: {pattern.pattern}"
        allowed = shape.metadata.get("enum")
        if allowed and value not in allowed:
            yield f"{failed} satisfy enum value set: [{', '.join(allowed)}]"


def _bounds(shape: Any, size: int, path: str, what: str, problems: list[str]) -> None:
    failed = f"Value at '{path}' failed to satisfy constraint: Member must have {what}"
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        problems.append(f"{failed} greater than or equal to {least}")
    if most is not None and size > most:
        problems.append(f"{failed} less than or equal to {most}")


def _compiled(pattern: str) -> re.Pattern[str] | None:
    """The model's pattern, or None where it is Java's and not Python's."""
    try:
        return re.compile(pattern) if pattern else None
    except re.error:
        return None
