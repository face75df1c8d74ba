"""What a verdict means and what helps: for an operator, and in fewer words for the customer whose purchase it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.domain.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Words:
    """`action` may name `{about}` (the id to use in a command) and `{event}` (the event in trouble)."""

    message: str
    action: str | None = None


_SYNC: Final = "gateway sync checkout {about}"
_CLOSED: Final = (
    "The payment page is closed: it was not used in time, or another purchase replaced it; nothing was taken."
)

OPERATOR_WORDS: Final[Mapping[Verdict, Words]] = {
    Verdict.PAID_AND_APPLIED: Words("Paid at Stripe and handed over here, once."),
    Verdict.PARTLY_REFUNDED: Words("Paid and handed over; a part went back to the card and out of the wallet."),
    Verdict.REFUNDED: Words("Paid and handed over; all of it went back to the card and out of the wallet."),
    Verdict.DISPUTED: Words(
        "The customer's bank contests the payment; what it withdrew is out of the wallet.",
        "Answer the dispute in Stripe's dashboard.",
    ),
    Verdict.DISPUTE_LOST: Words("The payment was contested and the bank kept it."),
    Verdict.WAITING_FOR_PAYMENT: Words("The payment page is open and nobody has paid on it."),
    Verdict.BANK_WORKING: Words("The page is completed and a bank is working on the payment; that can take days."),
    Verdict.EXPIRED: Words(
        "The payment page was not used in time, was replaced by another purchase, or was never made; nothing was taken."
    ),
    Verdict.FAILED: Words("The bank did not make the payment; nothing was taken."),
    Verdict.BEING_MADE: Words("The payment page was asked for and is not known yet; nothing can have been paid on it."),
    Verdict.REFUSED_BY_STRIPE: Words("Stripe would not make the payment page; nothing was taken."),
    Verdict.NO_PURCHASE: Words("This customer has never begun a purchase."),
    Verdict.EVENT_APPLIED: Words("The event is applied."),
    Verdict.EVENT_IGNORED: Words("The event is kept and was not to be applied."),
    Verdict.PAID_NOT_APPLIED: Words(
        "Paid at Stripe, and not handed over here although an event about it was applied.", _SYNC
    ),
    Verdict.EVENT_WAITING: Words("Its event is stored and not applied yet; a worker does that within seconds.", _SYNC),
    Verdict.EVENT_DEAD: Words("Its event was given up after too many tries.", "gateway events replay {event}"),
    Verdict.EVENT_NEVER_ARRIVED: Words("Paid at Stripe, and Stripe's event never arrived here.", _SYNC),
    Verdict.REFUND_NOT_APPLIED: Words("What Stripe says was refunded is not what the wallet gave back.", _SYNC),
    Verdict.DISPUTE_NOT_APPLIED: Words(
        "The customer's bank contests the payment, and how that stands at Stripe is not booked here.", _SYNC
    ),
    Verdict.PLAN_BEHIND: Words("The plan here is not what Stripe says now.", "gateway sync customer {about}"),
    Verdict.MISMATCH: Words(
        "Stripe's session is not the one our row asked for, so nothing is handed over.",
        "Compare the session in Stripe's dashboard with the row; refund it there if it was paid.",
    ),
    Verdict.PAGE_LOST: Words(
        "Stripe does not know the page it made for us.",
        "Check that GATEWAY_STRIPE_API_KEY is still of the same account and mode.",
    ),
    Verdict.BOOKS_WRONG: Words("Settled here, and the wallet has no entry for it.", "gateway books"),
    Verdict.STRIPE_UNREACHABLE: Words("Stripe gave no answer, so this is what our own rows say.", "Ask again later."),
    Verdict.WRONG_MODE: Words(
        "The id is of Stripe's other mode (test or live) than our key.",
        "Ask the gateway that has the other key.",
    ),
    Verdict.NOT_OURS: Words("Stripe knows it, and this gateway did not make it."),
    Verdict.UNKNOWN: Words(
        "Neither our rows nor Stripe show a purchase, a customer or an event of ours under it.",
        "Check that the whole id was copied.",
    ),
}

_ON_ITS_WAY: Final = Words(
    "The payment has arrived and is being applied.",
    "Open the page you came back to after paying once more; that applies it at once.",
)
_BANK_CONTESTS: Final = Words("Your bank contests this payment.", "Contact your bank if this is a mistake.")
_SUPPORT: Final = Words(
    "Something about this payment has to be looked at by us.", "Contact support and name this session."
)

#: What the owner of a session is told; verdicts that a session of its owner cannot have are not here.
OWNER_WORDS: Final[Mapping[Verdict, Words]] = {
    Verdict.PAID_AND_APPLIED: Words("The payment has arrived and what it bought is yours."),
    Verdict.PARTLY_REFUNDED: Words("A part of the payment went back to you."),
    Verdict.REFUNDED: Words("The payment went back to you."),
    Verdict.DISPUTED: _BANK_CONTESTS,
    Verdict.DISPUTE_LOST: Words("Your bank contested this payment and took it back."),
    Verdict.WAITING_FOR_PAYMENT: Words(
        "Nothing has been paid yet; the payment page is still open.", "Finish the payment page, or start again."
    ),
    Verdict.BANK_WORKING: Words("The payment is on its way through the bank; that can take some days."),
    Verdict.EXPIRED: Words(_CLOSED, "Start again."),
    Verdict.FAILED: Words("The bank did not make the payment; nothing was taken.", "Start again to try another way."),
    Verdict.PAID_NOT_APPLIED: _ON_ITS_WAY,
    Verdict.EVENT_WAITING: _ON_ITS_WAY,
    Verdict.EVENT_DEAD: _ON_ITS_WAY,
    Verdict.EVENT_NEVER_ARRIVED: _ON_ITS_WAY,
    Verdict.REFUND_NOT_APPLIED: Words("A refund of this payment is being applied."),
    Verdict.DISPUTE_NOT_APPLIED: _BANK_CONTESTS,
    Verdict.PLAN_BEHIND: Words("A change of your subscription is being applied."),
    Verdict.MISMATCH: _SUPPORT,
    Verdict.PAGE_LOST: _SUPPORT,
    Verdict.BOOKS_WRONG: _SUPPORT,
    Verdict.WRONG_MODE: _SUPPORT,
    Verdict.STRIPE_UNREACHABLE: Words(
        "The payment provider did not answer, so the payment could not be looked up.", "Ask again in a minute."
    ),
}
