"""A certificate that AWS has taken and its load balancers do not know yet.

The errors of SetLoadBalancerListenerSSLCertificate say that CertificateNotFound may mean this;
terraform-provider-aws waits for it too (pull requests 3901 and 10294). It takes seconds, at times
minutes.
"""

from datetime import datetime, timedelta
from typing import Final

from certfront.loadbalancers.aws.faults import Rejected
from certfront.loadbalancers.aws.reasons import PROPAGATING
from certfront.loadbalancers.errors import NotYet

CONSISTENT_AFTER: Final = timedelta(minutes=5)
"""What was uploaded is known everywhere after so long, and listed."""

_SHORTEST_WAIT: Final = 2.0


def not_found_yet(error: Rejected, uploaded: datetime | None, now: datetime) -> Rejected | NotYet:
    """NotYet where the load balancer does not find a new certificate, else the error itself."""
    if error.code not in ("CertificateNotFound", "CertificateNotFoundException"):
        return error
    age = CONSISTENT_AFTER if uploaded is None else abs(now - uploaded)
    if age >= CONSISTENT_AFTER:
        return error
    # 2, 4, 8 ... seconds: as long again as it has taken so far.
    wait = max(_SHORTEST_WAIT, age.total_seconds())
    return NotYet(
        PROPAGATING, "The load balancer does not know the new certificate yet.", retry_after=wait
    )
