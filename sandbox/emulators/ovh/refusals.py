"""How the emulated OVH API says no: one exception that carries the answer's members."""

from http import HTTPStatus

from aiohttp import web

CLASSES = {
    400: "Client::BadRequest",
    401: "Client::Unauthorized",
    403: "Client::Forbidden",
    404: "Client::NotFound",
    405: "Client::MethodNotAllowed",
    409: "Client::Conflict",
    413: "Client::BadRequest",
    460: "Client::Gone",
    500: "Server::InternalServerError",
}
"""The `class` member for each status, as far as the emulator uses them."""


class Refusal(Exception):
    """A request is refused with this status; the text holds nothing of the request's body."""

    def __init__(self, status: int, message: str, error_code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_code = error_code

    def response(self) -> web.Response:
        """The answer: `class` and `message`, and for credentials `errorCode` and `httpCode`."""
        body = {"class": CLASSES[self.status], "message": self.message}
        if self.error_code:
            phrase = HTTPStatus(self.status).phrase
            body |= {"errorCode": self.error_code, "httpCode": f"{self.status} {phrase}"}
        return web.json_response(body, status=self.status)


def bad_request(message: str) -> Refusal:
    """400."""
    return Refusal(400, message)


def no_such_object(what: str, value: object) -> Refusal:
    """404 for an object that a path or a filter names."""
    return Refusal(404, f"The requested object ({what} = {value}) does not exist")
