"""What is drawn for people: grids with names, plots, animations."""
