"""What is bought on Stripe's pages, plans and deposits, and the one function that settles either."""
