"""The Power BI project (PBIP), written from the contracts: semantic model as TMDL, report as PBIR.

``project`` is the door: :func:`project.files` and :func:`project.write`. ``tables``, ``relationships``, ``measures``
and ``roles`` say what the model is, ``model`` writes it down; ``report`` says what stands on the pages, ``visuals``
writes that down. Not here: reading data. Whoever opens the project connects it to the warehouse by parameters.
"""
