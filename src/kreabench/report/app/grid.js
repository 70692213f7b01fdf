// The X/Y grid of pictures.
