"""Every knob of the gateway: read once, checked at once, and refused in whole sentences."""

from gateway.settings.model import (
    SANDBOX_API_KEY,
    SANDBOX_WEBHOOK_SECRETS,
    STRIPE_API_BASE,
    Environment,
    JobEngineName,
    Settings,
)
from gateway.settings.reading import SettingsError, load_settings, variable

__all__ = [
    "SANDBOX_API_KEY",
    "SANDBOX_WEBHOOK_SECRETS",
    "STRIPE_API_BASE",
    "Environment",
    "JobEngineName",
    "Settings",
    "SettingsError",
    "load_settings",
    "variable",
]
