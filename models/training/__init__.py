"""What every model family shares; it knows no family and no physics."""
