"""What happened, told to others: Distribution's notifications, by a queue in the database."""
