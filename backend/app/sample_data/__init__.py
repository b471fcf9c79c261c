"""Sample data of plausible shape, the same for the same seed: `python -m app.sample_data --help`.

`words` is what it is made of, `plan` how many of what, `world` who applied where and when, `people` and
`work` the rows, `load` the way into the database.
"""
