"""How accurately a pump delivered, from the record of a balance.

The method is that of IEC 60601-2-24: start-up curve, trumpet curve and mean error. Import from
the modules: ``record`` (reading a file), ``method`` (intervals, windows, periods), ``iec`` (the
computation), ``bands`` (several records of one condition), ``bolus`` (the bolus series) and
``plots`` (figures). This package itself imports nothing, so that a command line without numpy
can still print its help.
"""
