"""Accepted events → stays and attendances: the rules F1-F17 of flow.md, pure, over frames.

The unit is a **cluster**: visits that share a patient (after merges) or a number. Almost always it is the visits of one
patient. Whoever folds gives whole clusters (:mod:`.clusters` finds them), so each cluster can be folded by itself.

* Per patient: which number survives a merge (F3, :mod:`.merges`); which visit answers an attendance under another
  number (F15, :mod:`.attendances`); until when an open stay counts when the patient is elsewhere (F17,
  :mod:`.confirmations`); which visit numbers are ambiguous (F2, :mod:`.numbers`).
* Per visit: order (F1, ``transforms.order``), what cancels undo (F1, F12, :mod:`.cancels`), what snapshots state (F7,
  F9, :mod:`.snapshots`), the timeline of placements and ends (F4-F6, F8, F10, F11, :mod:`.timeline`), stays with their
  kind and times (F6, F13, :mod:`.stays`), the attendance (F14, F15), admissions, waits and lengths (F16, :mod:`.rows`).
* Per department and hour (outside this package): the census counts the hours that :mod:`.confirmations` covers.

An event touches the facts of its visit's cluster, and these the hours that changed stays cover.

Order, flags and lengths are computed on frames. The timeline of a visit is a loop in Python, because most rules depend
on the state that earlier events left; plain visits, which are most, are folded as columns beside it (:mod:`.plain`).
"""
