"""Refusals in the form that each AWS service gives them.

:mod:`.wire` renders them; every other module raises them. The codes are those of botocore's service
models and of "Common Error Types" of each API reference.
"""

_STATUS = {
    "AccessDenied": 403,
    "ConcurrentModification": 409,
    "DeleteConflict": 409,
    "EntityAlreadyExists": 409,
    "ExpiredToken": 403,
    "IncompleteSignature": 400,
    "InternalFailure": 500,
    "InvalidClientTokenId": 403,
    "InvalidConfigurationRequest": 409,
    "LimitExceeded": 409,
    "MissingAuthenticationToken": 403,
    "NoSuchEntity": 404,
    "SignatureDoesNotMatch": 403,
}

_JSON_CODES = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InternalFailure": "InternalFailure",
    "InvalidAction": "UnknownOperationException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MalformedInput": "SerializationException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "Throttling": "ThrottlingException",
    "ValidationError": "ValidationException",
}


class Refused(Exception):
    """A request that the service refuses.

    `code` is the Query protocol's, or the JSON protocol's own where only that has one; the code
    that all services share is translated when it is rendered as JSON.
    """

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status

    def status_of(self, service: str) -> int:
        """The HTTP status with which this service answers it."""
        if self.status:
            return self.status
        if service == "acm":
            return 500 if self.code == "InternalFailure" else 400
        if service == "elbv2" and self.code == "InvalidConfigurationRequest":
            return 400
        return _STATUS.get(self.code, 400)

    def code_of(self, service: str) -> str:
        """The code with which this service names it."""
        return _JSON_CODES.get(self.code, self.code) if service == "acm" else self.code
