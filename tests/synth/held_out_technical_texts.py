# ruff: noqa: E501
"""Texts that the gate's rules and thresholds were not made with: technical and numeric ones."""

from fidelity_texts import Sample

TECHNICAL = (
    Sample(
        "battery",
        "technical",
        "A lithium-ion cell stores energy by moving lithium ions between two electrodes. During discharge the ions travel from the "
        "graphite anode through the electrolyte to the metal-oxide cathode; during charging they travel back. The nominal voltage of a "
        "cell is 3.7 V, and it must never be charged above 4.2 V. Below 0 °C the cell should not be charged at all, because metallic "
        "lithium may form on the anode. A typical cell of type 18650 has a diameter of 18 mm, a length of 65 mm and a capacity of 2,500 "
        "mAh. After about 500 full cycles it keeps at least 80% of its capacity. Storing it at half charge slows ageing. Always disconnect "
        "the charger before you open the housing.",
        (
            "Energy is stored in a lithium-ion cell by lithium ions that move between two electrodes: on discharge from the graphite anode "
            "through the electrolyte to the cathode, which is a metal oxide, and on charging in the opposite direction. The cell has a "
            "nominal voltage of 3.7 volts. Never charge it above 4.2 volts, and do not charge it at temperatures below 0 °C, since metallic "
            "lithium may then form on the anode. A cell of the common type 18650 is 18 mm in diameter and 65 mm long, with a capacity of "
            "2500 mAh, of which at least 80 percent remain after some 500 full cycles. Ageing is slower if the cell is stored half charged. "
            "Before opening the housing, always disconnect the charger.",
            "Two electrodes and an electrolyte make up a lithium-ion cell. When the cell is discharged, lithium ions pass through the "
            "electrolyte from the anode, made of graphite, to the cathode, made of a metal oxide. Charging drives them back again. 3.7 V is "
            "the nominal voltage; 4.2 V must never be exceeded in charging. There should be no charging at all when it is colder than 0 °C, "
            "for metallic lithium could build up on the anode. The typical 18650 cell measures 18 mm across and 65 mm in length and holds "
            "2,500 mAh. About 500 full cycles leave it with 80% of its capacity or more. It ages more slowly when kept at half charge. The "
            "charger must always be disconnected before the housing is opened.",
        ),
        (
            ("number changed", "3.7 V", "7.3 V"),
            ("number changed", "3.7 volts", "2.7 volts"),
            ("number off by one", "4.2", "4.3"),
            ("number swapped", "18 mm", "65 mm"),
            ("number times ten", "2,500", "25,000"),
            ("number times ten", "2500", "250"),
            ("number off by one", "500 full", "501 full"),
            ("number changed", "80", "60"),
            ("unit changed", "18 mm", "18 cm"),
            ("unit changed", "0 °C", "0 °F"),
            ("unit changed", "mAh", "Ah"),
            ("negated", "must never be charged", "may be charged"),
            ("negated", "Never charge it", "Always charge it"),
            ("negated", "must never be exceeded", "must always be exceeded"),
            ("negated", "should not be charged at all", "should be charged"),
            ("negated", "do not charge it at", "charge it at"),
            ("antonym", "slows ageing", "speeds up ageing"),
            ("antonym", "Ageing is slower", "Ageing is faster"),
            ("antonym", "ages more slowly", "ages more quickly"),
            ("bound turned", "at least 80", "at most 80"),
            ("bound turned", "or more", "or less"),
            ("bound turned", "charged above 4.2 V", "charged below 4.2 V"),
            ("order turned", "before you open the housing", "after you open the housing"),
            ("order turned", "Before opening the housing", "After opening the housing"),
            ("order turned", "before the housing is opened", "after the housing is opened"),
            (
                "roles swapped",
                "from the graphite anode through the electrolyte to the metal-oxide cathode",
                "from the metal-oxide cathode through the electrolyte to the graphite anode",
            ),
            ("quantifier", "Always disconnect", "Sometimes disconnect"),
            ("invented", "A typical cell", "The casing is painted green. A typical cell"),
        ),
    ),
    Sample(
        "git",
        "technical",
        "Git stores every version of a project as a snapshot and names each commit by a SHA-1 hash of 40 hexadecimal digits. Linus Torvalds "
        "wrote the first version in April 2005, after the Linux kernel lost its free licence for BitKeeper. A branch is only a movable "
        "pointer to a commit, so creating one takes a few milliseconds. `git fetch` downloads new commits from a remote repository but "
        "does not change your working files; `git pull` fetches first and then merges. Commits that no branch reaches are deleted by "
        "garbage collection after 30 days. Most hosting services reject files larger than 100 MB. Junio Hamano has maintained Git since "
        "July 2005.",
        (
            "In Git each version of a project is kept as a snapshot, and each commit is named by a 40-digit hexadecimal SHA-1 hash. The first "
            "version was written by Linus Torvalds in April 2005, when the Linux kernel had lost its free BitKeeper licence. Since a branch "
            "is just a pointer to a commit that can move, it takes only a few milliseconds to create one. New commits are downloaded from a "
            "remote repository by `git fetch`, which leaves your working files unchanged; `git pull` first fetches and then merges. Garbage "
            "collection deletes commits that are reached by no branch after 30 days. Files of more than 100 MB are rejected by most hosting "
            "services. Git has been maintained by Junio Hamano since July 2005.",
            "Every version of a project is saved by Git as a snapshot. A SHA-1 hash, 40 hexadecimal digits long, serves as the name of a "
            "commit, and a branch is nothing more than a movable pointer to such a commit; making one is a matter of a few milliseconds. Git "
            "goes back to April 2005: BitKeeper was no longer free for the Linux kernel, so Linus Torvalds wrote a first version. Junio "
            "Hamano took over in July 2005 and has maintained it ever since. With `git fetch` you download new commits from a remote "
            "repository, and your working files stay as they are. `git pull` begins with a fetch and continues with a merge. After 30 days "
            "garbage collection removes commits that cannot be reached from any branch. A file over 100 MB is refused by most hosting "
            "services.",
        ),
        (
            ("number changed", "40", "64"),
            ("number off by one", "30 days", "31 days"),
            ("number times ten", "100 MB", "1,000 MB"),
            ("unit changed", "100 MB", "100 GB"),
            ("unit changed", "milliseconds", "seconds"),
            ("unit changed", "30 days", "30 weeks"),
            ("date changed", "April 2005", "August 2005"),
            ("date changed", "July 2005", "July 2015"),
            ("negated", "does not change your working files", "changes your working files"),
            ("negated", "leaves your working files unchanged", "changes your working files"),
            ("negated", "Commits that no branch reaches", "Commits that a branch reaches"),
            ("negated", "cannot be reached", "can be reached"),
            ("antonym", "Most hosting services reject", "Most hosting services accept"),
            ("antonym", "files larger than", "files smaller than"),
            ("antonym", "Files of more than", "Files of less than"),
            ("antonym", "downloads new commits from", "uploads new commits to"),
            ("quantifier", "Most hosting services", "No hosting services"),
            ("quantifier", "by most hosting services", "by no hosting services"),
            ("name replaced", "Linus Torvalds", "Richard Stallman"),
            ("name replaced", "BitKeeper", "Subversion"),
            ("name replaced", "SHA-1", "MD5"),
            ("name swapped", "Junio Hamano has maintained", "Linus Torvalds has maintained"),
            ("order turned", "fetches first and then merges", "merges first and then fetches"),
            ("order turned", "first fetches and then merges", "first merges and then fetches"),
            ("roles swapped", "`git fetch` downloads new", "`git pull` downloads new"),
            ("invented", "A branch is only", "Its logo is a red diamond. A branch is only"),
        ),
    ),
)

NUMERIC = (
    Sample(
        "harvest",
        "numeric",
        "The cooperative's 212 farms harvested 48,300 tonnes of wheat in 2022, 6% less than in 2021, and 19,750 tonnes of barley, 11% more. "
        "The average yield of wheat fell from 7.4 to 6.9 tonnes per hectare, mainly because only 41 mm of rain fell in May. Storage cost "
        "€14.20 per tonne, and drying another €6.80. Wheat was sold at an average price of €318 per tonne, the highest since the "
        "cooperative was founded in 1964. After all costs members received €11.6 million, of which 30% was paid in August and the rest in "
        "December. Nine farms left the cooperative during the year and four joined. For 2023 the board expects between 50,000 and 52,000 "
        "tonnes of wheat.",
        (
            "In 2022 the 212 farms of the cooperative brought in 48,300 tonnes of wheat, down 6% from 2021, while barley rose by 11% to 19,750 "
            "tonnes. Wheat yields averaged 6.9 tonnes per hectare after 7.4 the year before; the main reason was that there were only 41 mm of "
            "rain in May. A tonne cost €14.20 to store and a further €6.80 to dry. The average selling price of wheat was €318 per tonne, "
            "higher than at any time since the cooperative's foundation in 1964. Members were paid €11.6 million after all costs: 30% in "
            "August, the remainder in December. During the year four farms joined and nine left. The board expects 50,000 to 52,000 tonnes of "
            "wheat for 2023.",
            "The wheat harvest of the cooperative, which has 212 farms, came to 48,300 tonnes in 2022. That was six percent less than in 2021; "
            "with barley it was the other way round, since 19,750 tonnes meant an increase of eleven percent. May had brought just 41 mm of "
            "rain, which is the chief reason why the average wheat yield dropped to 6.9 tonnes per hectare from 7.4. Per tonne, storage came to "
            "14.20 euros and drying to 6.80 euros. At 318 euros per tonne on average, wheat had never sold for so much since the cooperative "
            "was founded in 1964. What remained for the members after all costs was 11.6 million euros, 30% of it paid in August and 70% in "
            "December. Nine farms quit that year and four came in. In 2023 the board reckons with a wheat harvest of between 50,000 and 52,000 "
            "tonnes.",
        ),
        (
            ("number changed", "212", "221"),
            ("number off by one", "212", "213"),
            ("number times ten", "48,300", "483,000"),
            ("number swapped", "48,300 tonnes", "19,750 tonnes"),
            ("number changed", "41 mm", "14 mm"),
            ("number changed", "€14.20", "€12.40"),
            ("number changed", "14.20 euros", "41.20 euros"),
            ("number times ten", "11.6 million", "116 million"),
            ("number off by one", "1964", "1965"),
            ("number swapped", "from 7.4 to 6.9", "from 6.9 to 7.4"),
            ("number swapped", "6.9 tonnes per hectare after 7.4", "7.4 tonnes per hectare after 6.9"),
            ("number swapped", "to 6.9 tonnes per hectare from 7.4", "to 7.4 tonnes per hectare from 6.9"),
            ("number swapped", "between 50,000 and 52,000", "between 52,000 and 54,000"),
            ("number changed", "Nine farms", "Seven farms"),
            ("unit changed", "41 mm", "41 cm"),
            ("unit changed", "per hectare", "per acre"),
            ("unit changed", "€318", "$318"),
            ("unit changed", "318 euros", "318 dollars"),
            ("antonym", "6% less", "6% more"),
            ("antonym", "down 6%", "up 6%"),
            ("antonym", "six percent less", "six percent more"),
            ("antonym", "fell from", "rose from"),
            ("antonym", "the highest since", "the lowest since"),
            ("antonym", "higher than at any time", "lower than at any time"),
            (
                "roles swapped",
                "Nine farms left the cooperative during the year and four joined",
                "Nine farms joined the cooperative during the year and four left",
            ),
            ("roles swapped", "four farms joined and nine left", "four farms left and nine joined"),
            ("date changed", "in August", "in April"),
            ("invented", "Nine farms", "A new silo with 8 towers was opened. Nine farms"),
        ),
    ),
    Sample(
        "marathon",
        "numeric",
        "The 2019 city marathon had 14,208 starters from 63 countries, and 12,961 of them finished. Abel Kiprono won the men's race in 2:09:47, "
        "only 12 seconds ahead of Tomasz Zielinski. Among the women Hanna Lindqvist came first in 2:28:05, three minutes faster than in 2018, "
        "when she had been fourth. The start was at 8:30 am at a temperature of 9 °C, and by noon it was 17 °C. Helpers handed out 96,000 cups "
        "of water at 18 stations. The entry fee was $85, of which $10 went to a hospital. The oldest finisher was 81 and needed 5 hours and 52 "
        "minutes. 214 runners were treated by doctors, but none had to stay in hospital overnight.",
        (
            "Starters in the city marathon of 2019 numbered 14,208 and came from 63 countries; 12,961 reached the finish. The men's race was "
            "won by Abel Kiprono in 2:09:47. Tomasz Zielinski was just 12 seconds behind him. Hanna Lindqvist, fourth in 2018, was the first "
            "woman in 2:28:05 and improved by three minutes. It was 9 °C at the start at 8:30 am and 17 °C by noon. At 18 stations helpers gave "
            "out 96,000 cups of water. Of the entry fee of $85, a hospital received $10. The oldest runner to finish, aged 81, took 5 hours 52 "
            "minutes. Doctors treated 214 runners, none of whom had to remain in hospital overnight.",
            "With 12,961 of its 14,208 starters at the finish, the 2019 city marathon drew runners from 63 countries. Abel Kiprono's time of "
            "2:09:47 was enough to win among the men, twelve seconds before Tomasz Zielinski. The women's winner was Hanna Lindqvist: she had "
            "come fourth in 2018 and was now three minutes faster, at 2:28:05. When the race began at 8:30 in the morning, the thermometer "
            "showed 9 °C, and at noon 17 °C. There were eighteen stations, where 96,000 cups of water were handed out by helpers. Entry cost 85 "
            "dollars, and 10 dollars of that went to a hospital. At 81 years the oldest finisher was on the road for 5 hours and 52 minutes. No "
            "runner had to spend the night in hospital, though doctors treated 214.",
        ),
        (
            ("number changed", "14,208", "14,280"),
            ("number off by one", "63", "64"),
            ("number swapped", "14,208 starters", "12,961 starters"),
            ("number changed", "2:09:47", "2:07:49"),
            ("number changed", "2:28:05", "2:18:05"),
            ("number times ten", "96,000", "9,600"),
            ("number off by one", "18 stations", "19 stations"),
            ("number changed", "three minutes", "five minutes"),
            ("number swapped", "9 °C", "17 °C"),
            ("number changed", "81", "91"),
            ("number changed", "fourth", "fifth"),
            ("unit changed", "12 seconds", "12 minutes"),
            ("unit changed", "twelve seconds", "twelve minutes"),
            ("unit changed", "$85", "€85"),
            ("unit changed", "85 dollars", "85 euros"),
            ("unit changed", "5 hours", "5 days"),
            ("negated", "none had to stay", "all had to stay"),
            ("negated", "none of whom had to", "all of whom had to"),
            ("negated", "No runner had to", "Every runner had to"),
            ("antonym", "minutes faster", "minutes slower"),
            ("antonym", "The oldest", "The youngest"),
            ("antonym", "the oldest", "the youngest"),
            ("name replaced", "Hanna Lindqvist", "Ingrid Svensson"),
            ("name swapped", "Abel Kiprono", "Tomasz Zielinski"),
            (
                "roles swapped",
                "Tomasz Zielinski was just 12 seconds behind him",
                "Tomasz Zielinski was just 12 seconds ahead of him",
            ),
            ("antonym", "only 12 seconds ahead of", "only 12 seconds behind"),
            ("date changed", "in 2018", "in 2017"),
            ("invented", "The entry fee", "A brass band played at 7 places. The entry fee"),
            ("invented", "Entry cost", "The mayor fired the starting shot. Entry cost"),
        ),
    ),
)

HELD_OUT = (*TECHNICAL, *NUMERIC)
