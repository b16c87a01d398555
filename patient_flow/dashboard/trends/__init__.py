"""The page "Over time": any range of dates, from the daily table.

Sums, counts and ratios are exact for any range; percentiles and mean lengths are computed per calendar month from the
facts. Control charts show the measures over closed days, weeks or months.
"""
