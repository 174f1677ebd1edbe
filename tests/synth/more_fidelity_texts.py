# ruff: noqa: E501
"""More texts like those of `fidelity_texts`."""

from fidelity_texts import Sample

MORE_SAMPLES = (
    Sample(
        "chemist",
        "encyclopedic",
        "Clara Vennik (14 February 1871 – 9 October 1938) was a Dutch chemist who discovered two rare minerals and improved the "
        "production of glass. Born in Delft as the third of five children, she studied at the University of Leiden, where women "
        "had been admitted only since 1878. She received her doctorate in 1897. From 1899 to 1911 she worked for the Holtz "
        "company in Jena, Germany, and there she met the physicist Otto Brandl, whom she married in 1903. Vennik returned to the "
        "Netherlands after her husband's death and taught at a school in Utrecht. She refused the Royal Medal in 1926 because "
        "her assistant, Maria Hoek, had not been mentioned. She published 64 papers but never wrote a book.",
        (
            "The Dutch chemist Clara Vennik, who lived from 14 February 1871 to 9 October 1938, discovered two rare minerals and "
            "made glass production better. She was born in Delft, the third among five children. At Leiden University, which had "
            "only admitted women since 1878, she took her degree and, in 1897, her doctorate. She was employed by the Holtz company "
            "in the German city of Jena between 1899 and 1911. It was there that she got to know Otto Brandl, a physicist; they "
            "married in 1903. When her husband had died, Vennik went back to the Netherlands to teach at a school in Utrecht. In "
            "1926 she turned down the Royal Medal, since Maria Hoek, her assistant, had gone unmentioned. Her 64 papers were never "
            "joined by a book.",
            "Two rare minerals owe their discovery to Clara Vennik, a chemist from the Netherlands (born February 14, 1871; died "
            "October 9, 1938), who also advanced the making of glass. One of five siblings, she was her parents' third child and "
            "came into the world in Delft. Her student years were spent in Leiden at the university, open to women no earlier than "
            "1878, and she earned a doctorate there in 1897. Twelve years with the firm of Holtz in Jena, Germany, followed, from "
            "1899 until 1911. In Jena she also found a husband, the physicist Otto Brandl; the wedding took place in 1903. As a widow "
            "she moved back to her home country and worked as a schoolteacher in Utrecht. The Royal Medal was offered to her in 1926, "
            "but she would not accept it: her assistant, Maria Hoek, had been passed over. Vennik left 64 papers and not a single book.",
        ),
        (
            ("number changed", "64 papers", "46 papers"),
            ("date changed", "14 February", "15 February"),
            ("date changed", "February 14", "February 24"),
            ("number swapped", "1899", "1903"),
            ("name replaced", "Utrecht", "Rotterdam"),
            ("name swapped", "Maria Hoek", "Otto Hoek"),
            ("negated", "had not been mentioned", "had been mentioned"),
            ("negated", "never wrote a book", "also wrote a book"),
            ("negated", "She refused the Royal Medal", "She accepted the Royal Medal"),
            ("negated", "she would not accept it", "she gladly accepted it"),
            ("order turned", "after her husband's death", "before her husband's death"),
            ("number changed", "third of five", "fourth of five"),
            ("number changed", "two rare minerals", "three rare minerals"),
            ("name replaced", "Germany", "Austria"),
            ("name replaced", "Holtz", "Zeiss"),
            (
                "invented",
                "She received her doctorate",
                "She spoke eleven languages and kept parrots in her kitchen. She received her doctorate",
            ),
        ),
    ),
    Sample(
        "river",
        "encyclopedic",
        "The Soren is the second-longest river of the island. It rises at 1,840 metres on the slopes of Mount Kall and flows 276 "
        "kilometres west to the Bay of Dorne. Its largest tributary, the Little Soren, joins it from the left near the town of "
        "Hask. All towns on the upper course lie more than 10 km from the banks, because floods are common in spring. In 1931 a "
        "flood killed 113 people and destroyed the old bridge at Hask. A dam was completed in 1954; since then no serious flood has "
        "occurred. The dam provides about 30 percent of the island's electricity. Salmon have become rare, but trout are still "
        "abundant. Ships cannot use the river above Hask. The water is clean enough to drink in the mountains but not in the plains.",
        (
            "On this island only one river is longer than the Soren. From its source on Mount Kall's slopes, 1,840 m high, it runs "
            "276 km to the west and enters the Bay of Dorne. Close to the town of Hask it is joined from the left by the Little "
            "Soren, which is the largest of its tributaries. Since spring floods are frequent, every town along the upper course is "
            "situated over 10 kilometres away from the banks. The flood of 1931 cost 113 lives and destroyed the old bridge in Hask. "
            "No serious flood has happened since 1954, when a dam was finished, and this dam supplies roughly 30 % of the electricity "
            "on the island. Trout remain plentiful; salmon, however, are now rare. The river is not navigable above Hask. In the "
            "mountains its water can be drunk, in the plains it cannot.",
        ),
        (
            ("number changed", "276", "267"),
            ("unit changed", "276 kilometres", "276 miles"),
            ("number times ten", "1,840", "18,400"),
            ("antonym", "kilometres west", "kilometres east"),
            ("antonym", "from the left", "from the right"),
            (
                "antonym",
                "Salmon have become rare, but trout are still abundant",
                "Salmon are still abundant, but trout have become rare",
            ),
            ("quantifier", "All towns", "Some towns"),
            ("quantifier", "every town along", "no town along"),
            ("bound turned", "more than 10 km", "less than 10 km"),
            ("bound turned", "over 10 kilometres", "under 10 kilometres"),
            ("number swapped", "In 1931 a flood killed 113 people", "In 1954 a flood killed 113 people"),
            ("negated", "no serious flood has occurred", "serious floods have occurred"),
            ("negated", "Ships cannot use", "Ships can use"),
            ("negated", "is not navigable", "is navigable"),
            ("negated", "but not in the plains", "and in the plains"),
            ("number changed", "30 percent", "13 percent"),
            ("name replaced", "Bay of Dorne", "Bay of Biscay"),
            ("order turned", "since then no", "before then no"),
        ),
    ),
    Sample(
        "wolf",
        "narrative",
        "An old shepherd lived alone with his dog Bran at the edge of the forest. One winter the snow lay so deep that the wolves "
        'came down to the village. "Do not leave the fold tonight," said the shepherd to Bran, and he went to borrow a gun from '
        "the miller. While he was away, a grey wolf scratched at the gate. Bran barked three times, but nobody came. Then the wolf "
        'spoke to him: "Let me in, and I will share the sheep with you." The dog answered that he had never stolen from a friend. '
        "He fought the wolf until morning. When the shepherd came back, he found the wolf dead and Bran lying in the snow with a "
        "torn ear. He carried the dog into the house and gave him his own supper. After that winter the wolves stayed in the hills, "
        "and Bran was always allowed to sleep by the fire.",
        (
            "At the forest's edge lived an old shepherd, alone but for his dog, Bran. One winter, with the snow lying very deep, the "
            "wolves came down into the village. The shepherd told Bran not to leave the fold that night and went off to borrow the "
            "miller's gun. During his absence a grey wolf scratched at the gate. Three times Bran barked, but no one came. Then the "
            "wolf spoke to him, saying that if Bran let him in he would share the sheep with him. The dog replied that he had never "
            "stolen from a friend, and he fought the wolf until the morning. On his return the shepherd found the wolf dead and Bran "
            "in the snow, his ear torn. He carried him inside and gave the dog his own supper. Following that winter the wolves kept "
            "to the hills, and Bran was always permitted to sleep by the fire.",
            "There was once an old shepherd who had no company but his dog Bran and whose home stood where the forest began. In one "
            "especially snowy winter, hunger drove the wolves down as far as the village. The shepherd ordered Bran to stay in the "
            "fold for the night; he himself set out to ask the miller for the loan of a gun. He had not yet returned when a grey wolf "
            "came scratching at the gate. Bran's three barks went unheard. The wolf now tried words, offering the dog a share of the "
            "sheep if he would open to him. Bran's answer was that stealing from a friend was something he had never done, and the "
            "two fought till daybreak. The shepherd came home to a dead wolf and to Bran stretched out in the snow, one ear in shreds. "
            "He took him up, brought him into the house, and fed him the supper meant for himself. From that winter on, the wolves "
            "did not leave the hills, and the place by the fire was Bran's to sleep in whenever he liked.",
        ),
        (
            ("number changed", "three times", "four times"),
            ("number changed", "Three times", "Nine times"),
            ("negated", "he had never stolen", "he had often stolen"),
            ("negated", "Do not leave the fold", "Leave the fold"),
            ("negated", "not to leave the fold", "to leave the fold"),
            ("antonym", "found the wolf dead", "found the wolf alive"),
            ("quantifier", "was always", "was never"),
            ("order turned", "until morning", "after morning"),
            ("name replaced", "his dog Bran", "his dog Rex"),
            (
                "events reordered",
                'Bran barked three times, but nobody came. Then the wolf spoke to him: "Let me in, and I will share the sheep with you."',
                'The wolf spoke to him: "Let me in, and I will share the sheep with you." Then Bran barked three times, but nobody came.',
            ),
            ("roles swapped", "the wolf dead and Bran lying", "Bran dead and the wolf lying"),
            ("invented", "He carried", "A golden coin shone between the paws of the animal. He carried"),
        ),
    ),
    Sample(
        "compiler",
        "technical",
        "Version 4.2 of the Fern compiler adds incremental builds. When a file changes, the compiler checks which modules depend on "
        "it and rebuilds only those. In our tests a full build of 1,250 modules took 84 seconds, while an incremental build after a "
        "small change took 3.1 seconds. The cache is stored in the folder .fern and must not be shared between machines, because it "
        "holds absolute paths. By default the cache may use up to 2 GB; older entries are removed first. To enable the feature, set "
        "incremental to true and then run fern init. Incremental builds are not available on Windows, and they are always disabled "
        "in release mode. If the cache is damaged, the compiler prints warning W107 and performs a full build. The option --fast, "
        "which was deprecated in version 4.0, has been removed. Memory consumption increases by 12% on average.",
        (
            "With version 4.2 the Fern compiler gains incremental builds. After a change to a file, it determines the modules that "
            "depend on that file and rebuilds just these. We measured 84 seconds for a full build of 1,250 modules, against 3.1 "
            "seconds for an incremental one after a small change. The folder .fern holds the cache, which contains absolute paths "
            "and therefore must not be shared between machines. Unless configured otherwise, the cache can grow to at most 2 GB, and "
            "the oldest entries are removed first. The feature is enabled by setting incremental to true and running fern init "
            "afterwards. It isn't available on Windows and is always turned off in release mode. Should the cache be damaged, the "
            "compiler issues warning W107 and does a full build instead. Deprecated in version 4.0, the option --fast is now gone. On "
            "average, memory use goes up by 12 percent.",
        ),
        (
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
            ("quantifier", "they are always disabled", "they are sometimes disabled"),
            ("antonym", "are always disabled", "are always enabled"),
            ("antonym", "consumption increases", "consumption decreases"),
            ("antonym", "memory use goes up", "memory use goes down"),
            ("code changed", "W107", "W170"),
            ("version changed", "Version 4.2", "Version 4.3"),
            ("name replaced", "Windows", "Linux"),
            ("antonym", "older entries", "newer entries"),
            ("antonym", "oldest entries", "newest entries"),
            ("invented", "By default", "A graphical dashboard shows colourful charts of every thread. By default"),
        ),
    ),
    Sample(
        "match",
        "numeric",
        "Norvik beat Estrela 3-1 in the final of the Northern Cup on Saturday in front of 41,200 spectators. Estrela took the lead "
        "after 12 minutes through Paulo Reis, but Jan Aker equalised in the 38th minute. Norvik scored twice in the second half: "
        "Aker hit a penalty in the 61st minute, and Sven Moen added the third goal shortly before the end. Estrela had 58 percent of "
        "the ball but only four shots on target, while Norvik had nine. Goalkeeper Lars Vik saved a penalty from Reis in the 70th "
        "minute. It was Norvik's fifth title and its first since 2009. Coach Ida Lund said that her team had not been the favourite. "
        "The winners receive €4 million, the losers €1.5 million. Estrela's captain, Rui Gomes, was sent off in the 85th minute.",
        (
            "In Saturday's final of the Northern Cup, watched by 41,200 spectators, Norvik defeated Estrela by 3 goals to 1. Paulo Reis "
            "put Estrela ahead after 12 minutes; the equaliser came from Jan Aker in the 38th minute. After the break Norvik got two more "
            "goals, a penalty by Aker in minute 61 and, not long before the final whistle, the third by Sven Moen. Although Estrela had "
            "58% of possession, it managed no more than four shots on target, against nine for Norvik. A penalty taken by Reis was saved "
            "by goalkeeper Lars Vik in the 70th minute, and in the 85th Estrela's captain Rui Gomes was sent off. Norvik has now won the "
            "title five times, but this is the first since 2009. Her team had not been the favourite, said coach Ida Lund. There is prize "
            "money of €4 million for the winners and €1.5 million for the losers.",
        ),
        (
            ("roles swapped", "Norvik beat Estrela", "Estrela beat Norvik"),
            ("roles swapped", "Norvik defeated Estrela", "Estrela defeated Norvik"),
            ("number swapped", "38th", "61st"),
            ("number changed", "41,200", "42,100"),
            ("number changed", "58 percent", "85 percent"),
            ("number changed", "58%", "48%"),
            (
                "number swapped",
                "winners receive €4 million, the losers €1.5 million",
                "winners receive €1.5 million, the losers €4 million",
            ),
            (
                "number swapped",
                "€4 million for the winners and €1.5 million for the losers",
                "€1.5 million for the winners and €4 million for the losers",
            ),
            (
                "number swapped",
                "only four shots on target, while Norvik had nine",
                "only nine shots on target, while Norvik had four",
            ),
            ("negated", "had not been the favourite", "had been the favourite"),
            ("name swapped", "Sven Moen added", "Paulo Reis added"),
            ("name replaced", "Lars Vik", "Peter Cech"),
            ("name swapped", "Coach Ida Lund", "Coach Rui Gomes"),
            ("antonym", "shortly before the end", "shortly after the end"),
            ("number changed", "fifth title", "sixth title"),
            ("unit changed", "€1.5 million", "£1.5 million"),
            ("date changed", "2009", "2019"),
            ("name swapped", "saved a penalty from Reis", "saved a penalty from Gomes"),
        ),
    ),
    Sample(
        "census",
        "numeric",
        "According to the 2011 census, the district of Maran has 286,340 inhabitants, of whom 51.3% are women. The population grew by "
        "8.4% between 2001 and 2011. Some 62,000 people live in the capital, Tolva, and 19,500 in the second-largest town, Beros. "
        "Tamil is spoken by 71% of the population, Telugu by 22% and Urdu by 4%. The literacy rate is 78.2% for men and 69.5% for women. "
        "About 40% of the land is forest; rice is grown on 35% and cotton on 9%. The average farm has 1.4 hectares, less than half the "
        "national average of 3.1 hectares. Annual rainfall is 1,120 mm, most of it between June and September. In 2012 there were 214 "
        "schools, 18 hospitals and 3 colleges. No railway line crosses the district, and the nearest airport is 85 km away.",
        (
            "The 2011 census counted 286,340 inhabitants in the district of Maran, 51.3 percent of them women. From 2001 to 2011 the "
            "population increased by 8.4 percent. The capital, Tolva, has around 62,000 people; Beros, the second-largest town, has 19,500. "
            "71 percent of the inhabitants speak Tamil, 22 percent Telugu and 4 percent Urdu. 78.2 percent of men and 69.5 percent of women "
            "can read and write. Forest covers roughly 40 percent of the land, while 35 percent is used for rice and 9 percent for cotton. "
            "Farms have 1.4 ha on average, which is less than half of the 3.1 ha that are usual nationally. It rains 1,120 millimetres a "
            "year, mostly from June to September. The district had 214 schools, 18 hospitals and three colleges in 2012. It is not crossed "
            "by any railway line, and it is 85 kilometres to the nearest airport.",
        ),
        (
            (
                "number swapped",
                "Tamil is spoken by 71% of the population, Telugu by 22%",
                "Tamil is spoken by 22% of the population, Telugu by 71%",
            ),
            (
                "number swapped",
                "speak Tamil, 22 percent Telugu and 4 percent Urdu",
                "speak Tamil, 4 percent Telugu and 22 percent Urdu",
            ),
            ("number swapped", "78.2% for men and 69.5% for women", "69.5% for men and 78.2% for women"),
            (
                "number swapped",
                "78.2 percent of men and 69.5 percent of women",
                "69.5 percent of men and 78.2 percent of women",
            ),
            ("number swapped", "62,000", "19,500"),
            ("number swapped", "1.4 hectares", "3.1 hectares"),
            ("name swapped", "capital, Tolva", "capital, Beros"),
            ("number off by one", "286,340", "286,341"),
            ("number times ten", "8.4%", "84%"),
            ("number times ten", "8.4 percent", "0.84 percent"),
            ("unit changed", "1,120 mm", "1,120 cm"),
            ("unit changed", "85 km", "85 miles"),
            ("unit changed", "1.4 ha", "1.4 acres"),
            ("negated", "No railway line crosses", "A railway line crosses"),
            ("negated", "is not crossed", "is crossed"),
            ("antonym", "population grew", "population shrank"),
            ("antonym", "population increased", "population declined"),
            ("bound turned", "less than half", "more than half"),
            ("date changed", "June and September", "June and October"),
            ("number swapped", "214 schools, 18 hospitals", "18 schools, 214 hospitals"),
            ("name replaced", "Urdu", "Hindi"),
        ),
    ),
)
