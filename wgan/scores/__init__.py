"""How good generated images and lines are."""
