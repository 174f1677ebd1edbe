# ruff: noqa: E501
"""Texts that the gate's rules and thresholds were not made with: encyclopedic and narrative ones.

Of the form of `fidelity_texts`: rewritings that keep the facts, and edits that break them wherever their old words stand.
"""

from fidelity_texts import Sample

ENCYCLOPEDIC = (
    Sample(
        "suez",
        "encyclopedic",
        "The Suez Canal is an artificial waterway in Egypt that joins the Mediterranean Sea to the Red Sea. Ferdinand de Lesseps "
        "obtained a concession from Said Pasha in 1854, and digging began on 25 April 1859. The canal was opened on 17 November "
        "1869, after ten years of work. It is 193 kilometres long today, and it has no locks, because the seas at both ends lie at "
        "about the same level. Britain bought 44% of the shares from Egypt in 1875 for £4 million. In July 1956 President Nasser "
        "nationalized the canal, and a war followed in October. The canal was closed from 1967 to 1975. In March 2021 the container "
        "ship Ever Given blocked it for six days.",
        (
            "Running through Egypt, the Suez Canal is a man-made waterway linking the Mediterranean Sea and the Red Sea. In 1854 Said "
            "Pasha granted Ferdinand de Lesseps a concession; excavation started on April 25, 1859, and ten years of work later, on "
            "November 17, 1869, the canal opened. Today it is 193 km in length. Since the seas at its two ends are at roughly the same "
            "level, it needs no locks. Egypt sold 44 percent of the shares to Britain in 1875 for four million pounds. President Nasser "
            "nationalized the canal in July 1956, which was followed by a war in October. Between 1967 and 1975 the canal was shut. The "
            "container ship Ever Given obstructed it for six days in March 2021.",
            "Egypt's Suez Canal, an artificial channel 193 kilometres long, lets ships pass from the Mediterranean Sea to the Red Sea. It "
            "could be built without locks, as both seas stand at about the same height. The project rests on a concession that Ferdinand "
            "de Lesseps received from Said Pasha in 1854. Workers began to dig on 25 April 1859, and the opening took place a decade "
            "later, on 17 November 1869. In 1875 Britain paid £4 million for Egypt's shares, 44% of the total. After President Nasser "
            "took the canal into state ownership in July 1956, war broke out in October. No ship passed from 1967 to 1975, when the canal "
            "was closed, and in March 2021 traffic stopped for six days because the container ship Ever Given was stuck in it.",
        ),
        (
            ("number changed", "193", "139"),
            ("number off by one", "1869", "1870"),
            ("number off by one", "six days", "seven days"),
            ("number times ten", "£4 million", "£40 million"),
            ("number times ten", "four million pounds", "forty million pounds"),
            ("number swapped", "1967 to 1975", "1975 to 1967"),
            ("number swapped", "in 1854", "in 1875"),
            ("unit changed", "193 kilometres", "193 miles"),
            ("unit changed", "193 km", "193 m"),
            ("date changed", "17 November 1869", "17 October 1869"),
            ("date changed", "November 17, 1869", "November 27, 1869"),
            ("date changed", "July 1956", "June 1956"),
            ("negated", "it has no locks", "it has locks"),
            ("negated", "it needs no locks", "it needs locks"),
            ("negated", "without locks", "with locks"),
            ("negated", "The canal was opened", "The canal was not opened"),
            ("antonym", "The canal was closed from", "The canal was open from"),
            ("antonym", "the canal was shut", "the canal was open"),
            ("name replaced", "Ferdinand de Lesseps", "Gustave Eiffel"),
            ("name replaced", "President Nasser", "President Sadat"),
            ("name swapped", "joins the Mediterranean Sea to the Red Sea", "joins the Black Sea to the Red Sea"),
            (
                "roles swapped",
                "Britain bought 44% of the shares from Egypt",
                "Egypt bought 44% of the shares from Britain",
            ),
            (
                "roles swapped",
                "Egypt sold 44 percent of the shares to Britain",
                "Britain sold 44 percent of the shares to Egypt",
            ),
            (
                "roles swapped",
                "Said Pasha granted Ferdinand de Lesseps a concession",
                "Ferdinand de Lesseps granted Said Pasha a concession",
            ),
            ("invented", "In March 2021", "Divers from Norway later repaired the banks. In March 2021"),
        ),
    ),
    Sample(
        "curie",
        "encyclopedic",
        "Marie Curie was born in Warsaw on 7 November 1867. She moved to Paris in 1891, where she studied physics at the Sorbonne. In "
        "1898 she and her husband Pierre discovered two elements, polonium and radium. They shared the Nobel Prize in Physics with "
        "Henri Becquerel in 1903. Pierre died in a street accident in April 1906, and Marie took over his teaching post, as the first "
        "woman to teach at the Sorbonne. In 1911 she received a second Nobel Prize, this time in Chemistry. She never patented her "
        "methods. During the First World War she equipped about 20 vehicles with X-ray machines. She died on 4 July 1934 at the age "
        "of 66. Her daughter Irène won the Nobel Prize in Chemistry a year later.",
        (
            "Born in Warsaw on November 7, 1867, Marie Curie went to Paris in 1891 to study physics at the Sorbonne. Together with her "
            "husband Pierre she discovered polonium and radium, two elements, in 1898. The 1903 Nobel Prize in Physics was shared by the "
            "couple and Henri Becquerel. When Pierre was killed in a street accident in April 1906, Marie succeeded him in his teaching "
            "post and became the first woman to teach at the Sorbonne. A second Nobel Prize, in Chemistry, followed in 1911. Her methods "
            "were never patented. In the First World War she fitted some twenty vehicles with X-ray equipment. She was 66 when she died "
            "on July 4, 1934. One year later the Nobel Prize in Chemistry went to her daughter Irène.",
            "Marie Curie came into the world on 7 November 1867 in Warsaw and left for Paris in 1891, taking up physics at the Sorbonne. "
            "The year 1898 brought the discovery of two elements, polonium and radium, by Marie and her husband Pierre. In 1903 both of "
            "them and Henri Becquerel were given the Nobel Prize in Physics. Pierre lost his life in an accident in the street in April "
            "1906. His post as a teacher passed to Marie; no woman had taught at the Sorbonne before. She won the Nobel Prize again in "
            "1911, in Chemistry. She did not take out patents on her methods. About 20 vehicles carried X-ray machines that she had "
            "installed during the First World War. Marie Curie died aged 66 on 4 July 1934; in the following year her daughter Irène "
            "received the Nobel Prize in Chemistry.",
        ),
        (
            ("number changed", "1891", "1881"),
            ("number off by one", "66", "67"),
            ("number changed", "two elements", "three elements"),
            ("number times ten", "about 20 vehicles", "about 200 vehicles"),
            ("number times ten", "About 20 vehicles", "About 200 vehicles"),
            ("number swapped", "in 1903", "in 1911"),
            ("date changed", "7 November 1867", "7 November 1876"),
            ("date changed", "July 4, 1934", "July 14, 1934"),
            ("negated", "She never patented her methods", "She patented her methods"),
            ("negated", "were never patented", "were patented"),
            ("negated", "She did not take out patents", "She took out patents"),
            ("quantifier", "both of them", "neither of them"),
            ("name replaced", "Henri Becquerel", "Ernest Rutherford"),
            ("name replaced", "Warsaw", "Vienna"),
            ("name replaced", "polonium", "uranium"),
            ("name swapped", "Nobel Prize in Physics with", "Nobel Prize in Chemistry with"),
            ("name swapped", "Nobel Prize, in Chemistry,", "Nobel Prize, in Literature,"),
            (
                "roles swapped",
                "Pierre died in a street accident in April 1906, and Marie took over his teaching post",
                "Marie died in a street accident in April 1906, and Pierre took over her teaching post",
            ),
            ("order turned", "a year later", "a year earlier"),
            ("order turned", "One year later", "One year before"),
            ("order turned", "in the following year", "in the year before"),
            ("invented", "She died", "She also designed a bridge in Lyon. She died"),
            ("quantifier", "the first woman", "the last woman"),
        ),
    ),
    Sample(
        "iceland",
        "encyclopedic",
        "Iceland is an island state in the North Atlantic with about 390,000 inhabitants and an area of 103,000 square kilometres. "
        "Roughly two thirds of the people live in and around Reykjavík, the capital. Settlers from Norway arrived in the ninth century, "
        "and the Althing, one of the oldest parliaments in the world, was founded in 930. The country became a republic on 17 June 1944. "
        "Glaciers cover 11% of the land; the largest, Vatnajökull, is larger than all others together. Iceland has no standing army. "
        "Nearly all of its electricity comes from water power and hot springs. The eruption of Eyjafjallajökull in April 2010 closed "
        "most European airports for almost a week. Fishing was once the main source of income, but since 2013 tourism has earned more.",
        (
            "With around 390,000 inhabitants and an area of 103,000 km², Iceland is an island state in the North Atlantic. About two thirds "
            "of its people live in or near the capital, Reykjavík. It was settled from Norway in the 9th century. The Althing, which dates "
            "from 930, is among the oldest parliaments in the world. On June 17, 1944 the country became a republic. Eleven percent of the "
            "land is covered by glaciers, and Vatnajökull, the largest of them, exceeds all the others combined. There is no standing army. "
            "Water power and hot springs provide almost all of the electricity. In April 2010 the eruption of Eyjafjallajökull shut most of "
            "Europe's airports for nearly a week. Tourism has brought in more than fishing, formerly the main source of income, since 2013.",
            "Iceland lies in the North Atlantic. This island state covers 103,000 square kilometres and is home to some 390,000 people, of "
            "whom roughly two out of three live in the area of the capital Reykjavík. Norwegian settlers came in the ninth century. They "
            "founded the Althing in 930, so that it counts as one of the world's oldest parliaments. Iceland has been a republic since 17 "
            "June 1944, and it does not maintain a standing army. Ice covers 11% of the country, and the biggest glacier, Vatnajökull, is "
            "bigger than the rest taken together. Almost the whole of the electricity is generated from water and from hot springs. Once it "
            "was fishing that earned most of the income; since 2013 tourism has earned more. When Eyjafjallajökull erupted in April 2010, "
            "most airports in Europe stayed closed for almost a week.",
        ),
        (
            ("number changed", "390,000", "930,000"),
            ("number times ten", "103,000", "1,030,000"),
            ("number off by one", "930,", "931,"),
            ("number changed", "two thirds", "one third"),
            ("number changed", "11%", "21%"),
            ("number changed", "Eleven percent", "Seven percent"),
            ("number off by one", "2013", "2014"),
            ("unit changed", "square kilometres", "square miles"),
            ("unit changed", "a week", "a month"),
            ("date changed", "17 June 1944", "17 July 1944"),
            ("date changed", "June 17, 1944", "June 7, 1944"),
            ("number changed", "ninth century", "tenth century"),
            ("negated", "Iceland has no standing army", "Iceland has a standing army"),
            ("negated", "There is no standing army", "There is a standing army"),
            ("negated", "it does not maintain", "it maintains"),
            ("antonym", "one of the oldest", "one of the youngest"),
            ("antonym", "among the oldest", "among the youngest"),
            ("antonym", "is larger than all", "is smaller than all"),
            ("antonym", "has earned more", "has earned less"),
            ("antonym", "has brought in more than", "has brought in less than"),
            ("quantifier", "Nearly all of its", "Hardly any of its"),
            ("quantifier", "almost all of", "almost none of"),
            ("quantifier", "most European airports", "a few European airports"),
            ("name replaced", "Norway", "Ireland"),
            ("name replaced", "Vatnajökull", "Langjökull"),
            (
                "roles swapped",
                "Fishing was once the main source of income, but since 2013 tourism has",
                "Tourism was once the main source of income, but since 2013 fishing has",
            ),
            ("invented", "In April 2010", "The king resides there in winter. In April 2010"),
        ),
    ),
)

NARRATIVE = (
    Sample(
        "ferry",
        "narrative",
        "Old Tomas rowed the last passengers across at dusk. First he tied the boat to the iron ring, then he helped the widow Anka up "
        "the steps, and only after that did he notice the leather bag under the bench. He opened it by the light of his lamp and found "
        "three letters and a silver watch that had stopped at ten past four. The letters were addressed to a captain in Split. Tomas "
        "could not read, so he carried the bag to the schoolmaster, Mr. Hollar. Hollar read the first letter, turned pale, and refused "
        "to read the others. That night Tomas hid the bag behind the stove. Before sunrise somebody knocked twice at his door, but he "
        "did not open.",
        (
            "At nightfall old Tomas rowed across with the last passengers. He fastened the boat to the iron ring, helped the widow Anka up "
            "the steps, and only then saw that a leather bag lay under the bench. When he opened it in the light of his lamp, he found a "
            "silver watch that had stopped at ten past four, and three letters. They were addressed to a captain in Split. As Tomas did not "
            "know how to read, he brought the bag to Mr. Hollar, the schoolmaster, who read the first letter, went pale, and would not read "
            "the rest. Tomas hid the bag behind the stove that night. Before the sun rose there were two knocks at his door, yet he did not "
            "open it.",
            "It was dusk when the last passengers were rowed over by old Tomas. The boat had to be tied to its iron ring first; then the "
            "widow Anka wanted help on the steps. After that his eye fell on a bag of leather that someone had left beneath the bench. His "
            "lamp showed him what was in it: three letters, and a watch of silver whose hands had stopped at ten past four. A captain in "
            "Split was to receive the letters. Tomas, who was unable to read, went with the bag to the schoolmaster. Mr. Hollar grew pale "
            "over the first letter and declined to read the others. Behind the stove Tomas hid the bag that night, and when somebody "
            "knocked two times before sunrise, he left the door shut.",
        ),
        (
            ("number changed", "three letters", "five letters"),
            ("number changed", "ten past four", "ten past five"),
            ("number changed", "knocked twice", "knocked once"),
            ("number changed", "two knocks", "four knocks"),
            ("negated", "Tomas could not read", "Tomas could read"),
            ("negated", "who was unable to read", "who was able to read"),
            ("negated", "but he did not open", "and he opened"),
            ("negated", "yet he did not open it", "and he opened it"),
            ("negated", "refused to read the others", "agreed to read the others"),
            ("negated", "declined to read the others", "went on to read the others"),
            ("antonym", "the last passengers", "the first passengers"),
            ("antonym", "Before sunrise", "After sunrise"),
            ("antonym", "Before the sun rose", "After the sun rose"),
            ("antonym", "before sunrise", "after sunrise"),
            ("name replaced", "Anka", "Marta"),
            ("name replaced", "Split", "Trieste"),
            ("name replaced", "Hollar", "Novak"),
            (
                "order turned",
                "First he tied the boat to the iron ring, then he helped the widow Anka up the steps",
                "First he helped the widow Anka up the steps, then he tied the boat to the iron ring",
            ),
            ("roles swapped", "he helped the widow Anka up", "the widow Anka helped him up"),
            ("detail changed", "a silver watch", "a golden watch"),
            ("detail changed", "behind the stove", "under the floor"),
            ("detail changed", "Behind the stove", "Under the floor"),
            ("invented", "That night", "He bought bread from the baker. That night"),
            ("invented", "They were addressed", "A dog barked at the moon for hours. They were addressed"),
        ),
    ),
    Sample(
        "balloon",
        "narrative",
        "On the morning of the fair Elise Brandt climbed into the basket of her balloon for the first time without her father. Captain "
        "Moreau checked the ropes and gave her a compass, two sandbags and a flask of coffee. The balloon rose quickly. At 900 metres "
        "she felt the wind turn to the north, and the church of Altdorf shrank to a dot. When a storm appeared in the west, she dropped "
        "both sandbags and climbed above the clouds. There it was so cold that the coffee froze. After two hours she pulled the cord, "
        "sank slowly, and landed in a field of oats near Lund. A farmer named Jonas ran towards her and asked whether she had fallen "
        "from the moon. Elise laughed and said that she had only left home too early.",
        (
            "The morning of the fair was the first time that Elise Brandt got into the basket of her balloon without her father. Captain "
            "Moreau, who had checked the ropes, handed her a compass, a flask of coffee and two sandbags. Up went the balloon, and quickly. "
            "She felt the wind turning north at 900 metres, while the church of Altdorf dwindled to a dot. A storm showed itself in the "
            "west, so she threw out both sandbags and rose above the clouds, where the cold froze the coffee. Two hours later she pulled "
            "the cord, came down slowly, and touched the ground in a field of oats close to Lund. Jonas, a farmer, came running and asked "
            "if she had dropped from the moon. Laughing, Elise answered that she had merely left home too early.",
            "Elise Brandt had never flown without her father when she stepped into her balloon's basket on the morning of the fair. The "
            "ropes were checked by Captain Moreau, from whom she got two sandbags, a compass and a flask of coffee. The ascent was quick. "
            "The church of Altdorf became a dot, and at a height of 900 m she noticed that the wind had turned to the north. Then she saw a "
            "storm in the west. She let both sandbags fall and got above the clouds, into air so cold that her coffee turned to ice. When "
            "two hours had passed, she pulled the cord and sank slowly into a field of oats near Lund. There a farmer whose name was Jonas "
            "ran up to her. Had she fallen from the moon, he wanted to know. Elise laughed: she had only left home too early, she said.",
        ),
        (
            ("number times ten", "900", "9,000"),
            ("number changed", "900", "600"),
            ("number changed", "two hours", "five hours"),
            ("number changed", "Two hours", "Six hours"),
            ("number changed", "two sandbags", "four sandbags"),
            ("unit changed", "900 metres", "900 feet"),
            ("unit changed", "After two hours", "After two days"),
            ("negated", "without her father", "with her father"),
            ("antonym", "rose quickly", "rose slowly"),
            ("antonym", "sank slowly", "sank quickly"),
            ("antonym", "came down slowly", "came down quickly"),
            ("antonym", "above the clouds", "below the clouds"),
            ("antonym", "too early", "too late"),
            ("antonym", "in the west", "in the east"),
            ("antonym", "to the north", "to the south"),
            ("name replaced", "Altdorf", "Neustadt"),
            ("name replaced", "Captain Moreau", "Captain Lefèvre"),
            ("name swapped", "near Lund", "near Altdorf"),
            ("name replaced", "Jonas", "Anders"),
            (
                "roles swapped",
                "A farmer named Jonas ran towards her and asked whether she had",
                "She ran towards a farmer named Jonas and asked whether he had",
            ),
            ("order turned", "After two hours she pulled the cord", "Two hours before, she had pulled the cord"),
            ("detail changed", "a field of oats", "a field of roses"),
            ("invented", "There it was", "Her brother waved from a second balloon. There it was"),
            ("invented", "The ascent was quick.", "The ascent was quick. An eagle stole her hat."),
        ),
    ),
)
