"""What is there at the start: balancers, target groups, and listeners as Terraform leaves them."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sandbox.emulators.aws.acm import Certificates
from sandbox.emulators.aws.application import SECURE, Application
from sandbox.emulators.aws.classic import Classic
from sandbox.emulators.aws.iam import ServerCertificates
from sandbox.emulators.aws.material import Material

_NAME = "terraform.example"


def seed_listener(
    text: str,
    *,
    classic: Classic,
    application: Application,
    server_certificates: ServerCertificates,
    certificates: Certificates,
    now: datetime,
    random: Random,
) -> None:
    """Make the listener `balancer:port:protocol[:target]`.

    `target` is the instance port of a classic listener (80), and of the others a target group's
    name, `redirect` (to HTTPS, port 443), or empty for a fixed 404. A secure listener gets a
    certificate for `terraform.example` that is not in use elsewhere. Raises ValueError or
    LookupError for what cannot be made.
    """
    parts = text.split(":")
    if len(parts) not in (3, 4) or not parts[1].isdigit():
        raise ValueError(f"{text!r} is not balancer:port:protocol[:target]")
    name, port, protocol = parts[0], int(parts[1]), parts[2]
    target = parts[3] if len(parts) == 4 else ""
    secure = protocol in SECURE or protocol == "SSL"
    material = _material(now) if secure else None
    if any(balancer.name == name for balancer in classic.balancers()):
        arn = (
            server_certificates.add(material, f"terraform-{random.getrandbits(32):08x}", "/", {})
            if material
            else None
        )
        plain = "TCP" if protocol in ("SSL", "TCP") else "HTTP"
        given: dict[str, Any] = {
            "LoadBalancerPort": port,
            "Protocol": protocol,
            "InstancePort": int(target or "80"),
            "InstanceProtocol": plain,
            "SSLCertificateId": arn,
        }
        classic.add_listener(name, given)
        return
    given = {"Port": port, "Protocol": protocol, "DefaultActions": [_action(target, application)]}
    if material:
        arn = certificates.add(material, {"made-by": "terraform"})
        given["Certificates"] = [{"CertificateArn": arn}]
    application.add_listener(name, given)


def _action(target: str, application: Application) -> dict[str, Any]:
    if target == "redirect":
        config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
        return {"Type": "redirect", "RedirectConfig": config}
    if not target:
        return {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    return {"Type": "forward", "TargetGroupArn": application.target_group_arn(target)}


def _material(now: datetime) -> Material:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    pem = leaf.public_bytes(Encoding.PEM).decode()
    return Material(leaf=leaf, certificate=pem, chain="", key=private)
