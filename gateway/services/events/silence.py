"""Which workers have died over what they hold, told without comparing the clocks of two machines."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.domain.clock import CLOCKS_DIFFER_MAX
from gateway.services.events.inbox import LEASE_SECONDS, HeldEvent


@dataclass(frozen=True, slots=True)
class _Sighting:
    held: HeldEvent
    first_seen_at: datetime


class SilenceWatch:
    """Remembers since when each held event has shown no sign of life.

    The lease in the row is written by the holder's clock, so it is not read as a time of ours: as long as it changes
    the holder lives. One that stands still for `LEASE_SECONDS` of our own clock is silent. Only a lease that is over
    by more than clocks may differ is silent at first sight.
    """

    def __init__(self) -> None:
        self._sightings: dict[str, _Sighting] = {}

    def silent(self, held: Iterable[HeldEvent], *, now: datetime) -> list[HeldEvent]:
        """Those of the events held now whose holders have gone silent."""
        before, self._sightings = self._sightings, {}
        found: list[HeldEvent] = []
        for event in held:
            sighting = before.get(event.event_id)
            if sighting is None or sighting.held != event or sighting.first_seen_at > now:
                sighting = _Sighting(event, now)
            self._sightings[event.event_id] = sighting
            stood_still = now - sighting.first_seen_at >= timedelta(seconds=LEASE_SECONDS)
            if stood_still or now - event.lease_until > CLOCKS_DIFFER_MAX:
                found.append(event)
        return found
