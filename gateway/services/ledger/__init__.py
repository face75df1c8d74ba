"""The double-entry ledger: append balanced entries, read balances, audit the books (docs/ledger.md)."""

from gateway.services.ledger.books import FAULTS_MAX, Fault, verify_books
from gateway.services.ledger.plan import Outcome
from gateway.services.ledger.reading import PostingRow, Reader, balance, postings_page
from gateway.services.ledger.record import BATCH_ENTRIES_MAX, record, record_many

__all__ = [
    "BATCH_ENTRIES_MAX",
    "FAULTS_MAX",
    "Fault",
    "Outcome",
    "PostingRow",
    "Reader",
    "balance",
    "postings_page",
    "record",
    "record_many",
    "verify_books",
]
