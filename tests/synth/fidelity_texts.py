# ruff: noqa: E501
"""Texts of four kinds with rewritings that keep their facts, and edits that break them.

Invented for these tests. Of each text: a source, a close and a free rewriting, and edits (kind, old words, new words);
an edit is made wherever its old words stand, in the source or in a rewriting, so that most are tried three times.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    name: str
    kind: str
    source: str
    rewritings: tuple[str, ...]
    edits: tuple[tuple[str, str, str], ...]


SAMPLES = (
    Sample(
        "bridge",
        "encyclopedic",
        "The Harlan Bridge is a steel arch bridge over the Ouse in northern England. It was designed by Margaret Dunne and "
        "built between 1921 and 1926 at a cost of £1.2 million. The main span measures 312 metres, and the deck stands 47 "
        "metres above the river at high tide. During construction, 14 workers died, most of them in falls. The bridge was "
        "opened on 3 May 1926 by King George V. Traffic increased sharply after the Second World War, and by 1958 more than "
        "18,000 vehicles crossed it every day. The older ferry at Selwick was not closed until 1961. In 1984 the structure "
        "was listed as a monument, because it had never been altered in any significant way. The city of Corby now owns the "
        "bridge, while Selwick maintains the approach roads.",
        (
            "The Harlan Bridge, a steel arch bridge, crosses the Ouse in the north of England. Margaret Dunne designed it, and "
            "it was constructed from 1921 to 1926 for 1.2 million pounds. Its main span is 312 m long, and its deck is 47 m "
            "above the river when the tide is high. Fourteen workers lost their lives during the work, mostly in falls. King "
            "George V opened the bridge on May 3, 1926. After World War II traffic rose sharply; by 1958 over 18,000 vehicles "
            "used it each day. The older Selwick ferry did not close until 1961. Because it had never been changed "
            "significantly, the structure was listed as a monument in 1984. Today the bridge belongs to the city of Corby, and "
            "Selwick looks after the approach roads.",
            "Spanning the Ouse in northern England, the Harlan Bridge is an arch of steel drawn up by the engineer Margaret "
            "Dunne. Work on it began in 1921 and ended in 1926, having consumed £1.2 million. At high water the roadway hangs "
            "47 metres over the river, carried by a central span of 312 metres. The project claimed the lives of 14 men, the "
            "majority through falls, before King George V could inaugurate the crossing on 3 May 1926. Once the Second World "
            "War was over, use of the bridge climbed steeply, with daily traffic exceeding 18,000 vehicles by 1958. Even so, "
            "the ferry at Selwick, which was older, kept running until 1961. The bridge has remained free of major "
            "alterations, and it therefore received monument status in 1984. Its present owner is the city of Corby; the "
            "approach roads are in Selwick's care.",
        ),
        (
            ("number off by one", "312", "313"),
            ("number times ten", "18,000", "180,000"),
            ("number swapped", "1921", "1926"),
            ("unit changed", "312 metres", "312 feet"),
            ("unit changed", "312 m ", "312 km "),
            ("negated", "was not closed until", "was closed before"),
            ("antonym", "increased sharply", "decreased sharply"),
            ("antonym", "rose sharply", "fell sharply"),
            ("antonym", "climbed steeply", "dropped steeply"),
            ("bound turned", "more than 18,000", "fewer than 18,000"),
            ("bound turned", "over 18,000", "under 18,000"),
            ("name replaced", "Margaret Dunne", "Robert Maillart"),
            ("name replaced", "King George V", "Queen Victoria"),
            ("date changed", "3 May 1926", "3 June 1926"),
            ("date changed", "May 3, 1926", "May 8, 1926"),
            ("order turned", "after the Second World War", "before the Second World War"),
            ("order turned", "After World War II", "Before World War II"),
            (
                "roles swapped",
                "The city of Corby now owns the bridge, while Selwick maintains",
                "The city of Selwick now owns the bridge, while Corby maintains",
            ),
            (
                "roles swapped",
                "belongs to the city of Corby, and Selwick looks",
                "belongs to the city of Selwick, and Corby looks",
            ),
            (
                "roles swapped",
                "is the city of Corby; the approach roads are in Selwick's care",
                "is the city of Selwick; the approach roads are in Corby's care",
            ),
            ("negated", "it had never been altered", "it had often been altered"),
            ("negated", "had never been changed", "had been changed"),
            (
                "invented",
                "In 1984",
                "The bridge was closed for repairs by a terrorist attack in the following decade. In 1984",
            ),
        ),
    ),
    Sample(
        "war",
        "encyclopedic",
        "The Kingdom of Arvenia defeated the Duchy of Lorn at the Battle of Teal Hill on 12 August 1647. The Arvenian army, led "
        "by General Isak Brandt, had about 9,000 men, while Duke Orsino of Lorn commanded 12,500. Brandt attacked before dawn "
        "and captured the artillery, which the duke had left without a guard. All of the Lornish cannon were lost. Orsino fled "
        "to Vessen and later accused his brother Matteo of treason. The victory gave Arvenia control of the salt mines, "
        "although the city of Vessen never surrendered. Under the Treaty of Halm, signed in 1649, Lorn paid Arvenia 300,000 "
        "crowns and Arvenia returned the port of Sael to Lorn. Historians rarely agree about the number of dead: estimates "
        "range from 2,000 to 5,000.",
        (
            "On 12 August 1647, the Duchy of Lorn was defeated by the Kingdom of Arvenia in the Battle of Teal Hill. General "
            "Isak Brandt led the Arvenian army of roughly 9,000 men; Duke Orsino of Lorn had 12,500 under his command. Attacking "
            "before dawn, Brandt took the artillery, which the duke had left unguarded. Every Lornish cannon was lost. Orsino "
            "escaped to Vessen, where he later accused Matteo, his brother, of treason. The victory gave the salt mines to "
            "Arvenia, but the city of Vessen did not surrender. In the Treaty of Halm, which was signed in 1649, Lorn paid "
            "300,000 crowns to Arvenia, and the port of Sael was returned to Lorn by Arvenia. Historians seldom agree on how "
            "many died, with estimates between 2,000 and 5,000.",
            "The Battle of Teal Hill, fought on August 12, 1647, ended in victory for the Kingdom of Arvenia over the Duchy of "
            "Lorn. Although Duke Orsino had 12,500 Lornish soldiers and his opponent, General Isak Brandt, only some 9,000, the "
            "Arvenians struck before sunrise. They overran the duke's artillery, for which he had posted no guard, and all of its "
            "guns fell into their hands. The duke took refuge in Vessen and afterwards charged his brother Matteo with treason. "
            "Arvenia now held the salt mines; Vessen itself, however, never gave in. Two years later, in 1649, the parties "
            "concluded the Treaty of Halm: Lorn owed Arvenia a payment of 300,000 crowns, and in return Arvenia gave Lorn back "
            "the port of Sael. The death toll is disputed to this day. Figures between 2,000 and 5,000 have been proposed, and "
            "scholars seldom settle on one.",
        ),
        (
            (
                "roles swapped",
                "The Kingdom of Arvenia defeated the Duchy of Lorn",
                "The Duchy of Lorn defeated the Kingdom of Arvenia",
            ),
            (
                "roles swapped",
                "the Duchy of Lorn was defeated by the Kingdom of Arvenia",
                "the Kingdom of Arvenia was defeated by the Duchy of Lorn",
            ),
            (
                "roles swapped",
                "victory for the Kingdom of Arvenia over the Duchy of Lorn",
                "victory for the Duchy of Lorn over the Kingdom of Arvenia",
            ),
            ("number swapped", "9,000", "12,500"),
            ("number off by one", "1647", "1648"),
            ("number times ten", "300,000", "30,000"),
            ("negated", "never surrendered", "soon surrendered"),
            ("negated", "did not surrender", "surrendered"),
            ("negated", "without a guard", "with a guard"),
            ("quantifier", "All of the Lornish cannon", "Some of the Lornish cannon"),
            ("quantifier", "Every Lornish cannon", "No Lornish cannon"),
            ("quantifier", "rarely agree", "always agree"),
            ("quantifier", "seldom agree", "usually agree"),
            ("order turned", "before dawn", "after dawn"),
            ("name replaced", "Matteo", "Lorenzo"),
            ("name replaced", "Vessen", "Dresden"),
            (
                "roles swapped",
                "Lorn paid Arvenia 300,000 crowns and Arvenia returned the port of Sael to Lorn",
                "Arvenia paid Lorn 300,000 crowns and Lorn returned the port of Sael to Arvenia",
            ),
            ("date changed", "12 August", "21 August"),
            ("date changed", "August 12, 1647", "August 12, 1747"),
            ("roles swapped", "accused his brother Matteo", "was accused by his brother Matteo"),
        ),
    ),
    Sample(
        "bird",
        "encyclopedic",
        "The marsh lapper is a small wading bird found in the wetlands of eastern Poland, Belarus and Ukraine. Adults weigh "
        "between 60 and 85 grams and have a wingspan of 38 cm. Males are larger than females and have a red throat. The bird "
        "feeds mostly on snails, worms, beetles, spiders and small crabs, and it rarely eats seeds. It does not migrate. "
        "Breeding starts in April; the female lays four eggs, which hatch after 21 days. Both parents feed the young. The "
        "population fell by 40 percent between 1980 and 2005, mainly because marshes were drained. Since 2010 numbers have "
        "increased slightly in Belarus, where hunting is forbidden. The species was first described by Johann Keller in 1803.",
        (
            "A small wader, the marsh lapper lives in wetlands in Ukraine, Belarus and the east of Poland. An adult weighs 60 to "
            "85 g and its wingspan is 38 centimetres. The male, which has a red throat, is larger than the female. It lives "
            "mostly on snails, insects and other small animals and seldom eats seeds. The bird is not migratory. It breeds from "
            "April on: the female lays 4 eggs, and these hatch after twenty-one days. The young are fed by both parents. From "
            "1980 to 2005 the population decreased by 40 %, above all because of the draining of marshes. In Belarus, where "
            "hunting is banned, numbers have risen slightly since 2010. Johann Keller first described the species in 1803.",
            "First described by Johann Keller in 1803, the marsh lapper is a little wading bird of Polish, Belarusian and "
            "Ukrainian wetlands. Grown birds tip the scales at 60 to 85 grams, with wings that stretch 38 cm from tip to tip; "
            "the red-throated males outsize the females. Snails, worms and similar small creatures make up most of the diet, "
            "and seeds are eaten only rarely. Rather than migrating, the birds stay all year. The season for breeding opens in "
            "April, when four eggs are laid by the female. They take 21 days to hatch, and the chicks are then raised by both "
            "parents. Drainage of the marshes was the main reason why numbers dropped by 40 per cent from 1980 to 2005. A slight "
            "recovery has been seen since 2010 in Belarus, which does not allow hunting.",
        ),
        (
            ("unit changed", "85 grams", "85 kilograms"),
            ("unit changed", "38 cm", "38 mm"),
            ("number off by one", "21 days", "22 days"),
            ("number off by one", "four eggs", "five eggs"),
            ("number times ten", "40 per", "4 per"),
            ("number times ten", "40 %", "400 %"),
            ("antonym", "fell by", "rose by"),
            ("antonym", "decreased by", "increased by"),
            ("antonym", "dropped by", "grew by"),
            ("negated", "does not migrate", "migrates"),
            ("negated", "is not migratory", "is migratory"),
            ("negated", "does not allow hunting", "allows hunting"),
            ("negated", "hunting is forbidden", "hunting is allowed"),
            ("antonym", "are larger than", "are smaller than"),
            ("antonym", "is larger than", "is smaller than"),
            ("number swapped", "1980 and 2005", "2005 and 2010"),
            ("name replaced", "Johann Keller", "Charles Darwin"),
            ("quantifier", "rarely", "always"),
            ("quantifier", "seldom", "usually"),
            ("quantifier", "mostly on snails", "never on snails"),
            ("name replaced", "Belarus", "Romania"),
        ),
    ),
    Sample(
        "harbour",
        "narrative",
        "Anna woke before sunrise and found that the boat was gone. She ran down to the harbour, where old Tomas was mending "
        "his nets. He told her that her brother Jonas had taken it out at four o'clock, although the wind was rising. She "
        "begged him to follow, but he refused, because his engine was broken. Then she remembered the lighthouse. She climbed "
        "the hill, broke the lock with a stone and lit the lamp. An hour later she saw a sail in the rain. Jonas had turned back "
        "when he noticed the light. He was cold and silent, and he had lost two of his three nets. Anna did not scold him. "
        "Finally they walked home together, and their mother never learned what had happened.",
        (
            "Anna woke up before sunrise to discover that the boat was missing. She hurried down to the harbour, where old Tomas "
            "sat mending nets. He said that Jonas, her brother, had sailed at 4 o'clock even though the wind was getting up. She "
            "pleaded with him to go after Jonas, but he would not, since his engine was broken. Then the lighthouse came to her "
            "mind. She climbed the hill, smashed the lock with a stone and lit the lamp. One hour later a sail appeared in the "
            "rain. Jonas had noticed the light and turned back. He was cold and did not speak, and two of his three nets were "
            "lost. Anna didn't scold him. In the end they walked home together, and their mother never found out what had "
            "happened.",
            "It was still dark when Anna awoke and noticed that the boat had disappeared. Down at the harbour she came upon old "
            "Tomas, who was busy with his nets and told her the truth: at four o'clock her brother Jonas had put out in it, in "
            "spite of a rising wind. Her plea that he go after him was in vain, for Tomas's engine was broken. It was then that "
            "she thought of the lighthouse. Up the hill she went, forced the lock with a stone, and set the lamp burning. After "
            "an hour, a sail came into view through the rain: the light had made Jonas turn round. Chilled and wordless, he had "
            "only one of his three nets left, two being lost. No reproach came from Anna. The two finally went home side by "
            "side, and what had happened was kept from their mother for ever.",
        ),
        (
            ("name swapped", "Anna did not scold him", "Tomas did not scold him"),
            ("name replaced", "old Tomas", "old Peter"),
            ("name swapped", "her brother Jonas", "her brother Tomas"),
            ("number changed", "four o'clock", "six o'clock"),
            ("number changed", "4 o'clock", "5 o'clock"),
            ("number changed", "his three nets", "his five nets"),
            ("negated", "did not scold", "scolded"),
            ("negated", "didn't scold", "scolded"),
            ("negated", "their mother never", "their mother soon"),
            ("negated", "but he refused, because", "and he agreed, although"),
            ("order turned", "before sunrise", "after sunrise"),
            (
                "events reordered",
                "She climbed the hill, broke the lock with a stone and lit the lamp. An hour later she saw a sail in the rain.",
                "She saw a sail in the rain. An hour later she climbed the hill, broke the lock with a stone and lit the lamp.",
            ),
            (
                "events reordered",
                "She climbed the hill, smashed the lock with a stone and lit the lamp. One hour later a sail appeared in the rain.",
                "A sail appeared in the rain. One hour later she climbed the hill, smashed the lock with a stone and lit the lamp.",
            ),
            ("invented", "He was cold", "A shark had torn the hull open from stem to stern. He was cold"),
            ("invented", "Anna did", "Their cousin Elsa brought hot soup from the tavern kitchen. Anna did"),
        ),
    ),
    Sample(
        "market",
        "narrative",
        "When the rain stopped, Mr Okafor opened his stall and hung up the lamps. A girl in a green coat asked for the price "
        "of a clock. He said it cost twelve pounds, but she had only nine. She put the coins on the table and began to cry. The "
        "clock had belonged to her grandfather, she said, and her uncle Daniel had sold it without asking anyone. Mr Okafor "
        "wound the clock and listened to it for a moment. Then he wrapped it in newspaper and gave it to her for nothing. She "
        "thanked him and ran off towards the station. Later that evening Daniel came to the stall. He wanted to buy the clock "
        "back, and he offered forty pounds. Mr Okafor told him that he was too late.",
        (
            "After the rain had stopped, Mr Okafor opened the stall and hung his lamps. A girl wearing a green coat asked how much "
            "a clock was. It cost £12, he told her, but she only had £9. She laid the coins on the table and started to cry. She "
            "explained that the clock had been her grandfather's and that Daniel, her uncle, had sold it and had not asked anybody. "
            "Mr Okafor wound it up and listened for a moment. He then wrapped the clock in newspaper and let her have it for "
            "nothing. She thanked him and ran away in the direction of the station. Later that evening, Daniel turned up at the "
            "stall, wanting to buy back the clock, for which he offered £40. Mr Okafor said to him that he had come too late.",
        ),
        (
            ("number changed", "twelve pounds", "twenty pounds"),
            ("number swapped", "£12, he told her, but she only had £9", "£9, he told her, but she only had £12"),
            ("number swapped", "twelve pounds, but she had only nine", "nine pounds, but she had only twelve"),
            ("number changed", "forty pounds", "fourteen pounds"),
            ("unit changed", "forty pounds", "forty euros"),
            ("unit changed", "£40", "$40"),
            ("name swapped", "Later that evening Daniel came", "Later that evening Mr Okafor came"),
            ("name replaced", "Mr Okafor wound", "Mr Smith wound"),
            ("negated", "without asking anyone", "after asking everyone"),
            ("negated", "had not asked anybody", "had asked everybody"),
            ("antonym", "too late", "too early"),
            ("antonym", "to buy the clock back", "to sell the clock back"),
            ("order turned", "When the rain stopped", "Before the rain stopped"),
            ("order turned", "After the rain had stopped", "Before the rain had stopped"),
            (
                "events reordered",
                "Mr Okafor wound the clock and listened to it for a moment. Then he wrapped it in newspaper and gave it to her for nothing.",
                "Mr Okafor wrapped the clock in newspaper and gave it to her for nothing. Then he wound it and listened to it for a moment.",
            ),
        ),
    ),
    Sample(
        "pump",
        "technical",
        "Install the pump on a level surface at least 30 cm from the wall. First, close the inlet valve and disconnect the "
        "power supply. Then attach the hose with the two clamps supplied; do not use any other clamps. Before starting the "
        "motor, fill the housing with 1.5 litres of oil. The motor draws 3.2 kW at 230 V and must not run dry for more than "
        "20 seconds. The controller, model PX-40, runs firmware 2.4.1 and reads the pressure every 500 ms. If the pressure "
        "exceeds 8 bar, the controller stops the motor and opens the relief valve. Never open the cover while the motor is "
        "running. The filter must be replaced every 400 hours; the belt may be replaced at the same time. Operating "
        "temperatures range from -10 °C to 45 °C.",
        (
            "The pump must be mounted on a level surface, 30 centimetres or more from the wall. First shut the inlet valve and "
            "unplug the power supply. Next, fix the hose using the two clamps that come with it, and don't use any others. Fill "
            "the housing with 1.5 l of oil before the motor is started. The motor, which needs 3.2 kilowatts at 230 volts, must "
            "not be run dry for longer than 20 s. The PX-40 controller (firmware 2.4.1) measures the pressure every 500 "
            "milliseconds. When the pressure is over 8 bar, it stops the motor and opens the relief valve. Never open the cover "
            "when the motor is running. It is mandatory to replace the filter every 400 hours, and the belt may be replaced along "
            "with it. The operating temperature lies between minus 10 and 45 degrees Celsius.",
            "Choose a level place for the pump, no closer than 30 cm to the wall. To begin with, the inlet valve has to be closed "
            "and the power supply disconnected; the hose is then attached, for which only the two supplied clamps are suitable. "
            "The housing needs 1.5 litres of oil before the motor is switched on for the first time. Rated at 3.2 kW and 230 V, "
            "the motor can't be left to run dry for over 20 seconds. Pressure readings are taken each 500 ms by the PX-40 "
            "controller, whose firmware has version 2.4.1. Above 8 bar it halts the motor, and the relief valve is opened. The "
            "cover is never to be opened with the motor running. Every 400 hours a new filter is required, and on that occasion "
            "the belt may be changed too. The unit works from -10 °C up to 45 °C.",
        ),
        (
            ("number off by one", "230", "231"),
            ("version changed", "2.4.1", "2.4.2"),
            ("code changed", "PX-40", "PX-50"),
            ("unit changed", "500 ms", "500 s"),
            ("unit changed", "8 bar", "8 psi"),
            ("unit changed", "3.2 kW", "3.2 MW"),
            ("number changed", "1.5", "5.1"),
            ("sign lost", "-10 °C", "10 °C"),
            ("sign lost", "minus 10", "10"),
            ("negated", "do not use any other", "use any other"),
            ("negated", "must not run dry", "must run dry"),
            ("negated", "Never open the cover", "Always open the cover"),
            ("negated", "is never to be opened", "is to be opened"),
            ("quantifier", "filter must be replaced", "filter may be replaced"),
            ("quantifier", "It is mandatory to replace the filter", "It is optional to replace the filter"),
            ("antonym", "closed and", "opened and"),
            ("antonym", "close the inlet", "open the inlet"),
            ("order turned", "Before starting the motor", "After starting the motor"),
            ("order turned", "before the motor is started", "after the motor is started"),
            ("order turned", "before the motor is switched on", "after the motor is switched on"),
            (
                "events reordered",
                "First, close the inlet valve and disconnect the power supply. Then attach the hose with the two clamps supplied;",
                "First, attach the hose with the two clamps supplied. Then close the inlet valve and disconnect the power supply;",
            ),
            ("number swapped", "400 hours", "500 hours"),
            ("bound turned", "at least 30 cm", "at most 30 cm"),
        ),
    ),
    Sample(
        "protocol",
        "technical",
        "The Relay protocol transfers files between a client and a server over TCP port 7431. The client opens the connection "
        "and sends a HELLO message, which must contain the protocol version. The server replies with READY or, if the version "
        "is not supported, with ERROR 12. Each file is divided into blocks of 64 KiB, and each block is followed by a 32-bit "
        "checksum. If a checksum is wrong, the server requests the block again; after 5 failed attempts it closes the "
        "connection. Clients should compress text files but should not compress images. Passwords are never sent in clear "
        "text. Compared with version 1, version 2 reduces latency by 35% and doubles the maximum file size to 16 GB. Servers "
        "written for version 1 cannot read files that were encrypted by Relay 2.",
        (
            "Relay is a protocol by which a client and a server exchange files through TCP port 7431. After opening the connection, "
            "the client sends a HELLO message; the message must include the protocol version. The server's reply is READY, or "
            "ERROR 12 if it does not support the version. Files are split into 64 KiB blocks, every one of them followed by a "
            "checksum of 32 bits. When a checksum is incorrect, the server asks for the block again, and it closes the connection "
            "after five failed attempts. Text files should be compressed by clients, images should not. Passwords are never "
            "transmitted in clear text. Version 2 has a latency that is 35 percent lower than that of version 1, and its maximum "
            "file size is twice as large, 16 GB. A server written for version 1 is unable to read files encrypted by Relay 2.",
        ),
        (
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
            ("quantifier", "must contain", "may contain"),
            ("quantifier", "must include", "may include"),
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
    Sample(
        "budget",
        "numeric",
        "The town of Elmsford published its accounts for 2019 on Monday. Revenue rose from $48.3 million to $51.7 million, an "
        "increase of 7 percent. Property taxes brought in $29.1 million, fees $8.4 million and grants $14.2 million. Spending "
        "on schools reached $22.6 million, compared with $20.9 million in 2018, while spending on roads fell to $6.5 million. "
        "The town employs 412 people, of whom 187 work in schools and 64 in the police. Debt stands at $33 million, and "
        "interest payments cost $1.1 million a year. Mayor Linda Cho said that no taxes would be raised in 2020. The council "
        "approved the accounts by 8 votes to 3. The opposition, led by Paul Reyes, criticised the cuts to roads, and said that "
        "two thirds of all bridges needed repair.",
        (
            "Elmsford's accounts for 2019 were published on Monday. The town's revenue went up 7%, from 48.3 million dollars to "
            "51.7 million dollars. Of this, $29.1 million came from property taxes, $8.4 million from fees and $14.2 million from "
            "grants. $22.6 million was spent on schools, up from $20.9 million in 2018; road spending dropped to $6.5 million. Of "
            "the 412 people employed by the town, 187 work in schools and 64 in the police. The debt is $33 million, and interest "
            "costs $1.1 million per year. No taxes would be raised in 2020, said Mayor Linda Cho. By eight votes to three the council "
            "approved the accounts. Opposition leader Paul Reyes criticised the cuts in road spending and said that two-thirds of "
            "all the bridges were in need of repair.",
            "On Monday the town of Elmsford presented its figures for 2019. Income grew by 7 percent to $51.7m, having been $48.3m "
            "before. The largest source was property tax with $29.1m, ahead of grants at $14.2m and fees at $8.4m. Schools received "
            "$22.6m, against $20.9m in 2018, but the sum for roads shrank to $6.5m. There are 412 people on the town's payroll: the "
            "schools have 187 of them and the police 64. Servicing the debt of $33m takes $1.1m each year. According to Mayor Linda "
            "Cho, there will be no tax rises in 2020. The accounts passed the council with 8 votes in favour and 3 against. For the "
            "opposition, Paul Reyes attacked the reductions for roads, adding that repair was needed by two thirds of all bridges.",
        ),
        (
            ("number swapped", "$48.3 million to $51.7 million", "$51.7 million to $48.3 million"),
            (
                "number swapped",
                "48.3 million dollars to 51.7 million dollars",
                "51.7 million dollars to 48.3 million dollars",
            ),
            (
                "number swapped",
                "fees $8.4 million and grants $14.2 million",
                "fees $14.2 million and grants $8.4 million",
            ),
            (
                "number swapped",
                "$8.4 million from fees and $14.2 million from grants",
                "$14.2 million from fees and $8.4 million from grants",
            ),
            ("number swapped", "grants at $14.2m and fees at $8.4m", "grants at $8.4m and fees at $14.2m"),
            ("number swapped", "187 work in schools and 64 in the police", "64 work in schools and 187 in the police"),
            (
                "number swapped",
                "schools have 187 of them and the police 64",
                "schools have 64 of them and the police 187",
            ),
            ("number swapped", "by 8 votes to 3", "by 3 votes to 8"),
            ("number off by one", "412", "411"),
            ("number times ten", "$33 million", "$330 million"),
            ("number times ten", "$33m", "$3.3m"),
            ("unit changed", "$6.5 million", "€6.5 million"),
            ("unit changed", "$1.1 million", "$1.1 billion"),
            ("unit changed", "$20.9m", "$20.9bn"),
            ("antonym", "Revenue rose", "Revenue fell"),
            ("antonym", "revenue went up", "revenue went down"),
            ("antonym", "Income grew", "Income shrank"),
            ("negated", "no taxes would be raised", "taxes would be raised"),
            ("negated", "there will be no tax rises", "there will be tax rises"),
            ("negated", "No taxes would be", "Taxes would be"),
            ("name swapped", "Mayor Linda Cho", "Mayor Paul Reyes"),
            ("number changed", "two thirds", "three quarters"),
            ("number changed", "7 percent", "17 percent"),
            ("date changed", "Monday", "Friday"),
        ),
    ),
    Sample(
        "trial",
        "numeric",
        "In a trial at three hospitals, 640 patients received either 50 mg of the new drug or a placebo twice a day for 12 weeks. "
        "The drug group had 322 patients, the placebo group 318. Blood pressure fell by 14 mmHg in the drug group and by 3 mmHg "
        "in the placebo group. Headaches were reported by 9% of those who took the drug and by 6% of the others. Twenty-one "
        "patients left the study early, 15 of them in the drug group. No deaths occurred. At a dose of 100 mg the effect was not "
        "stronger, but side effects were more frequent. The mean age was 57.4 years and 48% of the patients were women. The study, "
        "which cost 2.3 million euros, was paid for by Norvex. It was led by Dr Helena Park of Lund University, who published the "
        "results in March 2021.",
        (
            "Three hospitals took part in a trial in which 640 patients were given, two times a day over 12 weeks, either 50 "
            "milligrams of the new drug or a placebo. There were 322 patients in the drug group and 318 in the placebo group. In the "
            "drug group blood pressure dropped by 14 mmHg, in the placebo group by 3 mmHg. 9 percent of those taking the drug "
            "reported headaches, compared with 6 percent of the others. 21 patients quit the study early; 15 of these were in the "
            "drug group. There were no deaths. A dose of 100 mg did not have a stronger effect but caused more frequent side effects. "
            "The patients' mean age was 57.4, and 48 percent were women. Norvex paid for the study, which cost €2.3 million. Led by "
            "Helena Park of the University of Lund, it was published in March 2021.",
        ),
        (
            (
                "number swapped",
                "drug group had 322 patients, the placebo group 318",
                "drug group had 318 patients, the placebo group 322",
            ),
            (
                "number swapped",
                "322 patients in the drug group and 318 in",
                "318 patients in the drug group and 322 in",
            ),
            (
                "number swapped",
                "by 14 mmHg in the drug group and by 3 mmHg",
                "by 3 mmHg in the drug group and by 14 mmHg",
            ),
            ("number swapped", "9% of those who took the drug and by 6%", "6% of those who took the drug and by 9%"),
            ("unit changed", "50 mg", "50 g"),
            ("unit changed", "50 milligrams", "50 micrograms"),
            ("unit changed", "12 weeks", "12 months"),
            ("number off by one", "57.4", "58.4"),
            ("number times ten", "640", "6,400"),
            ("negated", "No deaths occurred", "Deaths occurred"),
            ("negated", "There were no deaths", "There were deaths"),
            ("negated", "was not stronger", "was stronger"),
            ("negated", "did not have a stronger", "had a stronger"),
            ("antonym", "Blood pressure fell", "Blood pressure rose"),
            ("antonym", "blood pressure dropped", "blood pressure increased"),
            ("antonym", "more frequent", "less frequent"),
            ("name replaced", "Norvex", "Pfizer"),
            ("name replaced", "Helena Park", "Helena Berg"),
            ("date changed", "March 2021", "May 2021"),
            ("invented", "The mean age", "Regulators later withdrew the licence because of liver damage. The mean age"),
            ("invented", "Norvex paid", "Critics accused the authors of hiding unpublished data. Norvex paid"),
        ),
    ),
)
