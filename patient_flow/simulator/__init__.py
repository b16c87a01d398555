"""A hospital network that lives its days and sends its events to the Event Hub that the settings name.

``departments`` reads the reference list; ``demand`` and ``population`` say who comes when and for how long;
``hospital`` is the discrete-event simulation; ``events`` and ``dirt`` turn its happenings into bodies, good and bad;
``feed`` joins these into one stream; ``sending`` delivers it while ``progress`` shows how far it is; ``run`` is what
the command line calls. From ``demand`` to ``feed`` everything is pure: no clock, no input or output.
"""
