"""One job: work that is promised in the transaction of the rows it is about, and done at least once."""

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model


class JobState(StrEnum):
    """waiting -> doing -> done, back to waiting to be done later, `dead` when it is given up."""

    WAITING = "waiting"
    DOING = "doing"
    DONE = "done"
    DEAD = "dead"


class Job(Model):
    """A job and its fence. Its row stays for ever: (kind, key) names a thing that is done once."""

    id = fields.UUIDField(primary_key=True)
    kind = fields.CharField(max_length=100)
    key = fields.CharField(max_length=255)
    args = fields.TextField()
    state = fields.CharField(max_length=16)
    due_at = fields.DatetimeField()
    lease_until = fields.DatetimeField(null=True)
    token: int = fields.BigIntField()
    woken = fields.BooleanField()
    attempts = fields.IntField()
    reclaims = fields.IntField()
    failing_since = fields.DatetimeField(null=True)
    reason: str | None = fields.TextField(null=True)
    created_at = fields.DatetimeField()
    done_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        table = "job"
        unique_together = (("kind", "key"),)
