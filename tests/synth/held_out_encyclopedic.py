"""Passages as an encyclopedia has them, which the gate's rules and thresholds have never seen."""

from fidelity_passage import Passage

HELD_OUT_ENCYCLOPEDIC = (
    Passage(
        "suez",
        "encyclopedic",
        """The Suez Canal is an artificial waterway in Egypt that joins the Mediterranean Sea to the Red Sea.
        Ferdinand de Lesseps obtained a concession from Said Pasha in 1854, and digging began on 25 April 1859. The
        canal was opened on 17 November 1869, after ten years of work. It is 193 kilometres long today, and it has no
        locks, because the seas at both ends lie at about the same level. Britain bought 44% of the shares from Egypt
        in 1875 for £4 million. In July 1956 President Nasser nationalized the canal, and a war followed in October.
        The canal was closed from 1967 to 1975. In March 2021 the container ship Ever Given blocked it for six
        days.""",
        (
            """Running through Egypt, the Suez Canal is a man-made waterway linking the Mediterranean Sea and the Red
            Sea. In 1854 Said Pasha granted Ferdinand de Lesseps a concession; excavation started on April 25, 1859,
            and ten years of work later, on November 17, 1869, the canal opened. Today it is 193 km in length. Since
            the seas at its two ends are at roughly the same level, it needs no locks. Egypt sold 44 percent of the
            shares to Britain in 1875 for four million pounds. President Nasser nationalized the canal in July 1956,
            which was followed by a war in October. Between 1967 and 1975 the canal was shut. The container ship Ever
            Given obstructed it for six days in March 2021.""",
            """Egypt's Suez Canal, an artificial channel 193 kilometres long, lets ships pass from the Mediterranean
            Sea to the Red Sea. It could be built without locks, as both seas stand at about the same height. The
            project rests on a concession that Ferdinand de Lesseps received from Said Pasha in 1854. Workers began to
            dig on 25 April 1859, and the opening took place a decade later, on 17 November 1869. In 1875 Britain paid
            £4 million for Egypt's shares, 44% of the total. After President Nasser took the canal into state
            ownership in July 1956, war broke out in October. No ship passed from 1967 to 1975, when the canal was
            closed, and in March 2021 traffic stopped for six days because the container ship Ever Given was stuck in
            it.""",
        ),
        corruptions=(
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
            ("names swapped", "joins the Mediterranean Sea to the Red Sea", "joins the Black Sea to the Red Sea"),
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
    Passage(
        "curie",
        "encyclopedic",
        """Marie Curie was born in Warsaw on 7 November 1867. She moved to Paris in 1891, where she studied physics at
        the Sorbonne. In 1898 she and her husband Pierre discovered two elements, polonium and radium. They shared the
        Nobel Prize in Physics with Henri Becquerel in 1903. Pierre died in a street accident in April 1906, and Marie
        took over his teaching post, as the first woman to teach at the Sorbonne. In 1911 she received a second Nobel
        Prize, this time in Chemistry. She never patented her methods. During the First World War she equipped about
        20 vehicles with X-ray machines. She died on 4 July 1934 at the age of 66. Her daughter Irène won the Nobel
        Prize in Chemistry a year later.""",
        (
            """Born in Warsaw on November 7, 1867, Marie Curie went to Paris in 1891 to study physics at the Sorbonne.
            Together with her husband Pierre she discovered polonium and radium, two elements, in 1898. The 1903 Nobel
            Prize in Physics was shared by the couple and Henri Becquerel. When Pierre was killed in a street accident
            in April 1906, Marie succeeded him in his teaching post and became the first woman to teach at the
            Sorbonne. A second Nobel Prize, in Chemistry, followed in 1911. Her methods were never patented. In the
            First World War she fitted some twenty vehicles with X-ray equipment. She was 66 when she died on July 4,
            1934. One year later the Nobel Prize in Chemistry went to her daughter Irène.""",
            """Marie Curie came into the world on 7 November 1867 in Warsaw and left for Paris in 1891, taking up
            physics at the Sorbonne. The year 1898 brought the discovery of two elements, polonium and radium, by
            Marie and her husband Pierre. In 1903 both of them and Henri Becquerel were given the Nobel Prize in
            Physics. Pierre lost his life in an accident in the street in April 1906. His post as a teacher passed to
            Marie; no woman had taught at the Sorbonne before. She won the Nobel Prize again in 1911, in Chemistry.
            She did not take out patents on her methods. About 20 vehicles carried X-ray machines that she had
            installed during the First World War. Marie Curie died aged 66 on 4 July 1934; in the following year her
            daughter Irène received the Nobel Prize in Chemistry.""",
        ),
        corruptions=(
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
            ("quantifier changed", "both of them", "neither of them"),
            ("name replaced", "Henri Becquerel", "Ernest Rutherford"),
            ("name replaced", "Warsaw", "Vienna"),
            ("name replaced", "polonium", "uranium"),
            ("names swapped", "Nobel Prize in Physics with", "Nobel Prize in Chemistry with"),
            ("names swapped", "Nobel Prize, in Chemistry,", "Nobel Prize, in Literature,"),
            (
                "roles swapped",
                "Pierre died in a street accident in April 1906, and Marie took over his teaching post",
                "Marie died in a street accident in April 1906, and Pierre took over her teaching post",
            ),
            ("events reordered", "a year later", "a year earlier"),
            ("events reordered", "One year later", "One year before"),
            ("events reordered", "in the following year", "in the year before"),
            ("invented", "She died", "She also designed a bridge in Lyon. She died"),
            ("quantifier changed", "the first woman", "the last woman"),
        ),
    ),
    Passage(
        "iceland",
        "encyclopedic",
        """Iceland is an island state in the North Atlantic with about 390,000 inhabitants and an area of 103,000
        square kilometres. Roughly two thirds of the people live in and around Reykjavík, the capital. Settlers from
        Norway arrived in the ninth century, and the Althing, one of the oldest parliaments in the world, was founded
        in 930. The country became a republic on 17 June 1944. Glaciers cover 11% of the land; the largest,
        Vatnajökull, is larger than all others together. Iceland has no standing army. Nearly all of its electricity
        comes from water power and hot springs. The eruption of Eyjafjallajökull in April 2010 closed most European
        airports for almost a week. Fishing was once the main source of income, but since 2013 tourism has earned
        more.""",
        (
            """With around 390,000 inhabitants and an area of 103,000 km², Iceland is an island state in the North
            Atlantic. About two thirds of its people live in or near the capital, Reykjavík. It was settled from
            Norway in the 9th century. The Althing, which dates from 930, is among the oldest parliaments in the
            world. On June 17, 1944 the country became a republic. Eleven percent of the land is covered by glaciers,
            and Vatnajökull, the largest of them, exceeds all the others combined. There is no standing army. Water
            power and hot springs provide almost all of the electricity. In April 2010 the eruption of
            Eyjafjallajökull shut most of Europe's airports for nearly a week. Tourism has brought in more than
            fishing, formerly the main source of income, since 2013.""",
            """Iceland lies in the North Atlantic. This island state covers 103,000 square kilometres and is home to
            some 390,000 people, of whom roughly two out of three live in the area of the capital Reykjavík. Norwegian
            settlers came in the ninth century. They founded the Althing in 930, so that it counts as one of the
            world's oldest parliaments. Iceland has been a republic since 17 June 1944, and it does not maintain a
            standing army. Ice covers 11% of the country, and the biggest glacier, Vatnajökull, is bigger than the
            rest taken together. Almost the whole of the electricity is generated from water and from hot springs.
            Once it was fishing that earned most of the income; since 2013 tourism has earned more. When
            Eyjafjallajökull erupted in April 2010, most airports in Europe stayed closed for almost a week.""",
        ),
        corruptions=(
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
            ("quantifier changed", "Nearly all of its", "Hardly any of its"),
            ("quantifier changed", "almost all of", "almost none of"),
            ("quantifier changed", "most European airports", "a few European airports"),
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
    Passage(
        "everest",
        "encyclopedic",
        """Mount Everest, on the border between Nepal and Tibet, is the highest mountain above sea level. Its height
        of 8,849 metres was announced jointly by China and Nepal in December 2020. The summit was first reached at
        11:30 in the morning on 29 May 1953 by Edmund Hillary, a beekeeper from New Zealand, and the Sherpa Tenzing
        Norgay. They belonged to the ninth British expedition, which was led by John Hunt. Reinhold Messner and Peter
        Habeler climbed it without bottled oxygen in 1978, and Messner climbed it alone in 1980. Junko Tabei of Japan
        was the first woman at the top, on 16 May 1975.""",
        (
            """No mountain rises higher above the sea than Mount Everest, through which the border of Nepal and Tibet
            runs. In December 2020 China and Nepal together declared it to be 8,849 m high. On May 29, 1953, at 11:30
            a.m., two men stood on its summit for the first time: the New Zealand beekeeper Edmund Hillary and Tenzing
            Norgay, a Sherpa. John Hunt was the leader of their expedition, the ninth from Britain. The first woman to
            get to the top was Junko Tabei, who was Japanese; she did so on May 16, 1975. Three years later, in 1978,
            Reinhold Messner and Peter Habeler managed the ascent without oxygen from bottles. Messner came back in
            1980 and climbed the mountain by himself.""",
        ),
        rivals=(
            ("Hillary", "Hunt"),
            ("Messner", "Hillary"),
        ),
        strangers=(
            ("Hunt", "Mallory"),
            ("Tabei", "Tanaka"),
            ("Tibet", "Bhutan"),
            ("Habeler", "Kammerlander"),
        ),
        free=(4, 5),
    ),
    Passage(
        "kepler",
        "encyclopedic",
        """Johannes Kepler became the assistant of the Danish astronomer Tycho Brahe in Prague in 1600. Brahe died in
        October 1601, and Emperor Rudolf II made Kepler his successor as imperial mathematician. From Brahe's
        observations of Mars Kepler found that planets move in ellipses with the Sun at one focus. He published this
        law in 1609 in the Astronomia Nova, together with the law of equal areas. His third law, which relates the
        period of a planet to the size of its orbit, followed in 1619. Kepler died in Regensburg on 15 November 1630.
        His grave was destroyed two years later in the Thirty Years' War.""",
        (
            """In 1600 Tycho Brahe, an astronomer from Denmark who was then in Prague, took Johannes Kepler on as his
            assistant. When Brahe died in October 1601, his post of imperial mathematician was given to Kepler by
            Emperor Rudolf II. Working from what Brahe had observed of Mars, Kepler discovered that the orbit of a
            planet is an ellipse, one focus of which is occupied by the Sun. Both this law and that of equal areas
            were made public in the Astronomia Nova of 1609. It took until 1619 for the third to appear: it connects
            how long a planet needs for its orbit with how large the orbit is. Kepler's life ended on November 15,
            1630, in Regensburg. Two years afterwards the Thirty Years' War destroyed his grave.""",
        ),
        rivals=(("Kepler", "Brahe"),),
        strangers=(
            ("Regensburg", "Augsburg"),
            ("Mars", "Jupiter"),
            ("Prague", "Vienna"),
            ("Rudolf", "Ferdinand"),
        ),
    ),
    Passage(
        "baikal",
        "encyclopedic",
        """Lake Baikal in southern Siberia is the deepest lake on Earth. Its greatest depth is 1,642 metres, and it
        holds about one fifth of the fresh water that is not frozen. The lake is 636 km long and up to 79 km wide.
        More than 300 rivers flow into it, the largest of which is the Selenga, but only one, the Angara, flows out.
        The Baikal seal is found nowhere else. From January to May the lake is covered by ice that can be more than 1
        metre thick. In 1996 UNESCO declared the lake a World Heritage Site. A paper mill on its southern shore was
        closed in 2013.""",
        (
            """The Earth's deepest lake lies in the south of Siberia: Lake Baikal, which goes down to 1,642 m. About a
            fifth of all fresh water that is not ice is in it. It measures 636 kilometres in length and at most 79
            kilometres in width. The Selenga is the largest of the more than 300 rivers that feed it, while the Angara
            alone drains it. One animal, the Baikal seal, lives here and in no other place. Between January and May
            there is ice on the lake, which may be over a metre thick. The lake has been a World Heritage Site of
            UNESCO since 1996. In 2013 a paper mill that stood on the southern shore shut down.""",
        ),
        rivals=(("Selenga", "Angara"),),
        strangers=(
            ("Selenga", "Lena"),
            ("Siberia", "Mongolia"),
            ("Angara", "Yenisei"),
        ),
        free=(4, 6, 7),
    ),
)
