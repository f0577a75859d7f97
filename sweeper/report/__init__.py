"""Tables, figures and texts made of records."""
