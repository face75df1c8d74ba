"""What a customer holds, kept as Stripe says of all its subscriptions."""
