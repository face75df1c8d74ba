"""The ledger once more, as plainly as it can be said: dictionaries, one entry after the other, no database."""

from dataclasses import dataclass, field
from uuid import UUID

from gateway.domain.ledger import Account, EntryDraft


@dataclass
class ModelBooks:
    """`apply` says what must happen: "recorded", "replayed", "conflict" or "floor"."""

    balances: dict[Account, int] = field(default_factory=dict[Account, int])
    postings: dict[Account, int] = field(default_factory=dict[Account, int])
    contents: dict[str, object] = field(default_factory=dict[str, object])
    answers: dict[str, dict[Account, int]] = field(default_factory=dict[str, dict[Account, int]])
    reversed: set[UUID] = field(default_factory=set[UUID])

    def apply(self, draft: EntryDraft) -> str:
        content = (draft.kind, draft.ref, draft.reverses, frozenset(draft.lines))
        if draft.idem in self.contents:
            return "replayed" if self.contents[draft.idem] == content else "conflict"
        if draft.reverses in self.reversed:
            return "conflict"
        after = {line.account: self.balances.get(line.account, 0) + line.amount_micros for line in draft.lines}
        if any(
            line.account.floor_at_zero and line.amount_micros < 0 and after[line.account] < 0 for line in draft.lines
        ):
            return "floor"
        self.balances.update(after)
        for account in after:
            self.postings[account] = self.postings.get(account, 0) + 1
        self.contents[draft.idem] = content
        self.answers[draft.idem] = {account: micros for account, micros in after.items() if account.cached}
        if draft.reverses is not None:
            self.reversed.add(draft.reverses)
        return "recorded"

    def copy(self) -> "ModelBooks":
        return ModelBooks(
            dict(self.balances), dict(self.postings), dict(self.contents), dict(self.answers), set(self.reversed)
        )
