"""Fetch images by URL from hosts that the operator listed. Without a list, nothing is fetched.

A URL is a request that somebody else makes this machine send. Therefore only listed hosts are allowed, http
and https on their usual ports (or the port listed with the host), no redirects, no proxies, no credentials,
and only public addresses. The name is resolved here, all its addresses must be public, and the connection
goes to the address that was checked, while the certificate check and the Host header use the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urlsplit, urlunsplit

from judge.errors import InputError, MediaError

if TYPE_CHECKING:
    import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_CONCURRENT_FETCHES = 8


def is_url(image: object) -> bool:
    """Return whether a value is an http or https URL."""
    return isinstance(image, str) and image[:8].lower().startswith(("http://", "https://"))


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public internet, also inside an IPv6 wrapper of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All public IPv6 addresses; Python counts some old private ranges outside it as global."""


async def resolve_host(host: str, port: int) -> list[str]:
    """Return every address of a host name, as text."""
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in entries))


class Fetcher:
    """Fetches images from listed hosts.

    Args:
        hosts: host names, or `name:port`; each stands for exactly one host, not for its subdomains.
        max_bytes: largest image in bytes.
        timeout: seconds for one fetch, from resolving the name to the last byte.
        resolve: returns the addresses of a name and port.
        is_allowed: returns whether a connection to an address is allowed.
        verify: certificate check, as in httpx.

    Raises:
        InputError: an entry of `hosts` is not a host.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        *,
        max_bytes: int = 16_000_000,
        timeout: float = 10.0,
        resolve: Resolver = resolve_host,
        is_allowed: Callable[[Address], bool] = is_public,
        verify: bool | str = True,
    ) -> None:
        self.hosts = frozenset(map(_normalize_host, hosts))
        self.max_bytes, self.timeout, self.verify = max_bytes, timeout, verify
        self._resolve, self._is_allowed = resolve, is_allowed
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_FETCHES)

    async def fetch(self, url: str, field: str = "image") -> bytes:
        """Return the encoded image at a URL.

        Args:
            url: the URL.
            field: name of the field that holds the URL, for errors.

        Raises:
            MediaError: the URL must not be fetched, or it gave no usable answer in time.
        """
        import httpx

        parts, host, port = self._check_url(url, field)
        try:
            async with self._slots, asyncio.timeout(self.timeout):
                address = await self._resolve_allowed(host, port, url, field)
                return await self._get(parts, host, port, address, url, field)
        except TimeoutError:
            _reject(field, url, f"an answer within {self.timeout:g} s", "send the file itself")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            _reject(field, url, "a host that answers", f"{type(error).__name__}: send the file itself")

    def _check_url(self, url: str, field: str) -> tuple[SplitResult, str, int]:
        """Return the parts of a URL, its host and its port, if it may be fetched."""
        mend = "send the file, or a data: URL"
        if not self.hosts:
            _reject(field, url, "files and data: URLs; this server fetches nothing", mend)
        if any(c <= " " or c == "\\" or c >= "\x7f" for c in url):
            _reject(field, url, "URLs in printable ASCII", "percent-encode it")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port or DEFAULT_PORTS[parts.scheme]
        except (KeyError, ValueError):
            _reject(field, url, "http and https URLs", mend)
        if parts.username is not None or parts.password is not None:
            _reject(field, url, "URLs without a user name", mend)
        is_default_port = port == DEFAULT_PORTS[parts.scheme]
        if f"{host}:{port}" not in self.hosts and not (is_default_port and host in self.hosts):
            _reject(field, url, f"URLs of {', '.join(sorted(self.hosts))}", mend)
        return parts, host, port

    async def _resolve_allowed(self, host: str, port: int, url: str, field: str) -> str:
        """Return the address to connect to. One private address of a name rejects the name."""
        addresses = await self._resolve(host, port)
        if not addresses or not all(self._is_allowed(ipaddress.ip_address(text)) for text in addresses):
            _reject(field, url, "hosts with public addresses", "send the file, or a data: URL")
        return addresses[0]

    async def _get(
        self, parts: SplitResult, host: str, port: int, address: str, url: str, field: str
    ) -> bytes:
        """Send the request to an address that was checked, under the name of the host."""
        import httpx

        pinned = f"[{address}]" if ":" in address else address
        target = urlunsplit((parts.scheme, f"{pinned}:{port}", parts.path or "/", parts.query, ""))
        name = host if port == DEFAULT_PORTS[parts.scheme] else f"{host}:{port}"
        headers = {"Host": name, "Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "judge"}
        async with (
            httpx.AsyncClient(verify=self.verify, trust_env=False, follow_redirects=False) as client,
            client.stream(
                "GET", target, headers=headers, timeout=self.timeout, extensions={"sni_hostname": host}
            ) as response,
        ):
            return await self._read_body(response, url, field)

    async def _read_body(self, response: httpx.Response, url: str, field: str) -> bytes:
        status = response.status_code
        if status != 200:
            _reject(field, url, "URLs that answer 200", f"it answers {status}: send the file")
        if response.headers.get("content-encoding", "identity") != "identity":
            _reject(field, url, "images without Content-Encoding", "send the file itself")
        data = bytearray()
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > self.max_bytes:
                _reject(field, url, f"at most {self.max_bytes} bytes", "send a smaller file")
        return bytes(data)


def _normalize_host(host: str) -> str:
    """Return a listed host in the form in which hosts are compared. Raises `InputError`."""
    try:
        parts = urlsplit(f"//{host.strip()}")
        name, port = (parts.hostname or "").rstrip(".").encode("idna").decode(), parts.port
    except (ValueError, UnicodeError):
        name, port, parts = "", None, urlsplit("")
    if not name or parts.path or parts.username is not None or "*" in name:
        raise InputError("allow-host", host, "a host name, or name:port", "give each host by its full name")
    return name if port is None else f"{name}:{port}"


def _reject(field: str, url: str, allowed: str, mend: str) -> NoReturn:
    raise MediaError(field, url, allowed, mend) from None
