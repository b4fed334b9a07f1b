"""The tokens in memory keep the contract of the port."""

from collections.abc import Callable

import pytest

from knowngood.ports.tokens import Tokens
from knowngood.testing.contracts.tokens import TokensContract
from knowngood.testing.memory_tokens import MemoryTokens


class TestMemoryTokens(TokensContract):
    @pytest.fixture
    def open_tokens(self) -> Callable[[], Tokens]:
        tokens = MemoryTokens()
        return lambda: tokens
