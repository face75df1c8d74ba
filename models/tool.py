"""A paid tool as its creator lists it."""

from tortoise import fields
from tortoise.models import Model


class Tool(Model):
    """The listing now; what a call cost then stands on its charge."""

    id = fields.CharField(max_length=100, primary_key=True)
    creator_id = fields.UUIDField()
    name = fields.CharField(max_length=100)
    kind = fields.CharField(max_length=16)
    price_micros: int = fields.BigIntField()
    active = fields.BooleanField()
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta(Model.Meta):
        table = "tool"
