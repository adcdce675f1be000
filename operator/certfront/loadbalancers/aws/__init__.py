"""Load balancers of AWS: classic ones with certificates in IAM, application ones with ACM.

`account` is what both share; `classic` and `application` are a provider each.
"""

from certfront.loadbalancers.aws.application.provider import KIND as KIND_APPLICATION
from certfront.loadbalancers.aws.classic.provider import KIND as KIND_CLASSIC
from certfront.loadbalancers.aws.reasons import REASONS

__all__ = ["KIND_APPLICATION", "KIND_CLASSIC", "REASONS"]
