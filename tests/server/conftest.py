"""Fixtures of the edge."""

from collections.abc import AsyncIterator

import pytest

from tests.server.graphql_world import Door, open_door


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """The edge as in development, with introspection."""
    async with open_door() as opened:
        yield opened
