"""What happened to a purchase or a customer: from our rows and Stripe's, in order, with one verdict."""

from gateway.services.explaining.explain import Explanation, explain
from gateway.services.explaining.owner import OwnerTimeline, owner_timeline
from gateway.services.explaining.target import Target, find_target

__all__ = ["Explanation", "OwnerTimeline", "Target", "explain", "find_target", "owner_timeline"]
