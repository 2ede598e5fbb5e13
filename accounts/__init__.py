"""Users, teams and rights."""
