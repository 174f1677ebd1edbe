"""Technical passages that the gate's rules and thresholds have never seen, each paraphrased in two styles."""

from fidelity_passage import Passage

HELD_OUT_TECHNICAL_PARAPHRASED = (
    Passage(
        "incubator",
        "technical",
        """The incubator holds 48 eggs at 37.7 °C. A fan spreads the heat evenly; without it, the eggs near the heater
        would be too warm and those near the door too cold. Turn the eggs three times a day until the eighteenth day,
        and then no more, because the chick must find its position. Humidity is kept at 50 percent by a dish of water
        and raised to 65 percent for the last three days. Open the lid as rarely as possible. On day 7, hold each egg
        against a lamp: a clear egg is not fertilized and must be removed before it bursts. Duck eggs need 28 days and
        chicken eggs 21. Suitable bedding for the chicks is straw, hay, sand, paper or wood chips. Clean the incubator
        only when it is unplugged. Wash your hands before you touch the eggs. Never put eggs from the refrigerator
        into the incubator.""",
        (
            """There is room for 48 eggs in the incubator, whose temperature is 37.7 °C. Heat is distributed evenly by
            a fan, for otherwise the eggs by the door would be too cold, and too warm the ones by the heater. Until
            day eighteen, eggs have to be turned three times daily. After that they are left alone, since the chick
            needs to get into its position. A water dish keeps humidity at 50%; in the last three days it is increased
            to 65%. The lid should be opened as seldom as it can. A lamp behind each egg, on the seventh day, tells
            whether it is fertilized: if it is clear it is not, and one has to take it out, or it will burst. Chickens
            take 21 days to hatch, ducks 28. For bedding, wood chips, sand, hay, straw or paper will do. Pull the plug
            before cleaning. Hands must be washed before they touch the eggs. Eggs that were in the refrigerator may
            on no account be put in.""",
            """How many eggs can go in? 48, at 37.7 degrees Celsius. What's the fan for? So that it's equally warm
            everywhere. If there weren't one, eggs by the heater would get too warm and eggs by the door too cold.
            When do I turn them? Three times each day, up to day 18. From then on you leave them, because the chick
            has to find its position. How moist should it be? Humidity is 50 percent, from a dish of water, and 65
            percent in the last three days. May I look inside? As rarely as you can; keep the lid shut. What happens
            on day 7? You hold the eggs against a lamp, one by one. If an egg is clear, it isn't fertilized. Take it
            out before it bursts. How long does it all take? 21 days for chickens, 28 for ducks. And the bedding?
            Sand, straw, paper, hay or wood chips. How do I clean it? Unplugged, never otherwise. Must I wash my
            hands? Yes, before touching eggs. Can I use eggs out of the refrigerator? Never.""",
        ),
        corruptions=(
            (
                "negated",
                "Eggs that were in the refrigerator may on no account be put in",
                "Eggs that were in the refrigerator may of course be put in",
            ),
            ("number swapped", "Chickens take 21 days to hatch, ducks 28", "Chickens take 28 days to hatch, ducks 21"),
            ("events reordered", "Pull the plug before cleaning", "Pull the plug after cleaning"),
            (
                "antonym",
                "the eggs by the door would be too cold, and too warm the ones by the heater",
                "the eggs by the door would be too warm, and too cold the ones by the heater",
            ),
            ("unit changed", "in the last three days it is increased", "in the last three hours it is increased"),
            ("negated", "If an egg is clear, it isn't fertilized", "If an egg is clear, it is fertilized"),
            (
                "quantifier changed",
                "As rarely as you can; keep the lid shut",
                "As often as you can; keep the lid shut",
            ),
            (
                "number swapped",
                "Humidity is 50 percent, from a dish of water, and 65 percent",
                "Humidity is 65 percent, from a dish of water, and 50 percent",
            ),
            (
                "roles swapped",
                "eggs by the heater would get too warm and eggs by the door too cold",
                "eggs by the door would get too warm and eggs by the heater too cold",
            ),
            ("invented", "And the bedding?", "Chicks recognize the voice of the fan. And the bedding?"),
        ),
        rewordings=(
            ("list summarised", "straw, hay, sand, paper or wood chips", "any soft and dry material"),
            ("list summarised", "wood chips, sand, hay, straw or paper will do", "various dry materials will do"),
            ("list summarised", "Sand, straw, paper, hay or wood chips", "Various things such as straw"),
            ("list reordered", "straw, hay, sand, paper or wood chips", "paper, wood chips, straw, sand or hay"),
            ("list reordered", "wood chips, sand, hay, straw or paper", "hay, straw, sand, paper or wood chips"),
            ("list reordered", "Sand, straw, paper, hay or wood chips", "Wood chips, straw, hay, sand or paper"),
            ("number words", "turned three times daily", "turned 3 times daily"),
            ("unit spelled otherwise", "37.7 °C. Heat", "37.7 degrees Celsius. Heat"),
        ),
        free=(8, 9, 10),
    ),
    Passage(
        "mail server",
        "technical",
        """When a mail server receives a message, it checks where it comes from before it accepts it. SPF lists the
        addresses that may send mail for a domain. DKIM adds a signature, made with the sender's private key, which
        the receiver verifies with a public key from the DNS. DMARC tells the receiver what to do if both fail:
        nothing, quarantine or reject. SPF breaks when a message is forwarded, because the address of the forwarder is
        not on the list; DKIM survives forwarding unless the text is altered, as mailing lists often do. A receiver
        that is not sure may answer with a temporary error, and a real server tries again after some minutes, whereas
        many spammers do not. Logs, queues, aliases, mailboxes and certificates should be backed up daily. Port 25
        must stay open. Passwords are never mailed.""",
        (
            """Before a message is accepted by a mail server, its origin is checked. Which addresses are allowed to
            send a domain's mail is listed in SPF. By DKIM, a signature is attached; the sender makes it with a
            private key, and with the public key, found in the DNS, the receiver verifies it. In the event that
            neither holds, DMARC says what the receiver should do, namely reject, quarantine or nothing. Forwarding
            makes SPF fail, for the forwarder's address is missing from the list, but not DKIM, provided that nobody
            changes the text. Mailing lists frequently do. In case of doubt a receiver can give a temporary error as
            its answer. Real servers will make another attempt some minutes later; a lot of spammers will not.
            Certificates, queues, mailboxes, logs and aliases deserve a daily backup. Never is a password sent by
            mail, and port 25 has to remain open.""",
            """Mail server, incoming checks. Rule: first check the origin, then accept. SPF: a list of addresses that
            may send for the domain. DKIM: a signature; private key with the sender, public key in the DNS,
            verification by the receiver. DMARC: instruction for the case that both fail, either nothing or quarantine
            or reject. Forwarding: SPF breaks (address of the forwarder not in the list), DKIM does not, except where
            the text has been altered, which mailing lists often do. Doubtful messages: temporary error possible; a
            proper server comes again after a few minutes, many spammers don't. Every day, a backup of mailboxes,
            aliases, logs, certificates, queues. Keep port 25 open. No passwords by mail, ever.""",
        ),
        corruptions=(
            (
                "roles swapped",
                """the sender makes it with a private key, and with the public key, found in the DNS, the receiver
                verifies it""",
                """the receiver makes it with a private key, and with the public key, found in the DNS, the sender
                verifies it""",
            ),
            (
                "names swapped",
                "Forwarding makes SPF fail, for the forwarder's address is missing from the list, but not DKIM",
                "Forwarding makes DKIM fail, for the forwarder's address is missing from the list, but not SPF",
            ),
            (
                "events reordered",
                "Before a message is accepted by a mail server",
                "After a message is accepted by a mail server",
            ),
            ("quantifier changed", "a lot of spammers will not", "no spammer ever will"),
            ("negated", "Never is a password sent by mail", "Often is a password sent by mail"),
            (
                "events reordered",
                "Rule: first check the origin, then accept",
                "Rule: first accept, then check the origin",
            ),
            ("negated", "(address of the forwarder not in the list)", "(address of the forwarder in the list)"),
            (
                "roles swapped",
                "private key with the sender, public key in the DNS",
                "public key with the sender, private key in the DNS",
            ),
            ("antonym", "Keep port 25 open", "Keep port 25 closed"),
            ("invented", "Keep port 25 open.", "Attachments are opened by a robot. Keep port 25 open."),
        ),
        rewordings=(
            (
                "list summarised",
                "Logs, queues, aliases, mailboxes and certificates should",
                "All important data should",
            ),
            (
                "list summarised",
                "Certificates, queues, mailboxes, logs and aliases deserve",
                "Mailboxes and other data deserve",
            ),
            (
                "list summarised",
                "a backup of mailboxes, aliases, logs, certificates, queues",
                "a backup of all important data",
            ),
            (
                "list reordered",
                "Logs, queues, aliases, mailboxes and certificates",
                "Mailboxes, certificates, aliases, queues and logs",
            ),
            (
                "list reordered",
                "Certificates, queues, mailboxes, logs and aliases",
                "Aliases, logs, mailboxes, queues and certificates",
            ),
            (
                "list reordered",
                "mailboxes, aliases, logs, certificates, queues",
                "queues, logs, mailboxes, aliases, certificates",
            ),
            ("synonyms", "Mailing lists frequently do", "Mailing lists often do"),
        ),
        free=(6, 7, 8),
    ),
    Passage(
        "pressure canner",
        "technical",
        """Vegetables with little acid, such as beans, corn, carrots, beets and peas, have to be canned under
        pressure, since the spores of botulism survive boiling water. Fill the jars to 2.5 cm below the rim, wipe the
        rims, and screw the lids on only finger-tight, so that air can escape. Put 3 litres of water into the canner.
        Let steam flow out for ten minutes before you put the weight on, otherwise trapped air keeps the temperature
        too low. Count the time from the moment when the pressure is reached; if it falls, start again from zero. At
        300 m above the sea or less, 0.7 bar is enough; higher up, use 1 bar. Let the canner cool by itself and never
        under the tap. Jars that have not sealed go into the refrigerator. Label every jar with the date. Sealed jars
        keep for a year.""",
        (
            """Canning under pressure is necessary for vegetables low in acid, for instance peas, carrots, beets, corn
            and beans, as boiling water does not kill the spores of botulism. Jars are filled up to 2.5 cm under the
            rim, whose surface is then wiped. Air has to be able to get out, which is why lids are screwed on no more
            than finger-tight. The canner needs 3 litres of water. The weight goes on only after steam has come out
            for ten minutes; otherwise there is air inside, and the temperature does not get high enough. Timing
            begins when the pressure has been reached, and begins anew should the pressure drop. A pressure of 0.7 bar
            suffices at altitudes up to 300 m, beyond which it must be 1 bar. The canner should be left to cool on its
            own; the tap is never to be used. Any jar without a seal has to be put in the refrigerator. Write the date
            on each of the jars. With a seal, they last for one year.""",
            """We're canning today! Beans, peas, corn, beets and carrots don't have much acid in them, so we have to
            do it under pressure. In boiling water the spores of botulism would stay alive. First fill the jars, up to
            2.5 centimetres below the rim. Wipe the rims. Now the lids: screw them on with your fingers, not any
            tighter, because air must get out. Pour 3 litres of water into the canner. Wait until steam has been
            coming out for ten minutes, and after that you may put the weight on. If you don't wait, air is trapped
            inside and it doesn't get hot enough. Has the pressure been reached? Then start counting the time. Does it
            fall? Start again from zero! You need 0.7 bar if you live no higher than 300 metres above the sea, and 1
            bar if you live higher. Leave the canner alone until it has cooled, and don't ever hold it under the tap.
            Did a jar not seal? Into the refrigerator with it. Put a label with the date on every jar. The sealed ones
            will keep for a year.""",
        ),
        corruptions=(
            ("negated", "boiling water does not kill the spores", "boiling water kills the spores"),
            (
                "events reordered",
                "The weight goes on only after steam has come out for ten minutes",
                "The weight goes on before steam has come out for ten minutes",
            ),
            (
                "number swapped",
                "A pressure of 0.7 bar suffices at altitudes up to 300 m, beyond which it must be 1 bar",
                "A pressure of 1 bar suffices at altitudes up to 300 m, beyond which it must be 0.7 bar",
            ),
            ("quantifier changed", "on no more than finger-tight", "on no less than finger-tight"),
            (
                "unit changed",
                "for ten minutes; otherwise there is air inside",
                "for ten seconds; otherwise there is air inside",
            ),
            ("antonym", "Jars are filled up to 2.5 cm under the rim", "Jars are filled up to 2.5 cm over the rim"),
            ("negated", "and don't ever hold it under the tap", "and do hold it under the tap"),
            ("antonym", "and 1 bar if you live higher", "and 1 bar if you live lower"),
            (
                "roles swapped",
                "screw them on with your fingers, not any tighter, because air must get out",
                "screw them on with your fingers, not any looser, because air must not get in",
            ),
            (
                "invented",
                "Put a label with the date on every jar",
                "The neighbours always ask for a jar. Put a label with the date on every jar",
            ),
        ),
        rewordings=(
            ("list summarised", "acid, such as beans, corn, carrots, beets and peas, have", "acid have"),
            (
                "list summarised",
                "acid, for instance peas, carrots, beets, corn and beans, as",
                "acid, such as beans, as",
            ),
            ("list summarised", "Beans, peas, corn, beets and carrots don't", "Beans and many other vegetables don't"),
            ("list reordered", "beans, corn, carrots, beets and peas", "carrots, peas, beans, corn and beets"),
            ("list reordered", "peas, carrots, beets, corn and beans", "corn, beans, peas, carrots and beets"),
            ("list reordered", "Beans, peas, corn, beets and carrots", "Carrots, corn, beans, beets and peas"),
            ("number words", "for a year.", "for one year."),
            ("unit spelled otherwise", "up to 2.5 cm under the rim", "up to 2.5 centimetres under the rim"),
        ),
        free=(7, 8, 9),
    ),
    Passage(
        "lightning rod",
        "technical",
        """A lightning protection system catches a stroke at the highest points of a building and leads the current to
        the earth outside of it. The rods on the roof are joined by wires of 8 mm, which run down the walls every 20 m
        and end in an electrode laid around the foundation at a depth of 50 cm. Everything made of metal on the roof,
        that is gutters, vents, antennas, railings and frames, is connected to it. A rod protects a cone below its
        tip; what sticks out of the cone is not protected. Inside, surge arresters divert what comes in by the cables,
        but they do not replace pulling the plug. The system is inspected every four years and after each stroke.
        Joints must be tight. Painted clamps are useless. In a house without protection, keep away from pipes, and do
        not take a bath.""",
        (
            """The highest points of a building are where a lightning protection system intercepts strokes; on the
            outside, the current is led down to the earth. Wires of 8 mm connect the rods of the roof and go down
            along the walls at intervals of 20 m, to an electrode that lies 50 cm deep all around the foundation.
            Antennas, railings, frames, vents and gutters, in short all metal up there, are joined to the system.
            Protection extends to a cone under the tip of a rod and not to anything that protrudes from it. Whatever
            comes in through cables is diverted by surge arresters within the house. They are no replacement for
            unplugging devices, though. Inspections take place every four years and whenever there has been a stroke.
            No clamp is of use when it is painted, and all joints have to be tight. Those whose house has no
            protection should not have a bath and should stay away from pipes.""",
            """So what does the thing on the roof do? It catches the lightning, right at the highest points of the
            house, and takes the current down to the earth, on the outside. There are rods on the roof, and there's
            wire between them, 8 millimetres thick, and every 20 metres one runs down the wall to an electrode. That's
            laid all round the foundation, 50 centimetres down. If there's metal on your roof, it's got to be
            connected: railings, vents, gutters, frames, antennas. Now, each rod protects a cone beneath its tip.
            Something sticks out of that cone? Not protected. In the house you've got surge arresters for what comes
            along the cables, they divert it, but you still have to pull the plug. They come and inspect the system
            every four years, and after a stroke, any stroke. The joints have to be tight, and a clamp with paint on
            it is no good at all. And if your house has no such system, keep off the pipes and don't get into the
            bath.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "Protection extends to a cone under the tip of a rod and not to anything that protrudes from it",
                """Protection extends to anything that protrudes from a cone under the tip of a rod and not to the
                cone""",
            ),
            ("antonym", "The highest points of a building are where", "The lowest points of a building are where"),
            (
                "negated",
                "They are no replacement for unplugging devices, though",
                "They are a replacement for unplugging devices, too",
            ),
            (
                "number swapped",
                "Wires of 8 mm connect the rods of the roof and go down along the walls at intervals of 20 m",
                "Wires of 20 mm connect the rods of the roof and go down along the walls at intervals of 8 m",
            ),
            ("unit changed", "to an electrode that lies 50 cm deep", "to an electrode that lies 50 mm deep"),
            ("negated", "but you still have to pull the plug", "so you no longer have to pull the plug"),
            ("events reordered", "and after a stroke, any stroke", "and before a stroke, any stroke"),
            (
                "quantifier changed",
                "If there's metal on your roof, it's got to be connected",
                "If there's metal on your roof, some of it has got to be connected",
            ),
            (
                "antonym",
                "takes the current down to the earth, on the outside",
                "takes the current down to the earth, on the inside",
            ),
            ("invented", "Now, each rod protects", "Birds have learned to avoid it. Now, each rod protects"),
        ),
        rewordings=(
            ("list summarised", "roof, that is gutters, vents, antennas, railings and frames, is", "roof is"),
            (
                "list summarised",
                "Antennas, railings, frames, vents and gutters, in short all metal up there, are",
                "Gutters and all other metal up there are",
            ),
            (
                "list summarised",
                "connected: railings, vents, gutters, frames, antennas.",
                "connected, whatever it is.",
            ),
            (
                "list reordered",
                "gutters, vents, antennas, railings and frames",
                "frames, railings, gutters, antennas and vents",
            ),
            (
                "list reordered",
                "Antennas, railings, frames, vents and gutters",
                "Gutters, frames, antennas, vents and railings",
            ),
            (
                "list reordered",
                "railings, vents, gutters, frames, antennas",
                "vents, antennas, railings, frames, gutters",
            ),
            ("number words", "every four years and whenever", "every 4 years and whenever"),
            ("unit spelled otherwise", "Wires of 8 mm connect", "Wires of 8 millimetres connect"),
        ),
        free=(5, 6, 7),
    ),
)
