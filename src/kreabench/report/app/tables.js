// Tables of the page: sorted and filtered.
