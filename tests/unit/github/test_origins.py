"""Which URLs, hosts and addresses a credential may go to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain import origins
from mooring.domain.origins import AllowedHosts, BadUrl, Host

GHES = "https://ghes.example.com/api/v3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.github.com", "https://api.github.com"),
        ("https://API.GitHub.com:443/", "https://api.github.com"),
        ("https://ghes.example.com/api/v3/", GHES),
        ("https://127.0.0.1:8443/api/v3", "https://127.0.0.1:8443/api/v3"),
    ],
)
def test_one_form_of_a_url(text: str, expected: str) -> None:
    """Equal URLs read equal, so that a credential's key does not depend on how somebody writes."""
    assert origins.api_url(text) == expected
    assert origins.api_url(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://api.github.com",
        "api.github.com",
        "https://",
        "https:///api",
        "https://user@api.github.com",
        "https://user:pass@api.github.com",
        "https://api.github.com@evil.example",
        "https://api.github.com?x=1",
        "https://api.github.com/#frag",
        "https://api.githu\u0432.com",
        "https://api.github.com\r\nHost: evil",
        "https://api.github.com/a b",
        "https://api.github.com\\@evil.example",
        "https://api.github.com/../x",
        "https://api.github.com/a/./b",
        "https://api.github.com//x",
        "https://api.github.com/%2e%2e",
        "https://api.github.com:0",
        "https://api.github.com:99999",
        "https://api.github.com:",
        "https://[::1]/",
        "https://-a.example",
        "https://a..example",
        "https://example.com.",
        "https://" + "a" * 64 + ".example",
        "https://example.com/" + "a" * 600,
    ],
)
def test_urls_that_are_refused(text: str) -> None:
    """Everything but a plain https URL is refused, with a sentence."""
    with pytest.raises(BadUrl, match=r"\w+ \w+"):
        origins.api_url(text)
    assert not AllowedHosts.of(["api.github.com", "evil.example"]).allows(text)


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
        (GHES, "https://ghes.example.com"),
        ("https://ghes.example.com:8443/api/v3", "https://ghes.example.com:8443"),
        ("https://api.example.com", "https://api.example.com"),
    ],
)
def test_web_url(api: str, web: str) -> None:
    """People and git find a repository beside its API."""
    assert origins.web_url(api) == web


def test_hosts_of_the_policy() -> None:
    """A host stands for port 443, host:port for that port; the operator's own API and web host are always allowed."""
    allowed = AllowedHosts.of(["GHES.example.com", "git.example.com:8443"])
    for url in (
        GHES,
        "https://git.example.com:8443/x",
        "https://api.github.com",
        "https://github.com/acme/web",
    ):
        assert allowed.allows(url), url
    for url in (
        "https://ghes.example.com:8443/api/v3",
        "https://git.example.com",
        "https://sub.ghes.example.com",
        "https://api.github.com.evil.example",
    ):
        assert not allowed.allows(url), url


def test_private_addresses_only_where_listed() -> None:
    """GitHub's cloud is public; the administrator's own server may be anywhere."""
    cloud = AllowedHosts.of(["ghes.example.com"])
    assert not cloud.may_be_private("api.github.com", 443)
    assert not cloud.may_be_private("github.com", 443)
    assert cloud.may_be_private("ghes.example.com", 443)
    assert not cloud.may_be_private("ghes.example.com", 8443)
    own = AllowedHosts.of([], api="https://127.0.0.1:8443/api/v3")
    assert own.may_be_private("127.0.0.1", 8443)
    assert AllowedHosts.of(["api.github.com"]).may_be_private("api.github.com", 443)


@pytest.mark.parametrize(
    "entry", ["", "*", "*.example.com", "https://a.example", "a.example/x", "a:b", "a b", "é.example"]
)
def test_bad_entries_of_the_policy(entry: str) -> None:
    """A mistake in the policy is told, not taken for a host."""
    with pytest.raises(BadUrl):
        AllowedHosts.of([entry])


def test_git_urls() -> None:
    """A git URL needs an allowed host and a path, and carries nothing else."""
    allowed = AllowedHosts.of(["git.example.com"])
    assert origins.git_url("https://Git.example.com/acme/web.git", allowed) == "https://git.example.com/acme/web.git"
    for text in (
        "https://git.example.com",
        "https://other.example.com/acme/web",
        "https://token@git.example.com/acme/web",
        "https://git.example.com/acme/web?x=1",
        "https://git.example.com/acme/web#main",
        "https://git.example.com/acme/web\n",
        "ssh://git.example.com/acme/web",
        "git@git.example.com:acme/web",
        "ext::sh -c id",
        "--upload-pack=id",
    ):
        with pytest.raises(BadUrl):
            origins.git_url(text, allowed)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://ghes.example.com/api/v3/repositories/7", f"{GHES}/repositories/7"),
        (f"{GHES}/repositories/7?page=2", f"{GHES}/repositories/7?page=2"),
        ("/api/v3/repositories/7", f"{GHES}/repositories/7"),
        ("//evil.example/api/v3/x", None),
        ("https://evil.example/api/v3/x", None),
        ("http://ghes.example.com/api/v3/x", None),
        ("https://ghes.example.com:444/api/v3/x", None),
        ("https://ghes.example.com@evil.example/api/v3/x", None),
        ("https://ghes.example.com.evil.example/api/v3/x", None),
        ("https://ghes.example.com/login", None),
        ("https://ghes.example.com/api/v3/../../login", None),
        ("https://ghes.example.com\\@evil.example/api/v3/x", None),
        ("https://ghes.example.com/api/v3/x y", None),
        ("https://ghes.example.com/api/v3/x\r\nA: b", None),
        ("https://ghes.example.com/api/v3/" + "x" * 5000, None),
        ("", None),
    ],
)
def test_redirects(location: str, target: str | None) -> None:
    """A redirect is followed only within the API that answered."""
    assert origins.redirect_target(f"{GHES}/repos/acme/web", location, api=GHES) == target


@given(st.text(max_size=100))
def test_no_redirect_leaves_the_api(location: str) -> None:
    """Whatever a server writes, the credential stays below the URL that it is bound to."""
    target = origins.redirect_target(f"{GHES}/repos/acme/web", location, api=GHES)
    assert target is None or target.startswith(f"{GHES}/")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - an address to refuse, nothing binds to it
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.254",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:140.82.121.4",
        "::127.0.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "localhost",
        "",
    ],
)
def test_addresses_that_are_not_the_internets(address: str) -> None:
    """No name may lead a credential into the cluster, the node or the cloud's metadata service."""
    assert not origins.is_public(address)


@pytest.mark.parametrize(
    "address", ["140.82.121.4", "172.32.0.1", "100.128.0.1", "2606:50c0:8000::153", "64:ff9b::8c52:7904"]
)
def test_public_addresses(address: str) -> None:
    """GitHub itself stays reachable, also from networks with IPv6 alone."""
    assert origins.is_public(address)


def test_a_host_is_written_as_in_a_url() -> None:
    """443 goes without saying."""
    assert (str(Host("a.example")), str(Host("a.example", 8443))) == ("a.example", "a.example:8443")
