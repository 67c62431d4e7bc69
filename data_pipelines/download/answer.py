"""One request for a file, or for the rest of it, and what the server says it will send.

Only http and https are known to the opener, so nothing that a redirection names is read from this
machine. Proxies are taken from the environment, as everywhere in Python.
"""

import http.client
import re
import ssl
import urllib.error
import urllib.request
from typing import NamedTuple

from gmsdi_jax import __version__
from gmsdi_jax.errors import UnavailableError

_FOR_NOW = {408, 425, 429}
"""Statuses below 500 that may be another one the next time."""
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
)


class Validators(NamedTuple):
    """What tells one version of a file from another."""

    url: str
    etag: str | None = None
    modified: str | None = None
    total: int | None = None
    """Bytes of the whole file, where the server says so."""

    def condition(self, url: str) -> str | None:
        """What ``If-Range`` takes: a strong ETag, or a date; none for another place's file."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return (strong or self.modified) if self.url == url else None

    def fits(self, other: "Validators") -> bool:
        """Whether nothing speaks against both being one file; another place has its own ETags."""
        pairs: list[tuple[object, object]] = [(self.total, other.total)]
        if self.url == other.url:
            pairs += [(self.etag, other.etag), (self.modified, other.modified)]
        return all(a is None or b is None or a == b for a, b in pairs)


class Answer(NamedTuple):
    """A response whose body is not read yet."""

    response: http.client.HTTPResponse
    start: int
    """Offset of its first byte in the file."""
    validators: Validators


class BrokenOffError(Exception):
    """A try that failed for a reason that may pass."""

    def __init__(self, reason: object, wait: float = 0.0) -> None:
        """Takes the reason, and for how long the server asks to be left alone, in seconds."""
        said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        super().__init__(" ".join(said.split()))
        self.wait = wait


def ask(url: str, start: int, known: Validators, timeout: float) -> Answer:
    """Asks for a file from an offset on, or for all of it if that is not to be had.

    Args:
        url: Where it is.
        start: How many bytes of it are here.
        known: What they came from.
        timeout: Seconds without a byte after which the connection counts as broken.

    Returns:
        The answer; it starts at `start`, or at 0 where the server has another version of the file
        or does not do ranges.

    Raises:
        BrokenOffError: It did not work now.
        UnavailableError: It does not work.
    """
    headers = {"User-Agent": f"gmsdi-jax/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if condition := known.condition(url):
            headers["If-Range"] = condition
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return ask(url, 0, known, timeout)
        raise _refusal(url, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(url, error) from error
    answer = _read_headers(url, response)
    if answer.start == 0 or (answer.start == start and answer.validators.fits(known)):
        return answer
    response.close()
    if start == 0:
        raise UnavailableError(f"{url}: sends a part of the file where all of it was asked for")
    return ask(url, 0, known, timeout)


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    return opener


def _read_headers(url: str, response: http.client.HTTPResponse) -> Answer:
    """Where the body starts, and of which file it is a part."""
    start, total = 0, response.length
    if response.status == http.client.PARTIAL_CONTENT:
        place = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", place.strip())
        # One that cannot be read is taken for a wrong one.
        start = int(found[1]) if found else -1
        total = int(found[2]) if found and found[2] != "*" else None
    elif response.status != http.client.OK:
        response.close()
        raise UnavailableError(f"{url}: the server answers {response.status} {response.reason}")
    headers = response.headers
    validators = Validators(url, headers.get("ETag"), headers.get("Last-Modified"), total)
    return Answer(response, start, validators)


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """What an error status means."""
    said = f"the server answers {error.code} {' '.join(str(error.reason).split())}"
    if error.code not in _FOR_NOW and error.code < 500:
        return UnavailableError(f"{url}: {said}: try later, or another --mirror")
    wait = error.headers.get("Retry-After", "")
    return BrokenOffError(said, float(wait) if wait.isascii() and wait.isdigit() else 0.0)


def _failure(url: str, error: Exception) -> Exception:
    """What an error before any answer means."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        why = reason.verify_message
        return UnavailableError(
            f"{url}: its certificate is not trusted ({why}): see to this machine's clock and "
            "certificates, or take another --mirror"
        )
    lasting = (http.client.InvalidURL, ValueError, str)  # a str is urllib's own refusal
    if isinstance(reason, lasting):
        return UnavailableError(f"{url}: cannot be asked for: {reason}")
    return BrokenOffError(reason)
