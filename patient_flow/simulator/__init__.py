"""A simulated hospital network that sends its events to the configured Event Hub.

``departments`` reads the reference list; ``demand`` and ``population`` draw arrivals and patients; ``agenda`` is the
event queue, ``units`` are the beds, ``register`` records visits and events; ``emergency``, ``inpatient``,
``updates``, ``discharges`` and ``hospital`` are the discrete-event simulation; ``events`` and
``corruption`` make correct and corrupted bodies; ``feed`` joins these into one stream; ``sending`` delivers it,
``journal`` records how far, ``progress`` reports it; ``run`` is the entry point of the command line. From ``demand`` to
``feed`` everything is pure: no clock, no input or output.
"""
