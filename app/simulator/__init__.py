"""A simulated house: its physics (pure), and its devices served over their real protocols."""
