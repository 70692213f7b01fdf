// Filters: one list of boxes for each axis along which settings differ.
