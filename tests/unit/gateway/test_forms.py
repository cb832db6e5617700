"""What comes in another form than GitHub's usual one: names in large letters, a secret where another one was in use."""

from __future__ import annotations

from tests.unit.gateway.support import APP, PUSH, SECRETS, Receiver, gateway, head, lines, signed


async def test_names_of_headers_count_in_letters_of_any_size() -> None:
    async with gateway() as edge:
        answer = await edge.send(head(APP, {name.upper(): value for name, value in lines(PUSH).items()}) + PUSH)
        assert answer is not None
        assert answer.status == 202


async def test_a_secret_is_good_when_fewer_are_left_than_that_in_use_was() -> None:
    receiver = Receiver()
    async with gateway(receiver=receiver) as edge:
        for secrets, secret in ((SECRETS, SECRETS[2]), (SECRETS[:1], SECRETS[0]), (SECRETS[:2], SECRETS[1])):
            receiver.secrets = secrets
            answer = await edge.post(PUSH, x_hub_signature_256=signed(PUSH, secret))
            assert answer is not None
            assert answer.status == 202
