// Heat maps over two axes: tables whose cells are coloured.
