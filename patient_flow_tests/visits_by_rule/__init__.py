"""The rules F1-F20 of visits in plain Python: lists, dictionaries and loops, and no code of the package.

A second reading of the rules, written without knowledge of the fold. It is slow and obvious: every visit is folded
whole, each rule is named where it is applied. :mod:`.events` orders, merges and cancels; :mod:`.snapshots` decides
which snapshots place; :mod:`.timeline` makes the stays of one visit; :mod:`.attendances` decides on the emergency
department; :mod:`.admissions` on the wards; :mod:`.counting` on confirmed hours, census and staffed hours;
:mod:`.clusters` joins the visits of all patients; :mod:`.generator` makes random feeds.
"""
