"""Draws the document's figures with matplotlib and Pillow, without pyplot's global state."""
