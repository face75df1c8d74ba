"""Bracket notation, shapes and the refusals they lead to."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.sandbox.refusals import Refusal
from gateway.sandbox.wire.check import check_parts
from gateway.sandbox.wire.form import decode_form
from gateway.sandbox.wire.shapes import parts


@pytest.mark.parametrize(
    ("form", "decoded"),
    [
        ("", {}),
        ("a=1&a=2", {"a": "2"}),
        ("a=", {"a": ""}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a[0][b]=1&a[1][b]=2", {"a": {"0": {"b": "1"}, "1": {"b": "2"}}}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[][b]=1&a[][c]=2&a[][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ("a[][b][c]=1&a[][b][d]=2", {"a": [{"b": {"c": "1", "d": "2"}}]}),
        ("a%5B0%5D=%7Bx%7D&b=1%2B1+2", {"a": {"0": "{x}"}, "b": "1+1 2"}),
        ("metadata[a.b-c]=%C3%A4", {"metadata": {"a.b-c": "ä"}}),
    ],
)
def test_forms_are_decoded(form: str, decoded: dict[str, Any]) -> None:
    assert decode_form(form) == decoded


@pytest.mark.parametrize(
    "form", ["a=1&a[b]=2", "a[b]=2&a=1", "a[0]=1&a[]=2", "a[]=2&a[0]=1", "[a]=1", "a[b=1", "a=%FF"]
)
def test_forms_that_contradict_themselves_are_refused(form: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode_form(form)
    assert refused.value.status == 400


def test_forms_nested_too_deep_are_refused() -> None:
    with pytest.raises(Refusal, match="nested too deep"):
        decode_form("a" + "[b]" * 12 + "=1")


def test_more_fields_than_the_limit_are_refused() -> None:
    with pytest.raises(Refusal, match="not a form"):
        decode_form("&".join(f"a{index}=1" for index in range(1001)))


SHAPE = parts("name!:s count:i on:b rate:n kind:(x y) tags:[s] rows:[{a!:i b:s|''}] metadata:map|'' when:range gone^:*")


def test_values_get_the_types_their_shape_says() -> None:
    sent = decode_form(
        "name=n&count=-3&on=true&rate=1.5&kind=y&tags[1]=b&tags[0]=a&rows[][a]=1&rows[][b]=&metadata[k]=v&when[gte]=7"
    )
    assert check_parts(sent, SHAPE) == {
        "name": "n",
        "count": -3,
        "on": True,
        "rate": Decimal("1.5"),
        "kind": "y",
        "tags": ["a", "b"],
        "rows": [{"a": 1, "b": ""}],
        "metadata": {"k": "v"},
        "when": {"gte": 7},
    }


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ("", "name", "parameter_missing"),
        ("name=", "name", "parameter_invalid_empty"),
        ("name=n&nom=1", "nom", "parameter_unknown"),
        ("name=n&count=1.5", "count", "parameter_invalid_integer"),
        ("name=n&count=%D9%A1", "count", "parameter_invalid_integer"),
        ("name=n&count=1e3", "count", "parameter_invalid_integer"),
        ("name=n&count=", "count", "parameter_invalid_empty"),
        ("name=n&on=1", "on", None),
        ("name=n&rate=NaN", "rate", None),
        ("name=n&rate=ten", "rate", None),
        ("name=n&kind=z", "kind", None),
        ("name=n&tags=a", "tags", None),
        ("name=n&tags[x]=a", "tags", None),
        ("name=n&tags[0][x]=a", "tags[0]", None),
        ("name[x]=n", "name", None),
        ("name=n&rows[0][b]=1", "rows[0][a]", "parameter_missing"),
        ("name=n&rows[0][a]=1&rows[0][c]=1", "rows[0][c]", "parameter_unknown"),
        ("name=n&metadata=x", "metadata", None),
        ("name=n&metadata[k][l]=x", "metadata[k]", None),
        ("name=n&when=soon", "when", "parameter_invalid_integer"),
        ("name=n&when[after]=1", "when[after]", "parameter_unknown"),
        ("name=n&gone=1", "gone", "not_played_here"),
        ("name=n&metadata[" + "k" * 41 + "]=x", "metadata[" + "k" * 41 + "]", None),
        ("name=n&metadata[k]=" + "v" * 501, "metadata[k]", None),
        ("name=n&" + "&".join(f"metadata[k{i}]=v" for i in range(51)), "metadata", None),
        ("name=" + "n" * 5001, "name", "value_too_long"),
    ],
)
def test_what_does_not_fit_is_named(form: str, param: str, code: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        check_parts(decode_form(form), SHAPE)
    assert refused.value.body()["error"]["param"] == param
    assert refused.value.code == code
    assert not refused.value.kept
