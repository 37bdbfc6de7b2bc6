"""Making files from templates: which there are, what they render to, writing it without harm."""
