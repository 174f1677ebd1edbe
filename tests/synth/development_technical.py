"""Passages that explain how something works, which the gate's rules and thresholds were made with."""

from fidelity_passage import Passage

DEVELOPMENT_TECHNICAL = (
    Passage(
        "pump",
        "technical",
        """Install the pump on a level surface at least 30 cm from the wall. First, close the inlet valve and
        disconnect the power supply. Then attach the hose with the two clamps supplied; do not use any other clamps.
        Before starting the motor, fill the housing with 1.5 litres of oil. The motor draws 3.2 kW at 230 V and must
        not run dry for more than 20 seconds. The controller, model PX-40, runs firmware 2.4.1 and reads the pressure
        every 500 ms. If the pressure exceeds 8 bar, the controller stops the motor and opens the relief valve. Never
        open the cover while the motor is running. The filter must be replaced every 400 hours; the belt may be
        replaced at the same time. Operating temperatures range from -10 °C to 45 °C.""",
        (
            """The pump must be mounted on a level surface, 30 centimetres or more from the wall. First shut the inlet
            valve and unplug the power supply. Next, fix the hose using the two clamps that come with it, and don't
            use any others. Fill the housing with 1.5 l of oil before the motor is started. The motor, which needs 3.2
            kilowatts at 230 volts, must not be run dry for longer than 20 s. The PX-40 controller (firmware 2.4.1)
            measures the pressure every 500 milliseconds. When the pressure is over 8 bar, it stops the motor and
            opens the relief valve. Never open the cover when the motor is running. It is mandatory to replace the
            filter every 400 hours, and the belt may be replaced along with it. The operating temperature lies between
            minus 10 and 45 degrees Celsius.""",
            """Choose a level place for the pump, no closer than 30 cm to the wall. To begin with, the inlet valve has
            to be closed and the power supply disconnected; the hose is then attached, for which only the two supplied
            clamps are suitable. The housing needs 1.5 litres of oil before the motor is switched on for the first
            time. Rated at 3.2 kW and 230 V, the motor can't be left to run dry for over 20 seconds. Pressure readings
            are taken each 500 ms by the PX-40 controller, whose firmware has version 2.4.1. Above 8 bar it halts the
            motor, and the relief valve is opened. The cover is never to be opened with the motor running. Every 400
            hours a new filter is required, and on that occasion the belt may be changed too. The unit works from -10
            °C up to 45 °C.""",
        ),
        corruptions=(
            ("number off by one", "230", "231"),
            ("number changed", "2.4.1", "2.4.2"),
            ("number changed", "PX-40", "PX-50"),
            ("unit changed", "500 ms", "500 s"),
            ("unit changed", "8 bar", "8 psi"),
            ("unit changed", "3.2 kW", "3.2 MW"),
            ("number changed", "1.5", "5.1"),
            ("number changed", "-10 °C", "10 °C"),
            ("number changed", "minus 10", "10"),
            ("negated", "do not use any other", "use any other"),
            ("negated", "must not run dry", "must run dry"),
            ("negated", "Never open the cover", "Always open the cover"),
            ("negated", "is never to be opened", "is to be opened"),
            ("quantifier changed", "filter must be replaced", "filter may be replaced"),
            ("quantifier changed", "It is mandatory to replace the filter", "It is optional to replace the filter"),
            ("antonym", "closed and", "opened and"),
            ("antonym", "close the inlet", "open the inlet"),
            ("events reordered", "Before starting the motor", "After starting the motor"),
            ("events reordered", "before the motor is started", "after the motor is started"),
            ("events reordered", "before the motor is switched on", "after the motor is switched on"),
            (
                "events reordered",
                """First, close the inlet valve and disconnect the power supply. Then attach the hose with the two
                clamps supplied;""",
                """First, attach the hose with the two clamps supplied. Then close the inlet valve and disconnect the
                power supply;""",
            ),
            ("number swapped", "400 hours", "500 hours"),
            ("quantifier changed", "at least 30 cm", "at most 30 cm"),
        ),
    ),
    Passage(
        "protocol",
        "technical",
        """The Relay protocol transfers files between a client and a server over TCP port 7431. The client opens the
        connection and sends a HELLO message, which must contain the protocol version. The server replies with READY
        or, if the version is not supported, with ERROR 12. Each file is divided into blocks of 64 KiB, and each block
        is followed by a 32-bit checksum. If a checksum is wrong, the server requests the block again; after 5 failed
        attempts it closes the connection. Clients should compress text files but should not compress images.
        Passwords are never sent in clear text. Compared with version 1, version 2 reduces latency by 35% and doubles
        the maximum file size to 16 GB. Servers written for version 1 cannot read files that were encrypted by Relay
        2.""",
        (
            """Relay is a protocol by which a client and a server exchange files through TCP port 7431. After opening
            the connection, the client sends a HELLO message; the message must include the protocol version. The
            server's reply is READY, or ERROR 12 if it does not support the version. Files are split into 64 KiB
            blocks, every one of them followed by a checksum of 32 bits. When a checksum is incorrect, the server asks
            for the block again, and it closes the connection after five failed attempts. Text files should be
            compressed by clients, images should not. Passwords are never transmitted in clear text. Version 2 has a
            latency that is 35 percent lower than that of version 1, and its maximum file size is twice as large, 16
            GB. A server written for version 1 is unable to read files encrypted by Relay 2.""",
        ),
        corruptions=(
            ("number changed", "7431", "7413"),
            ("number changed", "ERROR 12", "ERROR 21"),
            ("unit changed", "64 KiB", "64 MiB"),
            ("unit changed", "16 GB", "16 TB"),
            ("number changed", "32-bit", "64-bit"),
            ("negated", "should not compress images", "should compress images"),
            ("negated", "are never sent", "are sent"),
            ("negated", "are never transmitted", "are always transmitted"),
            ("negated", "cannot read", "can read"),
            ("negated", "is unable to read", "is able to read"),
            ("negated", "is not supported", "is supported"),
            ("quantifier changed", "must contain", "may contain"),
            ("quantifier changed", "must include", "may include"),
            ("antonym", "reduces latency", "increases latency"),
            ("antonym", "35 percent lower", "35 percent higher"),
            ("number swapped", "after 5 failed", "after 12 failed"),
            ("roles swapped", "The client opens the connection", "The server opens the connection"),
            ("name replaced", "HELLO", "START"),
            (
                "number swapped",
                "Compared with version 1, version 2 reduces",
                "Compared with version 2, version 1 reduces",
            ),
        ),
    ),
    Passage(
        "compiler",
        "technical",
        """Version 4.2 of the Fern compiler adds incremental builds. When a file changes, the compiler checks which
        modules depend on it and rebuilds only those. In our tests a full build of 1,250 modules took 84 seconds,
        while an incremental build after a small change took 3.1 seconds. The cache is stored in the folder .fern and
        must not be shared between machines, because it holds absolute paths. By default the cache may use up to 2 GB;
        older entries are removed first. To enable the feature, set incremental to true and then run fern init.
        Incremental builds are not available on Windows, and they are always disabled in release mode. If the cache is
        damaged, the compiler prints warning W107 and performs a full build. The option --fast, which was deprecated
        in version 4.0, has been removed. Memory consumption increases by 12% on average.""",
        (
            """With version 4.2 the Fern compiler gains incremental builds. After a change to a file, it determines
            the modules that depend on that file and rebuilds just these. We measured 84 seconds for a full build of
            1,250 modules, against 3.1 seconds for an incremental one after a small change. The folder .fern holds the
            cache, which contains absolute paths and therefore must not be shared between machines. Unless configured
            otherwise, the cache can grow to at most 2 GB, and the oldest entries are removed first. The feature is
            enabled by setting incremental to true and running fern init afterwards. It isn't available on Windows and
            is always turned off in release mode. Should the cache be damaged, the compiler issues warning W107 and
            does a full build instead. Deprecated in version 4.0, the option --fast is now gone. On average, memory
            use goes up by 12 percent.""",
        ),
        corruptions=(
            ("number changed", "84 seconds", "48 seconds"),
            ("unit changed", "3.1 seconds", "3.1 minutes"),
            ("unit changed", "2 GB", "2 MB"),
            ("number times ten", "1,250", "125"),
            (
                "number swapped",
                "84 seconds, while an incremental build after a small change took 3.1 seconds",
                "3.1 seconds, while an incremental build after a small change took 84 seconds",
            ),
            (
                "number swapped",
                "84 seconds for a full build of 1,250 modules, against 3.1 seconds",
                "3.1 seconds for a full build of 1,250 modules, against 84 seconds",
            ),
            ("negated", "must not be shared", "must be shared"),
            ("negated", "are not available on", "are available on"),
            ("negated", "isn't available on", "is available on"),
            ("quantifier changed", "they are always disabled", "they are sometimes disabled"),
            ("antonym", "are always disabled", "are always enabled"),
            ("antonym", "consumption increases", "consumption decreases"),
            ("antonym", "memory use goes up", "memory use goes down"),
            ("number changed", "W107", "W170"),
            ("number changed", "Version 4.2", "Version 4.3"),
            ("name replaced", "Windows", "Linux"),
            ("antonym", "older entries", "newer entries"),
            ("antonym", "oldest entries", "newest entries"),
            ("invented", "By default", "A graphical dashboard shows colourful charts of every thread. By default"),
        ),
    ),
    Passage(
        "quicksort",
        "technical",
        """Quicksort chooses one element of the array, the pivot, and moves all smaller elements to its left and all
        larger ones to its right. It then sorts both parts in the same way until each part has at most one element.
        Tony Hoare invented it in 1959. On average it needs about 1.39 n log n comparisons, but it needs n squared of
        them in the worst case, for example when the first element is the pivot and the array is already sorted. A
        random pivot makes this case unlikely. Many libraries switch to insertion sort for parts with fewer than 16
        elements. Unlike merge sort, quicksort is not stable, and it needs no second array.""",
        (
            """In quicksort an element of the array is picked as the pivot; whatever is smaller is put to the left of
            it, whatever is larger to the right. The two parts are sorted likewise, until none has more than one
            element. The inventor, in 1959, was Tony Hoare. While about 1.39 n log n comparisons are needed on
            average, the worst case takes n squared. That happens if, say, the array is sorted beforehand and its
            first element serves as the pivot, and it becomes improbable if the pivot is random. For parts of less
            than 16 elements, many libraries use insertion sort instead. In contrast to merge sort, quicksort gets by
            without a second array, but it is not stable.""",
        ),
        rivals=(
            ("smaller", "larger"),
            ("merge sort", "quicksort"),
        ),
        strangers=(
            ("Hoare", "Knuth"),
            ("insertion sort", "bubble sort"),
        ),
    ),
    Passage(
        "diesel",
        "technical",
        """A diesel engine has no spark plugs. In the first stroke it draws in air, and in the second the piston
        compresses this air to between 1/14 and 1/22 of its volume, which heats it to more than 600 °C. Fuel is then
        injected at pressures of up to 2,500 bar and ignites by itself. The burning gas drives the piston down in the
        third stroke, and in the fourth the exhaust valve opens and the gas is pushed out. Because of the high
        compression, a diesel engine turns about 40 percent of the energy of its fuel into work, a petrol engine only
        about 30 percent. In cold weather glow plugs warm the air before the start.""",
        (
            """Spark plugs are not needed in a diesel engine. Air is sucked in during the first stroke. During the
            second it is squeezed by the piston to a volume 14 to 22 times smaller, whereby its temperature exceeds
            600 °C. Now fuel, under a pressure that may reach 2,500 bar, is injected, and it catches fire on its own.
            In the third stroke the gas, as it burns, pushes the piston downwards; in the fourth it is expelled
            through the open exhaust valve. A diesel engine converts some 40% of the energy in its fuel to work,
            compared with around 30% for a petrol engine, and the reason is its high compression. When it is cold
            outside, the air is warmed by glow plugs before the engine starts.""",
        ),
        rivals=(("diesel", "petrol"),),
        strangers=(
            ("exhaust", "intake"),
            ("petrol", "steam"),
        ),
    ),
    Passage(
        "garbage collector",
        "technical",
        """CPython counts the references to every object and frees an object as soon as its count falls to zero.
        Objects that refer to one another never reach zero, so a second collector looks for such cycles. It divides
        objects into three generations. A new object belongs to generation 0, which is examined when 700 more objects
        have been created than freed. Objects that survive are moved to the next generation, which is examined after
        ten collections of the younger one. Tuples that hold only numbers or strings are not tracked at all. The
        collector can be disabled with gc.disable, but reference counting cannot. Since version 3.4, objects with a
        finalizer in a cycle are collected too.""",
        (
            """For each object CPython keeps a count of the references to it; when the count is down to zero, the
            object is freed immediately. Among objects which refer to each other it never gets there, and for such
            cycles there is another collector. This one sorts objects into three generations. Generation 0 is where a
            new object starts, and it is inspected once the number of objects created exceeds the number freed by 700.
            Whatever survives passes into the following generation, whose turn comes after every tenth collection of
            the younger. A tuple containing nothing but strings or numbers is left untracked. While gc.disable turns
            the collector off, there is no way to turn reference counting off. From version 3.4 on, cycles whose
            objects have finalizers are also collected.""",
        ),
        rivals=(("created", "freed"),),
        strangers=(
            ("CPython", "PyPy"),
            ("gc.disable", "gc.freeze"),
        ),
    ),
    Passage(
        "cold chain",
        "technical",
        """The vaccine must be stored between 2 and 8 °C and must never freeze. Every refrigerator has a logger that
        records the temperature every 10 minutes and sounds an alarm above 8 °C. A nurse reads the logger twice a day
        and signs the sheet. If the temperature was above 8 °C for less than 30 minutes, the doses may still be used;
        if it was longer, they are put in a marked box and the pharmacist is called. Opened vials are discarded after
        6 hours. The oldest doses are given first. Boxes are never placed against the back wall, where ice forms. All
        records are kept for 3 years.""",
        (
            """Storage of the vaccine has to be at 2 to 8 °C; on no account may it freeze. A logger in each
            refrigerator takes the temperature at intervals of ten minutes, and an alarm sounds if it is higher than 8
            °C. Two times daily a nurse checks the logger and puts her signature on the sheet. Doses that were warmer
            than 8 °C for under half an hour can still be given. When it lasted longer, they go into a box with a mark
            on it, and a call is made to the pharmacist. A vial that has been opened is thrown away six hours later.
            Doses are used in the order of their age, beginning with the oldest. No box may stand against the back
            wall, since ice forms there. Records must be preserved for three years, all of them.""",
        ),
        rivals=(("nurse", "pharmacist"),),
        strangers=(
            ("pharmacist", "manufacturer"),
            ("nurse", "driver"),
        ),
        free=(4, 5, 6, 7),
    ),
)
