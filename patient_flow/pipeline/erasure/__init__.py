"""Erasure of a person from lake and warehouse (contract, section 7).

It works alone on the lake. First the person's numbers are remembered, then their bodies leave bronze, in one commit.
From there the steps of a micro-batch carry the change on, as they carry every other: silver gives the events up, the
parts enter ``silver/erased``, and gold and warehouse lose what was made of them. Last goes the history of every table.
Killed anywhere, the same command goes on: ``ErasedNumbers`` states what was found, and that it has not finished.
"""
