"""The pages about Apps that hand out tokens: stored, asked for, used by git, lent and given another key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import Account, data_of, install, make_app, mints, reaches, signed_by
from tests.cluster.operator.pages.conftest import Place, decoded, until
from tests.cluster.reading import Desk, Reader
from tests.pages import blocks

PAGE = "docs/guide/installations.md"
RUN_HERE = {
    "docs/guide/installations.md": (
        "Store its key",
        "The first installation",
        "Outputs",
        "Projects",
        "The operator's App",
        "Changing the App's key",
    )
}
KIND = "GitHubInstallation"


@pytest.fixture(autouse=True)
def clean(place: Place) -> Iterator[None]:
    """Take away what the page makes beside the namespace."""
    yield
    place.system.delete("ConfigMap", "mooring-policy")
    place.system.delete("Secret", "mooring-github-app")


def printed(start: str) -> list[str]:
    """Return the columns of what the page shows as printed."""
    return next(block.text.splitlines()[0].split() for block in blocks(PAGE) if block.text.startswith(start))


def test_the_page(place: Place, desk: Desk, people: People, hub: Hub, acme: Account) -> None:
    app = make_app(hub, permissions={"contents": "read", "metadata": "read"})
    number = install(hub, app, acme.login)
    (desk.folder / "acme-mooring.private-key.pem").write_text(app.private_key)
    run = desk.folder / "run"
    run.mkdir()
    names = {"team-a": people.namespace, "acme": acme.login, "9919": str(acme.id), "123456": str(app.app_id)}
    words = {**place.github, **names, "/run/github": str(run)}
    with place.reader(desk, RUN_HERE, PAGE, words) as reader:
        reader.types("create secret generic acme-github-app")
        reader.types("kind: GitHubInstallation")
        assert "condition met" in reader.types("kubectl wait")
        columns, row = reader.types("-o wide").splitlines()
        assert columns.split() == printed("NAME ")
        shown = dict(zip(columns.split(), row.split(), strict=False))
        expected = {"ACCOUNT": acme.login, "ID": str(number), "REPOSITORIES": "3", "PHASE": "Active", "READY": "True"}
        assert shown.items() >= {**expected, "STATUS": "Ready", "APP": app.slug, "SELECTION": "all"}.items()
        token = decoded(people, "ci-token")["token"]
        assert reaches(hub, token) == [f"{acme.login}/shop"]

        git_takes_the_outputs(desk, reader, token, f"{hub.web_url}/{acme.login}/shop.git")

        reader.types("kind: Project")
        people.until_ready("api")
        columns, *rows = reader.types("get secrets").splitlines()
        assert columns.split() == printed("SECRET ")
        assert any(row.startswith("mooring-clone-") and len(row.split()) == 3 for row in rows)

        the_operators_app_is_lent(reader, people, acme)

        mark, before = hub.mark(), data_of(people.get("Secret", "ci-token"))
        made = hub.control("POST", f"/apps/{app.slug}/keys", {})
        (desk.folder / "new.private-key.pem").write_text(made["private_key"])
        reader.types("new.private-key.pem")
        assert decoded(people, "acme-github-app")["privateKey"] == made["private_key"]
        until(lambda: signed_by(hub, mark, app) != [])
        listed = reader.types("get githubinstallations.mooring.dev -A")
        assert condition(people.settled(acme.login, kind=KIND), "Ready")["reason"] == "Ready"
        assert f"{people.namespace} " in listed
        # Tokens stay as they are, in the same Secrets.
        assert data_of(people.get("Secret", "ci-token")) == before
        # What Mooring itself looks with is proven by the new key; it is given to nobody.
        assert [asked for asked in mints(hub, mark, number) if "repository_ids" in asked["asked"]] == []
        assert people.rollouts("api") == 1


def git_takes_the_outputs(desk: Desk, reader: Reader, token: str, url: str) -> None:
    """Let git fetch with what a program has in a mounted folder."""
    folder = desk.folder / "run"
    (folder / "token").write_text(token)
    host = url.removeprefix("https://").partition("/")[0]
    (folder / ".git-credentials").write_text(f"https://x-access-token:{token}@{host}\n")
    assert desk.run(f"GIT_TERMINAL_PROMPT=0 git ls-remote {url}").returncode != 0
    reader.types("git config --global")
    assert "refs/heads/main" in desk.run(f"git ls-remote {url}").stdout
    (desk.folder / ".gitconfig").unlink()
    assert "refs/heads/main" in reader.types("ls-remote")


def the_operators_app_is_lent(reader: Reader, people: People, acme: Account) -> None:
    """Use the operator's App before and after the policy binds it."""
    reader.types("create secret generic mooring-github-app")
    people.apply(KIND, "lent", {"account": acme.login})
    assert condition(people.settled("lent", kind=KIND), "Ready")["reason"] == "AppNotBound"
    assert reader.types("gh api users") == f"{acme.id}\n"
    reader.types("kind: ConfigMap")
    people.until_condition("lent", "Ready", "True", "Ready", kind=KIND)
    people.delete(KIND, "lent")
