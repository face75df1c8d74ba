"""Which key may go to which address, said without showing the key."""

import pytest

from gateway.stripe_service import StripeSettingsError, checked_secrets, open_stripe
from gateway.stripe_service.connection import API_VERSION, checked_base, mode_of_key


@pytest.mark.parametrize("key", ["sk_test_abc", "rk_test_a_b9"])
async def test_a_test_key_makes_a_test_mode_service(key: str) -> None:
    async with open_stripe(api_key=key, api_base="http://127.0.0.1:12111") as service:
        assert service.livemode is False


async def test_a_live_key_makes_a_live_mode_service() -> None:
    async with open_stripe(api_key="rk_live_abc") as service:
        assert service.livemode is True


@pytest.mark.parametrize(
    "key",
    [
        "",
        "pk_test_abc",
        "sk_test_",
        "sk_prod_abc",
        " sk_test_abc",
        "sk_test_abc\n",
        "sk_test_abc sk_test_def",
        "sk_test_äbc",
        "whsec_abc",
        "SK_TEST_ABC",
    ],
)
def test_what_is_no_secret_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(StripeSettingsError) as caught:
        mode_of_key(key)
    assert "sk_test_…" in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("base", [None, "https://api.stripe.com", "https://api.stripe.com/"])
def test_a_live_key_goes_to_stripe(base: str | None) -> None:
    assert checked_base(base, livemode=True) == "https://api.stripe.com"


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:12111",
        "http://api.stripe.com",
        "https://api.stripe.com.example.com",
        "https://x@api.stripe.com",
    ],
)
def test_a_live_key_goes_nowhere_else(base: str) -> None:
    with pytest.raises(StripeSettingsError, match="leave the API base unset"):
        checked_base(base, livemode=True)


@pytest.mark.parametrize("base", ["http://127.0.0.1:12111", "http://127.0.0.1:12111/", "http://[::1]:12111"])
def test_a_test_key_may_go_to_a_local_stripe(base: str) -> None:
    assert checked_base(base, livemode=False) == base.rstrip("/")


@pytest.mark.parametrize(
    "base",
    [
        "127.0.0.1:12111",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://127.0.0.1:12111/v1",
        "http://127.0.0.1:12111?x=1",
        "http://user:word@127.0.0.1:12111",
        "http://127.0.0.1 :12111",
        "http://127.0.0.1:12111\n",
        "http://[::1:12111",
    ],
)
def test_an_address_must_be_a_plain_origin(base: str) -> None:
    with pytest.raises(StripeSettingsError, match="scheme, host and port"):
        checked_base(base, livemode=False)


def test_secrets_are_freed_of_white_space() -> None:
    assert checked_secrets(["whsec_a\n", " whsec_b"]) == ("whsec_a", "whsec_b")


@pytest.mark.parametrize("secrets", [[], [""], ["  "], ["whsec_"], ["whsec_a", ""], ["sk_test_abc"], ["whsec_a b"]])
def test_unusable_secrets_are_refused_without_being_shown(secrets: list[str]) -> None:
    with pytest.raises(StripeSettingsError) as caught:
        checked_secrets(secrets)
    assert "abc" not in str(caught.value)


def test_the_pinned_version_is_the_sdks_own() -> None:
    """A new SDK comes with new types: this test fails first, and says to read Stripe's changelog."""
    import stripe

    assert stripe.api_version == API_VERSION
