"""Parts of objects that Stripe always sends and that mostly hold nothing."""

from gateway.sandbox.refusals import Json


def nulls(names: str) -> Json:
    """Each of the space-separated names with None, as Stripe sends fields that hold nothing."""
    return dict.fromkeys(names.split())


def list_of(rows: list[Json], *, url: str, has_more: bool = False) -> Json:
    """Stripe's list object around `rows`."""
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}


def merged_metadata(present: Json, sent: Json | str) -> Json:
    """Metadata after an update: key by key, an empty value removes its key, and '' removes them all."""
    if isinstance(sent, str):
        return {}
    kept = {key: value for key, value in present.items() if key not in sent}
    return {**kept, **{key: value for key, value in sent.items() if value != ""}}


def or_none(value: str | None) -> str | None:
    """An empty text unsets."""
    return value or None
