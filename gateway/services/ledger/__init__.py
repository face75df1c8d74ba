"""The double-entry ledger: append balanced entries, read balances, audit the books (docs/ledger.md)."""

from gateway.services.ledger.books import FAULTS_MAX, POSTINGS_AT_ONCE_MAX, ledger_walks, verify_books
from gateway.services.ledger.plan import Outcome
from gateway.services.ledger.reading import PostingRow, Reader, balance, postings_page
from gateway.services.ledger.record import BATCH_ENTRIES_MAX, record, record_many
from gateway.services.ledger.walking import Fault, Step, Walk

__all__ = [
    "BATCH_ENTRIES_MAX",
    "FAULTS_MAX",
    "POSTINGS_AT_ONCE_MAX",
    "Fault",
    "Outcome",
    "PostingRow",
    "Reader",
    "Step",
    "Walk",
    "balance",
    "ledger_walks",
    "postings_page",
    "record",
    "record_many",
    "verify_books",
]
