"""What the course says of itself: its outline, the ledger of the paper's equations, and what is missing here."""
