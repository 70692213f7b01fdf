// Pairs of pictures in which a setting lost most.
