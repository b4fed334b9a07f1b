"""What a server has learned of a token holds for seconds: one that is revoked ends, however often it is used."""

import time

import pytest

from knowngood.api.identity import TokenIdentity
from knowngood.control.tokens import revoke
from knowngood.testing.memory_tokens import MemoryTokens
from knowngood.testing.replica import until
from knowngood_sdk.errors import NotAuthenticatedError
from tests.control.test_tokens import HOST, NOW, give

BOUND_SECONDS = 3.0
MARGIN_SECONDS = 1.0


def test_a_token_in_constant_use_is_refused_seconds_after_it_was_revoked() -> None:
    tokens = MemoryTokens()
    minted = give(tokens)
    identity = TokenIdentity(tokens=tokens, environment="", now=lambda: NOW)
    identity.caller(minted.secret)
    revoke(tokens, minted.token, giver=HOST, why="lost laptop")
    revoked_at = time.monotonic()
    assert identity.known(minted.secret) is not None, "it is known from memory: else each report would cost a look-up"
    until(lambda: identity.known(minted.secret) is None, "what was learned is forgotten")
    assert time.monotonic() - revoked_at < BOUND_SECONDS + MARGIN_SECONDS
    with pytest.raises(NotAuthenticatedError, match="revoked"):
        identity.caller(minted.secret)
