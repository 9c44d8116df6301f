"""Which addresses may be posted to."""

from __future__ import annotations

import pytest

from gateway.callbacks.addresses import AddressRule
from gateway.domain.errors import MalformedRequest
from gateway.settings.values import read_networks

STRICT, LENIENT = AddressRule(), AddressRule(read_networks("127.0.0.0/8, 10.1.2.3, fd00::/8, ::1"))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
def test_addresses_of_the_internet_are_allowed(address: str) -> None:
    assert STRICT.allows(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("2002:7f00:1::1", "2002:5db8:d70e::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::1"),
        *("2130706433", "0x7f.1", "127.1", "localhost", "", "1.2.3.4.5"),
    ],
)
def test_any_other_address_is_refused_however_it_is_written(address: str) -> None:
    assert not STRICT.allows(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.9", "::ffff:127.0.0.1", "::127.0.0.1", "::1", "10.1.2.3", "fd12::1", "64:ff9b::7f00:1"]
)
def test_the_operator_may_allow_private_networks(address: str) -> None:
    assert LENIENT.allows(address)
    assert not LENIENT.allows("10.1.2.4")


@pytest.mark.parametrize("url", ["https://example.com/hook?a=1", "https://example.com:1", "https://[2606:2800::1]/"])
def test_an_address_of_a_program_is_a_url_of_a_host(url: str) -> None:
    STRICT.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "example.com",
            "http://example.com",
            "ftp://example.com",
            "https://",
            "https:///path",
            "https://a:b@c.de",
        ),
        *("https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://example.com:0/"),
        *("https://example.com:99999/", "https://example.com/#x", "https://exa mple.com", "https://ex\u00e4mple.com"),
        *("https://example.com/\n", "https://[::1", f"https://example.com/{'a' * 2000}", "https://@example.com/"),
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(MalformedRequest, match="callback_url"):
        STRICT.check_url(url)


def test_where_private_networks_are_allowed_http_is_too() -> None:
    LENIENT.check_url("http://127.0.0.1:8080/hook")
    LENIENT.check_url("http://receiver.internal/hook")
    for refused in ("http://192.168.0.1/", "ftp://127.0.0.1/", "gopher://receiver.internal/"):
        with pytest.raises(MalformedRequest):
            LENIENT.check_url(refused)
