"""What an update costs, measured on random images: ``dusa-ignite bench``."""
