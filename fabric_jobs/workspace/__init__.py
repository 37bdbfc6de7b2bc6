"""An author's directory: its skills and agents, and what is wrong with them."""
