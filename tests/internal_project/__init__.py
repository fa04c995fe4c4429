"""A second, minimal project, as another team would install krakendata."""
