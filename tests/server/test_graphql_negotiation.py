"""The Accept header: what is preferred, what is refused."""

import pytest

from gateway.server.graphql.negotiation import GRAPHQL_RESPONSE, JSON, accepts_html, media_type_for


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("  ", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/json; charset=utf-8", JSON),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}; charset=utf-8, application/json; charset=utf-8", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, application/json;q=0.9", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=0.5, application/json;q=0.9", JSON),
        (f"application/json, {GRAPHQL_RESPONSE}", JSON),
        (f"{GRAPHQL_RESPONSE}, application/json", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, */*;q=0.1", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, */*", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=0.5, */*", JSON),
        ("application/json;q=0, */*", GRAPHQL_RESPONSE),
        (f"application/json;q=0, {GRAPHQL_RESPONSE};q=0, */*", None),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("text/html, application/json;q=0.001", JSON),
        ("text/html", None),
        ("application/xml, text/*", None),
        ("application/json;q=0", None),
        ("application/json;q=nan", None),
        ("application/json;q=2", None),
        ("application/json;q=x", None),
        ("application/jsonp", None),
        (",;,;q=,", None),
    ],
)
def test_the_answer_has_the_type_the_client_prefers(accept: str, media_type: str | None) -> None:
    assert media_type_for(accept) == media_type


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", True),
        ("*/*", True),
        ("text/html,application/xhtml+xml;q=0.9", True),
        ("application/json", False),
        (f"{GRAPHQL_RESPONSE}, application/json", False),
        ("text/html;q=0", False),
    ],
)
def test_a_page_goes_to_whoever_takes_pages(accept: str, html: bool) -> None:
    assert accepts_html(accept) is html
