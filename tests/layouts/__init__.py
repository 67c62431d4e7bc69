"""Small data in the layouts of the real data sets, for any test: ``from layouts import slakh``.

Written from the documented layouts, traps included: flags that lie, stems without a file, gaps in
the numbering, ragged tables, archives whose first member is a folder. All is made by a seeded
generator, so two calls with equal arguments write equal files. Every function that writes says what
it wrote, so that a test knows the truth without reading it back.
"""
