"""Fetching pictures by URL, for servers that were told which hosts to fetch from; otherwise nothing is.

A URL is a request that somebody else makes this machine send. So: only listed hosts, http and https on
their usual ports (or the port that is listed with the host), no redirects, no proxies, no credentials, and
only public addresses: the name is resolved here, every address it has must be public, and the connection
goes to the very address that was checked, while certificate and Host header stay the name's.
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
Resolve = Callable[[str, int], Awaitable[list[str]]]
PORTS = {"http": 80, "https": 443}
AT_ONCE = 8
"""Fetches that run side by side."""


def is_url(image: object) -> bool:
    return isinstance(image, str) and image[:8].lower().startswith(("http://", "https://"))


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, whatever form it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""All public IPv6 there is; Python counts some old private ranges outside it as global."""


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as text."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Fetcher:
    """Fetches pictures from listed hosts.

    Args:
        hosts: names, or `name:port`; each is exactly one host, not its subdomains.
        max_bytes: largest picture in bytes.
        seconds: for one fetch, from the name to the last byte.
        resolve: name and port to addresses.
        allowed: whether an address may be connected to.
        verify: as httpx takes it.

    Raises:
        InputError: a host is none.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        *,
        max_bytes: int = 16_000_000,
        seconds: float = 10.0,
        resolve: Resolve = resolve,
        allowed: Callable[[Address], bool] = is_public,
        verify: bool | str = True,
    ) -> None:
        self.hosts = frozenset(map(_listed, hosts))
        self.max_bytes, self.seconds, self.verify = max_bytes, seconds, verify
        self._resolve, self._allowed = resolve, allowed
        self._places = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, url: str, field: str = "image") -> bytes:
        """The encoded picture at a URL.

        Raises:
            MediaError: the URL is not one that may be fetched, or nothing usable came from it in time.
        """
        import httpx

        parts, host, port = self._checked(url, field)
        try:
            async with self._places, asyncio.timeout(self.seconds):
                address = await self._address(host, port, url, field)
                return await self._get(parts, host, port, address, url, field)
        except TimeoutError:
            _refuse(field, url, f"an answer within {self.seconds:g} s", "send the file itself")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            _refuse(field, url, "a host that answers", f"{type(error).__name__}: send the file itself")

    def _checked(self, url: str, field: str) -> tuple[SplitResult, str, int]:
        mend = "send the file, or a data: URL"
        if not self.hosts:
            _refuse(field, url, "files and data: URLs; this server fetches nothing", mend)
        if any(c <= " " or c == "\\" or c >= "\x7f" for c in url):
            _refuse(field, url, "URLs in printable ASCII", "percent-encode it")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS[parts.scheme]
        except (KeyError, ValueError):
            _refuse(field, url, "http and https URLs", mend)
        if parts.username is not None or parts.password is not None:
            _refuse(field, url, "URLs without a user name", mend)
        usual = port == PORTS[parts.scheme]
        if f"{host}:{port}" not in self.hosts and not (usual and host in self.hosts):
            _refuse(field, url, f"URLs of {', '.join(sorted(self.hosts))}", mend)
        return parts, host, port

    async def _address(self, host: str, port: int, url: str, field: str) -> str:
        """The address to connect to. One private address among those of a name refuses the name."""
        addresses = await self._resolve(host, port)
        if not addresses or not all(self._allowed(ipaddress.ip_address(text)) for text in addresses):
            _refuse(field, url, "hosts with public addresses", "send the file, or a data: URL")
        return addresses[0]

    async def _get(
        self, parts: SplitResult, host: str, port: int, address: str, url: str, field: str
    ) -> bytes:
        import httpx

        pinned = f"[{address}]" if ":" in address else address
        target = urlunsplit((parts.scheme, f"{pinned}:{port}", parts.path or "/", parts.query, ""))
        name = host if port == PORTS[parts.scheme] else f"{host}:{port}"
        headers = {"Host": name, "Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "judge"}
        async with (
            httpx.AsyncClient(verify=self.verify, trust_env=False, follow_redirects=False) as client,
            client.stream(
                "GET", target, headers=headers, timeout=self.seconds, extensions={"sni_hostname": host}
            ) as answer,
        ):
            return await self._read(answer, url, field)

    async def _read(self, answer: httpx.Response, url: str, field: str) -> bytes:
        if answer.status_code != 200:
            _refuse(field, url, "URLs that answer 200", f"it answers {answer.status_code}: send the file")
        if answer.headers.get("content-encoding", "identity") != "identity":
            _refuse(field, url, "pictures without Content-Encoding", "send the file itself")
        data = bytearray()
        async for chunk in answer.aiter_raw():
            data += chunk
            if len(data) > self.max_bytes:
                _refuse(field, url, f"at most {self.max_bytes} bytes", "send a smaller file")
        return bytes(data)


def _listed(host: str) -> str:
    """A host of the list in the form it is compared in."""
    try:
        parts = urlsplit(f"//{host.strip()}")
        name, port = (parts.hostname or "").rstrip(".").encode("idna").decode(), parts.port
    except (ValueError, UnicodeError):
        name, port, parts = "", None, urlsplit("")
    if not name or parts.path or parts.username is not None or "*" in name:
        raise InputError("allow-host", host, "a host name, or name:port", "give each host by its full name")
    return name if port is None else f"{name}:{port}"


def _refuse(field: str, url: str, allowed: str, mend: str) -> NoReturn:
    raise MediaError(field, url, allowed, mend) from None
