"""Connected accounts over the wire: what is asked, and what either generation's answers are read as."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.connecting import AccountsApi, AccountStatus, Capability, status_of
from gateway.domain.errors import ProviderMisconfigured, ProviderRejected, ProviderUnavailable
from gateway.stripe_service import LinkUse, StripeService
from tests.stripe.scripted import ScriptedStripe, refuses, says

Json = dict[str, Any]
META = {"gateway_customer": "ann", "gateway_account": "row-1"}


def account_v1(**changes: object) -> Json:
    return {
        "id": "acct_1",
        "object": "account",
        "country": "DE",
        "capabilities": {"transfers": "active"},
        "details_submitted": True,
        "payouts_enabled": True,
        "requirements": {
            "currently_due": [],
            "disabled_reason": None,
            "past_due": [],
            "pending_verification": [],
        },
        "metadata": META,
        **changes,
    }


def needs_v1(reason: str | None = None, **lists: list[str]) -> Json:
    return {"disabled_reason": reason, "currently_due": [], "past_due": [], "pending_verification": [], **lists}


def capability_v2(status: str, *codes: str) -> Json:
    return {"status": status, "status_details": [{"code": code, "resolution": "provide_info"} for code in codes]}


def entry_v2(name: str, *, awaits: str = "user", deadline: str = "past_due", why: str = "routine_onboarding") -> Json:
    return {
        "awaiting_action_from": awaits,
        "description": name,
        "minimum_deadline": {"status": deadline},
        "requested_reasons": [{"code": why}],
    }


def account_v2(
    transfers: Json | None, payouts: Json | None, entries: list[Json] | None = None, **changes: object
) -> Json:
    balance = {"stripe_transfers": transfers, "payouts": payouts}
    return {
        "id": "acct_2",
        "object": "v2.core.account",
        "closed": False,
        "configuration": {"recipient": {"capabilities": {"stripe_balance": balance}}},
        "identity": {"country": "de"},
        "livemode": False,
        "metadata": META,
        "requirements": {"entries": entries or []},
        **changes,
    }


ACTIVE, RESTRICTED = capability_v2("active"), capability_v2("restricted", "requirements_past_due")
OFF = {"capabilities": {"transfers": "inactive"}, "payouts_enabled": False}
FRESH = {**OFF, "details_submitted": False}


@pytest.mark.parametrize(
    ("api", "answer", "status"),
    [
        pytest.param(AccountsApi.V1, account_v1(), AccountStatus.READY, id="v1 ready"),
        pytest.param(
            AccountsApi.V1,
            account_v1(**FRESH, requirements=needs_v1("requirements.past_due", past_due=["external_account"])),
            AccountStatus.ONBOARDING,
            id="v1 fresh",
        ),
        pytest.param(
            AccountsApi.V1,
            account_v1(**{**FRESH, "capabilities": {}}, requirements=None),
            AccountStatus.ONBOARDING,
            id="v1 says next to nothing",
        ),
        pytest.param(
            AccountsApi.V1,
            account_v1(**OFF, requirements=needs_v1("requirements.past_due", past_due=["document"])),
            AccountStatus.RESTRICTED,
            id="v1 overdue",
        ),
        pytest.param(
            AccountsApi.V1,
            account_v1(**OFF, requirements=needs_v1("requirements.pending_verification", pending_verification=["id"])),
            AccountStatus.UNDER_REVIEW,
            id="v1 verification",
        ),
        pytest.param(
            AccountsApi.V1,
            account_v1(payouts_enabled=False, requirements=needs_v1(past_due=["external_account"])),
            AccountStatus.RESTRICTED,
            id="v1 bank failed",
        ),
        pytest.param(
            AccountsApi.V1,
            account_v1(**OFF, requirements=needs_v1("rejected.fraud")),
            AccountStatus.RESTRICTED,
            id="v1 rejected",
        ),
        pytest.param(
            AccountsApi.V1,
            account_v1(**OFF, requirements=needs_v1("under_review")),
            AccountStatus.UNDER_REVIEW,
            id="v1 under review",
        ),
        pytest.param(AccountsApi.V2, account_v2(ACTIVE, ACTIVE), AccountStatus.READY, id="v2 ready"),
        pytest.param(AccountsApi.V2, account_v2(ACTIVE, None), AccountStatus.READY, id="v2 silent about payouts"),
        pytest.param(
            AccountsApi.V2,
            account_v2(ACTIVE, ACTIVE, [entry_v2("tax_id", deadline="eventually_due")]),
            AccountStatus.READY,
            id="v2 something is due one day",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(RESTRICTED, RESTRICTED, [entry_v2("bank")]),
            AccountStatus.ONBOARDING,
            id="v2 fresh",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(RESTRICTED, RESTRICTED, [entry_v2("document", why="routine_verification")]),
            AccountStatus.RESTRICTED,
            id="v2 overdue",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(ACTIVE, RESTRICTED, [entry_v2("bank", why="routine_verification")]),
            AccountStatus.RESTRICTED,
            id="v2 bank failed",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(
                capability_v2("pending", "requirements_pending_verification"),
                capability_v2("pending", "determining_status"),
                [entry_v2("document", awaits="stripe", deadline="currently_due")],
            ),
            AccountStatus.UNDER_REVIEW,
            id="v2 verification",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(capability_v2("rejected", "rejected_listed"), RESTRICTED),
            AccountStatus.RESTRICTED,
            id="v2 rejected",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(capability_v2("unsupported", "unsupported_country"), None),
            AccountStatus.RESTRICTED,
            id="v2 unsupported",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(ACTIVE, ACTIVE, closed=True),
            AccountStatus.CLOSED,
            id="v2 closed",
        ),
        pytest.param(
            AccountsApi.V2,
            account_v2(None, None, configuration=None, requirements=None, identity=None),
            AccountStatus.RESTRICTED,
            id="v2 without the parts that were asked for",
        ),
    ],
)
async def test_an_account_is_read_the_same_from_both_generations(
    script: ScriptedStripe, service: StripeService, api: AccountsApi, answer: Json, status: AccountStatus
) -> None:
    script.will(says(answer))

    found = await service.accounts(api).retrieve(str(answer["id"]))

    assert found is not None
    assert status_of(found.facts) is status
    assert (found.stripe_account_id, found.customer_id, found.account_row_id) == (answer["id"], "ann", "row-1")
    assert found.country in {"DE", None}


async def test_what_is_due_is_told_apart(script: ScriptedStripe, service: StripeService) -> None:
    needs = needs_v1(currently_due=["a", "b"], past_due=["b"], pending_verification=["c"])
    script.will(says(account_v1(requirements=needs)))
    entries = [
        entry_v2("a", deadline="currently_due"),
        entry_v2("b"),
        entry_v2("c", awaits="stripe"),
        entry_v2("d", deadline="eventually_due"),
    ]
    script.will(says(account_v2(ACTIVE, ACTIVE, entries)))

    older = await service.accounts(AccountsApi.V1).retrieve("acct_1")
    newer = await service.accounts(AccountsApi.V2).retrieve("acct_2")

    for found in (older, newer):
        assert found is not None
        assert (found.facts.due, found.facts.past_due, found.facts.pending_verification) == (("a",), ("b",), ("c",))
        assert found.facts.transfers is Capability.ACTIVE


async def test_v2_is_asked_for_the_parts_it_leaves_out_by_itself(
    script: ScriptedStripe, service: StripeService
) -> None:
    script.will(says(account_v2(ACTIVE, ACTIVE)))

    await service.accounts(AccountsApi.V2).retrieve("acct_2")

    assert (script.last.method, script.last.path) == ("GET", "/v2/core/accounts/acct_2")
    assert set(script.last.params.values()) == {"configuration.recipient", "identity", "requirements"}


async def test_an_account_that_left_is_none_and_a_wrong_key_is_not(
    script: ScriptedStripe, service: StripeService
) -> None:
    for api in AccountsApi:
        script.will(refuses(403, code="account_invalid"))
        assert await service.accounts(api).retrieve("acct_1") is None
        script.will(refuses(404, code="not_found"))
        assert await service.accounts(api).retrieve("acct_1") is None
        script.will(refuses(401))
        with pytest.raises(ProviderMisconfigured):
            await service.accounts(api).retrieve("acct_1")
        script.will(refuses(403, code="more_permissions_required"))
        with pytest.raises(ProviderMisconfigured):
            await service.accounts(api).retrieve("acct_1")


@pytest.mark.parametrize(
    ("api", "breakage"),
    [
        (AccountsApi.V1, {"object": "customer"}),
        (AccountsApi.V1, {"payouts_enabled": "yes"}),
        (AccountsApi.V1, {"details_submitted": None}),
        (AccountsApi.V1, {"id": 1}),
        (AccountsApi.V2, {"object": "account"}),
        (AccountsApi.V2, {"requirements": {"entries": [{"description": "x"}]}}),
        (AccountsApi.V2, {"requirements": {"entries": {}}}),
    ],
)
async def test_an_answer_that_is_no_account_is_no_answer(
    script: ScriptedStripe, service: StripeService, api: AccountsApi, breakage: Json
) -> None:
    whole = account_v1() if api is AccountsApi.V1 else account_v2(ACTIVE, ACTIVE)
    script.will(says({**whole, **breakage}))

    with pytest.raises(ProviderUnavailable):
        await service.accounts(api).retrieve("acct_1")


async def test_a_refused_parameter_is_named(script: ScriptedStripe, service: StripeService) -> None:
    error = {"type": "invalid_request_error", "param": "country", "code": "country_unsupported"}
    script.will(says({"error": error}, status=400))

    with pytest.raises(ProviderRejected) as caught:
        await service.accounts(AccountsApi.V1).create(
            customer_id="ann", account_row_id="row-1", country="KP", idempotency_key="account:row-1:1"
        )

    assert (caught.value.provider_param, caught.value.provider_code) == ("country", "country_unsupported")


async def test_a_v2_link_for_changes_ends_when_stripe_says(script: ScriptedStripe, service: StripeService) -> None:
    script.will(
        says(
            {
                "object": "v2.core.account_link",
                "url": "https://connect.stripe.test/u",
                "expires_at": "2026-12-01T10:00:00.000Z",
            }
        )
    )

    link = await service.accounts(AccountsApi.V2).link(
        stripe_account_id="acct_2",
        use=LinkUse.UPDATE,
        return_url="https://a/",
        refresh_url="https://b/",
        idempotency_key="k",
    )

    assert link.url == "https://connect.stripe.test/u"
    assert link.expires_at == datetime(2026, 12, 1, 10, tzinfo=UTC)
    assert link.url not in repr(link)
    assert len(script.asked) == 1


async def test_an_onboarding_link_that_is_refused_is_not_replaced_by_the_dashboard(
    script: ScriptedStripe, service: StripeService
) -> None:
    script.will(refuses(400, code="invalid_request"))

    with pytest.raises(ProviderRejected):
        await service.accounts(AccountsApi.V2).link(
            stripe_account_id="acct_2",
            use=LinkUse.ONBOARD,
            return_url="https://a/",
            refresh_url="https://b/",
            idempotency_key="k",
        )

    assert len(script.asked) == 1


@pytest.mark.parametrize("moment", ["soon", "2026-12-01T10:00:00", ""])
async def test_a_time_that_is_none_is_no_answer(script: ScriptedStripe, service: StripeService, moment: str) -> None:
    script.will(says({"object": "v2.core.account_link", "url": "https://x.test/", "expires_at": moment}))

    with pytest.raises(ProviderUnavailable):
        await service.accounts(AccountsApi.V2).link(
            stripe_account_id="acct_2",
            use=LinkUse.ONBOARD,
            return_url="https://a/",
            refresh_url="https://b/",
            idempotency_key="k",
        )
