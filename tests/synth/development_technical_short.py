"""Short technical passages for development, each with one free paraphrase and many changes of a few words."""

from fidelity_passage import Passage

DEVELOPMENT_TECHNICAL_SHORT = (
    Passage(
        "battery",
        "technical",
        """Charge the battery fully before the first use; this takes about five hours. The green light goes on when
        charging is complete. Never charge the battery below 0 °C or above 40 °C. If the device will not be used
        for more than three months, store it at half charge in a dry place. The battery keeps at least 80% of its
        capacity for 500 cycles. Use only the charger supplied with the device, because other chargers may damage
        the cells. Damaged batteries must not be opened; return them to the dealer.""",
        (
            """A full charge, for which some five hours are needed, has to precede the first use. Charging is
            finished once the light turns green. It must take place at temperatures from 0 to 40 °C only. Before a
            break of over three months, bring the battery to 50 percent and put the device somewhere dry. After
            500 cycles no less than 80% of the capacity is left. No charger except the one that came with the
            device should be connected, as the cells could suffer. If a battery is damaged, take it back to the
            dealer and do not open it.""",
        ),
        (
            ("antonym", "Charge the battery fully", "Charge the battery partly"),
            ("number changed", "five hours", "nine hours"),
            ("unit changed", "five hours", "five minutes"),
            ("detail changed", "The green light", "The red light"),
            ("detail changed", "turns green", "turns red"),
            ("antonym", "in a dry place", "in a wet place"),
            ("antonym", "somewhere dry", "somewhere wet"),
            ("bound turned", "at least 80%", "at most 80%"),
            ("bound turned", "no less than 80%", "no more than 80%"),
            ("bound turned", "more than three months", "less than three months"),
            ("bound turned", "over three months", "under three months"),
            ("negated", "must not be opened", "must be opened"),
            ("negated", "and do not open it", "and open it"),
            ("quantifier changed", "other chargers may damage", "other chargers never damage"),
            ("negated", "Use only the charger", "Do not use the charger"),
            ("number times ten", "500 cycles", "5,000 cycles"),
        ),
    ),
    Passage(
        "cache",
        "technical",
        """The proxy keeps responses in memory and writes them to disk when memory use exceeds 2 GB. Each entry has
        an expiry time, by default 15 minutes. An expired entry is not deleted at once: it is served while a fresh
        copy is fetched in the background. Requests with an Authorization header are never cached. The cleaner
        runs every 30 seconds and removes the entries that were used least recently. With the option strict, the
        proxy waits for the fresh copy and returns error 504 if the origin does not answer within 5 seconds.""",
        (
            """Responses are held in memory by the proxy; once more than 2 GB are in use, it puts them on disk.
            Entries expire, after 15 minutes unless set otherwise. Even then they are not thrown away immediately.
            Clients still get them, and meanwhile the proxy loads a new copy in the background. Anything requested
            with an Authorization header stays out of the cache. Twice a minute a cleaner evicts whatever has gone
            unused for the longest time. If strict is set, clients have to wait for the new copy, and when the
            origin stays silent for five seconds they receive error 504.""",
        ),
        (
            ("negated", "is not deleted at once", "is deleted at once"),
            ("negated", "they are not thrown away immediately", "they are thrown away immediately"),
            ("antonym", "used least recently", "used most recently"),
            ("negated", "are never cached", "are always cached"),
            ("negated", "stays out of the cache", "goes into the cache"),
            ("antonym", "exceeds 2 GB", "falls below 2 GB"),
            ("bound turned", "once more than 2 GB", "once less than 2 GB"),
            ("number changed", "504", "502"),
            ("unit changed", "15 minutes", "15 seconds"),
            ("unit changed", "2 GB", "2 MB"),
            ("roles swapped", "if the origin does not answer", "if the client does not answer"),
            ("roles swapped", "when the origin stays silent", "when the client stays silent"),
            ("number changed", "every 30 seconds", "every 90 seconds"),
            ("number changed", "Twice a minute", "Twice an hour"),
            ("detail changed", "in memory", "in a database"),
            ("detail changed", "held in memory", "held in a database"),
            (
                "invented",
                "The cleaner runs",
                "All entries are encrypted with a key that changes daily. The cleaner runs",
            ),
            ("invented", "Twice a minute", "All entries are encrypted with a key that changes daily. Twice a minute"),
        ),
    ),
    Passage(
        "parser",
        "technical",
        """The parser reads the file line by line and ignores lines that start with a semicolon. A section begins
        with a name in square brackets. Keys are not case-sensitive, values are. If a key occurs twice in a
        section, the last value wins; a section that occurs twice is an error. Values may refer to other keys with
        ${name}, but references across files are not allowed. Strings can hold any character except a null byte.
        The function load returns a mapping, or raises SyntaxError with the number of the first wrong line.""",
        (
            """Files are processed one line at a time, and any line opening with a semicolon is skipped. Square
            brackets around a name mark the start of a section. Upper and lower case matter in values but not in
            keys. When the same section has a key more than once, its final value counts. Having the same section
            more than once, on the other hand, is an error. With ${name} a value can point to another key,
            provided that the key is in the same file. Apart from the null byte, all characters are permitted in
            strings. A mapping is what load returns; if something is wrong it raises SyntaxError and names the
            first line at fault.""",
        ),
        (
            ("roles swapped", "Keys are not case-sensitive, values are", "Values are not case-sensitive, keys are"),
            ("roles swapped", "matter in values but not in keys", "matter in keys but not in values"),
            ("antonym", "the last value wins", "the first value wins"),
            ("antonym", "its final value counts", "its first value counts"),
            ("negated", "across files are not allowed", "across files are allowed"),
            ("antonym", "ignores lines", "keeps lines"),
            ("name replaced", "SyntaxError", "KeyError"),
            ("detail changed", "square brackets", "curly braces"),
            ("detail changed", "Square brackets", "Curly braces"),
            ("detail changed", "a semicolon", "a hash sign"),
            ("quantifier changed", "any character except a null byte", "any character, even a null byte"),
            ("antonym", "the first wrong line", "the last wrong line"),
            ("antonym", "the first line at fault", "the last line at fault"),
            (
                "invented",
                "The function load",
                "Lines longer than the screen are wrapped by the editor. The function load",
            ),
            ("invented", "A mapping is", "Lines longer than the screen are wrapped by the editor. A mapping is"),
        ),
    ),
    Passage(
        "sterilizer",
        "technical",
        """Rinse the instruments under cold water immediately after use, since warm water makes blood stick. Then put
        them into the cleaning bath for ten minutes. Open all hinged instruments before you place them on the
        tray. The sterilizer heats the chamber to 134 °C at a pressure of 3 bar and holds this for 5 minutes.
        Afterwards the drying phase starts automatically. Do not open the door while the red lamp is lit. A strip
        in each packet changes from yellow to blue if the process was successful. Packets remain sterile for six
        months if they stay dry.""",
        (
            """As soon as they have been used, instruments are to be rinsed with cold water; warm water would cause
            blood to adhere. A ten-minute cleaning bath follows. Anything with a hinge has to be opened before it
            goes on the tray. In the sterilizer's chamber 134 °C and 3 bar are reached and kept up for five
            minutes, after which drying begins by itself. The door stays shut as long as the red lamp is on.
            Success can be recognized by the strip in every packet: its colour turns from yellow to blue. Kept
            dry, packets are sterile for half a year.""",
        ),
        (
            ("antonym", "under cold water", "under hot water"),
            ("antonym", "rinsed with cold water; warm water", "rinsed with warm water; cold water"),
            ("detail changed", "the red lamp", "the green lamp"),
            ("events reordered", "Afterwards the drying phase starts", "Beforehand the drying phase starts"),
            ("events reordered", "before you place them", "after you place them"),
            ("events reordered", "opened before it goes", "opened after it goes"),
            ("events reordered", "from yellow to blue", "from blue to yellow"),
            ("unit changed", "3 bar", "3 millibar"),
            ("number changed", "six months", "nine months"),
            ("number changed", "half a year", "a year"),
            ("negated", "Do not open the door", "Open the door"),
            ("antonym", "The door stays shut", "The door stays open"),
            ("quantifier changed", "Open all hinged instruments", "Open some hinged instruments"),
            ("quantifier changed", "Anything with a hinge has to be opened", "Nothing with a hinge has to be opened"),
            ("antonym", "if they stay dry", "if they stay moist"),
            ("antonym", "Kept dry", "Kept moist"),
        ),
    ),
    Passage(
        "sleep",
        "technical",
        """Researchers at the University of Tromso let 48 volunteers sleep in a laboratory for two weeks. Half of
        them went to bed at a fixed time, the others whenever they wanted. Those with fixed times fell asleep
        faster, after 11 instead of 19 minutes, and woke up less often. Memory tests in the morning showed no
        difference between the groups. Coffee was allowed until noon. Five volunteers gave up, all of them from
        the group with free times. The authors warn that their sample was small and that it contained hardly any
        people over 60.""",
        (
            """For two weeks, 48 people slept in a laboratory of the University of Tromso as volunteers. Researchers
            told one half of them when to go to bed; the other half could choose. A fixed bedtime meant falling
            asleep in 11 rather than 19 minutes and waking less frequently during the night. In memory, tested
            every morning, the two groups did not differ. After midday, coffee was not permitted. There were five
            dropouts, and each belonged to the group that was free to choose. The sample, as the authors
            themselves caution, was a small one with almost nobody older than 60 in it.""",
        ),
        (
            ("antonym", "fell asleep faster", "fell asleep more slowly"),
            ("number swapped", "after 11 instead of 19 minutes", "after 19 instead of 11 minutes"),
            ("number swapped", "in 11 rather than 19 minutes", "in 19 rather than 11 minutes"),
            ("antonym", "woke up less often", "woke up more often"),
            ("antonym", "waking less frequently", "waking more frequently"),
            ("negated", "showed no difference", "showed a difference"),
            ("negated", "the two groups did not differ", "the two groups did differ"),
            ("quantifier changed", "all of them from the group", "none of them from the group"),
            ("quantifier changed", "each belonged to the group", "none belonged to the group"),
            ("quantifier changed", "hardly any people", "many people"),
            ("quantifier changed", "almost nobody older", "almost everybody older"),
            (
                "roles swapped",
                "all of them from the group with free times",
                "all of them from the group with fixed times",
            ),
            ("unit changed", "two weeks", "two months"),
            ("name replaced", "Tromso", "Bergen"),
            ("antonym", "their sample was small", "their sample was large"),
            ("antonym", "was a small one", "was a large one"),
            ("negated", "Coffee was allowed until", "Coffee was not allowed until"),
            ("negated", "coffee was not permitted", "coffee was permitted"),
            ("invented", "Coffee was allowed", "The beds were donated by a local hotel chain. Coffee was allowed"),
            ("invented", "After midday", "The beds were donated by a local hotel chain. After midday"),
        ),
    ),
    Passage(
        "recipe",
        "technical",
        """Peel 800 g of potatoes and boil them in salted water for 20 minutes. Meanwhile fry two onions in 30 g of
        butter until they are soft but not brown. Mash the potatoes while they are hot and add 200 ml of warm
        milk; do not use a blender, as the mash would become sticky. Stir in the onions, a pinch of nutmeg and 100
        g of grated cheese. Put everything into a dish, sprinkle with breadcrumbs and bake it at 180 °C for a
        quarter of an hour. It serves four and can be frozen for up to two months, but without the cheese.""",
        (
            """Peeled potatoes (800 g) are cooked for twenty minutes in water with salt. In the meantime two onions
            are softened in 30 grams of butter, without letting them turn brown. The potatoes have to be hot when
            they are mashed with 200 millilitres of warm milk. A blender would make the mash sticky, so avoid it.
            The onions, 100 grams of grated cheese and a pinch of nutmeg are mixed in. Fill a dish with the
            mixture, scatter breadcrumbs over it and leave it in the oven at 180 °C for 15 minutes. There is
            enough for four people; omitting the cheese, you may keep it in the freezer for a maximum of two
            months.""",
        ),
        (
            ("number changed", "800 g", "600 g"),
            ("unit changed", "200 ml", "200 l"),
            ("unit changed", "200 millilitres", "200 litres"),
            ("negated", "do not use a blender", "use a blender"),
            ("negated", "so avoid it", "so use one"),
            ("antonym", "until they are soft but not brown", "until they are brown but not soft"),
            ("antonym", "while they are hot", "while they are cold"),
            ("antonym", "The potatoes have to be hot", "The potatoes have to be cold"),
            ("number changed", "a quarter of an hour", "half an hour"),
            ("number changed", "for 15 minutes", "for 45 minutes"),
            ("detail changed", "two onions", "two carrots"),
            ("detail changed", "nutmeg", "cinnamon"),
            ("detail changed", "Peel 800 g of potatoes", "Peel 800 g of turnips"),
            ("bound turned", "for up to two months", "for at least two months"),
            ("bound turned", "a maximum of two months", "a minimum of two months"),
            ("negated", "but without the cheese", "even with the cheese"),
            ("negated", "omitting the cheese", "including the cheese"),
            ("events reordered", "Meanwhile fry", "Before that, fry"),
            ("antonym", "warm milk", "cold milk"),
        ),
    ),
    Passage(
        "satellite",
        "technical",
        """The satellite Aquila-2 was launched from Kourou on 9 March 2017 and orbits the Earth at an altitude of 705
        km. It carries a radar and two cameras; the radar can see through clouds, the cameras cannot. Every point
        of the surface is observed once in 12 days. The data are free for scientists, but companies have to pay
        for them. In 2019 one of the four gyroscopes failed, which did not reduce the quality of the images. The
        fuel will last until at least 2028. Its successor, Aquila-3, will be heavier and will have no radar.""",
        (
            """Since its launch from Kourou on March 9, 2017, Aquila-2 has been circling the Earth 705 kilometres up.
            Clouds are an obstacle for the satellite's pair of cameras but not for its radar. It takes twelve days
            until all of the surface has been observed. Whereas scientists get the data at no charge, companies
            must buy them. Image quality did not suffer when a gyroscope, one of four, broke down in 2019. Fuel is
            available till 2028 or longer. Aquila-3, which is to succeed it, is going to weigh more, and the radar
            will be left out.""",
        ),
        (
            (
                "roles swapped",
                "the radar can see through clouds, the cameras cannot",
                "the cameras can see through clouds, the radar cannot",
            ),
            (
                "roles swapped",
                "for the satellite's pair of cameras but not for its radar",
                "for the satellite's radar but not for its pair of cameras",
            ),
            (
                "roles swapped",
                "free for scientists, but companies have to pay",
                "free for companies, but scientists have to pay",
            ),
            (
                "roles swapped",
                "scientists get the data at no charge, companies must buy them",
                "companies get the data at no charge, scientists must buy them",
            ),
            ("negated", "which did not reduce the quality", "which reduced the quality"),
            ("negated", "Image quality did not suffer", "Image quality suffered"),
            ("number changed", "one of the four gyroscopes", "one of the six gyroscopes"),
            ("number changed", "one of four", "one of six"),
            ("bound turned", "until at least 2028", "until at most 2028"),
            ("antonym", "will be heavier", "will be lighter"),
            ("antonym", "is going to weigh more", "is going to weigh less"),
            ("negated", "will have no radar", "will have a radar"),
            ("negated", "the radar will be left out", "the radar will be kept"),
            ("unit changed", "705 km", "705 m"),
            ("unit changed", "705 kilometres", "705 miles"),
            ("name replaced", "Kourou", "Baikonur"),
            ("unit changed", "in 12 days", "in 12 hours"),
            ("unit changed", "twelve days", "twelve hours"),
            (
                "invented",
                "The fuel will last",
                "A collision with debris was avoided in 2020 by a few seconds. The fuel will last",
            ),
        ),
    ),
    Passage(
        "patch",
        "technical",
        """Version 4.2 of the editor fixes a bug that lost unsaved changes when the computer went to sleep. Files
        larger than 50 MB now open in about 3 seconds instead of 20. The dark theme is enabled by default; to turn
        it off, set theme to light. Plugins written for version 3 no longer work and have to be rebuilt. Support
        for Windows 8 has been removed. The memory that each open tab needs has decreased by a third. Do not
        install the update over a beta version: uninstall the beta first.""",
        (
            """With version 4.2, changes that have not been saved are no longer lost if the computer goes to sleep.
            Opening a file of more than 50 MB takes some 3 seconds, down from 20. Unless theme is set to light,
            the editor now starts in the dark theme. Anyone who has plugins for version 3 must rebuild them,
            because they have stopped working. Windows 8 is not supported any more. Every open tab uses one third
            less memory. A beta version has to be uninstalled before the update is installed.""",
        ),
        (
            ("antonym", "The dark theme is enabled", "The dark theme is disabled"),
            ("antonym", "instead of 20", "instead of 2"),
            ("number swapped", "about 3 seconds instead of 20", "about 20 seconds instead of 3"),
            ("number swapped", "some 3 seconds, down from 20", "some 20 seconds, down from 3"),
            ("bound turned", "Files larger than 50 MB", "Files smaller than 50 MB"),
            ("bound turned", "a file of more than 50 MB", "a file of less than 50 MB"),
            ("negated", "no longer work and", "still work and"),
            ("negated", "are no longer lost if", "are still lost if"),
            ("negated", "Windows 8 is not supported any more", "Windows 8 is supported once more"),
            ("antonym", "has been removed", "has been added"),
            ("antonym", "has decreased by a third", "has increased by a third"),
            ("antonym", "one third less memory", "one third more memory"),
            ("events reordered", "uninstall the beta first", "uninstall the beta afterwards"),
            (
                "events reordered",
                "uninstalled before the update is installed",
                "uninstalled after the update is installed",
            ),
            ("number changed", "4.2", "4.3"),
            ("unit changed", "50 MB", "50 GB"),
            ("antonym", "set theme to light", "set theme to dark"),
            (
                "invented",
                "Support for Windows 8",
                "Printing in landscape mode crashes on some machines. Support for Windows 8",
            ),
            ("invented", "Every open tab", "Printing in landscape mode crashes on some machines. Every open tab"),
        ),
    ),
)
