"""Passages as an encyclopedia has them, which the gate's rules and thresholds were made with."""

from fidelity_passage import Passage

DEVELOPMENT_ENCYCLOPEDIC = (
    Passage(
        "bridge",
        "encyclopedic",
        """The Harlan Bridge is a steel arch bridge over the Ouse in northern England. It was designed by Margaret
        Dunne and built between 1921 and 1926 at a cost of £1.2 million. The main span measures 312 metres, and the
        deck stands 47 metres above the river at high tide. During construction, 14 workers died, most of them in
        falls. The bridge was opened on 3 May 1926 by King George V. Traffic increased sharply after the Second World
        War, and by 1958 more than 18,000 vehicles crossed it every day. The older ferry at Selwick was not closed
        until 1961. In 1984 the structure was listed as a monument, because it had never been altered in any
        significant way. The city of Corby now owns the bridge, while Selwick maintains the approach roads.""",
        (
            """The Harlan Bridge, a steel arch bridge, crosses the Ouse in the north of England. Margaret Dunne
            designed it, and it was constructed from 1921 to 1926 for 1.2 million pounds. Its main span is 312 m long,
            and its deck is 47 m above the river when the tide is high. Fourteen workers lost their lives during the
            work, mostly in falls. King George V opened the bridge on May 3, 1926. After World War II traffic rose
            sharply; by 1958 over 18,000 vehicles used it each day. The older Selwick ferry did not close until 1961.
            Because it had never been changed significantly, the structure was listed as a monument in 1984. Today the
            bridge belongs to the city of Corby, and Selwick looks after the approach roads.""",
            """Spanning the Ouse in northern England, the Harlan Bridge is an arch of steel drawn up by the engineer
            Margaret Dunne. Work on it began in 1921 and ended in 1926, having consumed £1.2 million. At high water
            the roadway hangs 47 metres over the river, carried by a central span of 312 metres. The project claimed
            the lives of 14 men, the majority through falls, before King George V could inaugurate the crossing on 3
            May 1926. Once the Second World War was over, use of the bridge climbed steeply, with daily traffic
            exceeding 18,000 vehicles by 1958. Even so, the ferry at Selwick, which was older, kept running until
            1961. The bridge has remained free of major alterations, and it therefore received monument status in
            1984. Its present owner is the city of Corby; the approach roads are in Selwick's care.""",
        ),
        corruptions=(
            ("number off by one", "312", "313"),
            ("number times ten", "18,000", "180,000"),
            ("number swapped", "1921", "1926"),
            ("unit changed", "312 metres", "312 feet"),
            ("unit changed", "312 m", "312 km"),
            ("negated", "was not closed until", "was closed before"),
            ("antonym", "increased sharply", "decreased sharply"),
            ("antonym", "rose sharply", "fell sharply"),
            ("antonym", "climbed steeply", "dropped steeply"),
            ("quantifier changed", "more than 18,000", "fewer than 18,000"),
            ("quantifier changed", "over 18,000", "under 18,000"),
            ("name replaced", "Margaret Dunne", "Robert Maillart"),
            ("name replaced", "King George V", "Queen Victoria"),
            ("date changed", "3 May 1926", "3 June 1926"),
            ("date changed", "May 3, 1926", "May 8, 1926"),
            ("events reordered", "after the Second World War", "before the Second World War"),
            ("events reordered", "After World War II", "Before World War II"),
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
    Passage(
        "war",
        "encyclopedic",
        """The Kingdom of Arvenia defeated the Duchy of Lorn at the Battle of Teal Hill on 12 August 1647. The
        Arvenian army, led by General Isak Brandt, had about 9,000 men, while Duke Orsino of Lorn commanded 12,500.
        Brandt attacked before dawn and captured the artillery, which the duke had left without a guard. All of the
        Lornish cannon were lost. Orsino fled to Vessen and later accused his brother Matteo of treason. The victory
        gave Arvenia control of the salt mines, although the city of Vessen never surrendered. Under the Treaty of
        Halm, signed in 1649, Lorn paid Arvenia 300,000 crowns and Arvenia returned the port of Sael to Lorn.
        Historians rarely agree about the number of dead: estimates range from 2,000 to 5,000.""",
        (
            """On 12 August 1647, the Duchy of Lorn was defeated by the Kingdom of Arvenia in the Battle of Teal Hill.
            General Isak Brandt led the Arvenian army of roughly 9,000 men; Duke Orsino of Lorn had 12,500 under his
            command. Attacking before dawn, Brandt took the artillery, which the duke had left unguarded. Every
            Lornish cannon was lost. Orsino escaped to Vessen, where he later accused Matteo, his brother, of treason.
            The victory gave the salt mines to Arvenia, but the city of Vessen did not surrender. In the Treaty of
            Halm, which was signed in 1649, Lorn paid 300,000 crowns to Arvenia, and the port of Sael was returned to
            Lorn by Arvenia. Historians seldom agree on how many died, with estimates between 2,000 and 5,000.""",
            """The Battle of Teal Hill, fought on August 12, 1647, ended in victory for the Kingdom of Arvenia over
            the Duchy of Lorn. Although Duke Orsino had 12,500 Lornish soldiers and his opponent, General Isak Brandt,
            only some 9,000, the Arvenians struck before sunrise. They overran the duke's artillery, for which he had
            posted no guard, and all of its guns fell into their hands. The duke took refuge in Vessen and afterwards
            charged his brother Matteo with treason. Arvenia now held the salt mines; Vessen itself, however, never
            gave in. Two years later, in 1649, the parties concluded the Treaty of Halm: Lorn owed Arvenia a payment
            of 300,000 crowns, and in return Arvenia gave Lorn back the port of Sael. The death toll is disputed to
            this day. Figures between 2,000 and 5,000 have been proposed, and scholars seldom settle on one.""",
        ),
        corruptions=(
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
            ("quantifier changed", "All of the Lornish cannon", "Some of the Lornish cannon"),
            ("quantifier changed", "Every Lornish cannon", "No Lornish cannon"),
            ("quantifier changed", "rarely agree", "always agree"),
            ("quantifier changed", "seldom agree", "usually agree"),
            ("events reordered", "before dawn", "after dawn"),
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
    Passage(
        "bird",
        "encyclopedic",
        """The marsh lapper is a small wading bird found in the wetlands of eastern Poland, Belarus and Ukraine.
        Adults weigh between 60 and 85 grams and have a wingspan of 38 cm. Males are larger than females and have a
        red throat. The bird feeds mostly on snails, worms, beetles, spiders and small crabs, and it rarely eats
        seeds. It does not migrate. Breeding starts in April; the female lays four eggs, which hatch after 21 days.
        Both parents feed the young. The population fell by 40 percent between 1980 and 2005, mainly because marshes
        were drained. Since 2010 numbers have increased slightly in Belarus, where hunting is forbidden. The species
        was first described by Johann Keller in 1803.""",
        (
            """A small wader, the marsh lapper lives in wetlands in Ukraine, Belarus and the east of Poland. An adult
            weighs 60 to 85 g and its wingspan is 38 centimetres. The male, which has a red throat, is larger than the
            female. It lives mostly on snails, worms, beetles, spiders and small crabs and seldom eats seeds. The bird
            is not migratory. It breeds from April on: the female lays 4 eggs, and these hatch after twenty-one days.
            The young are fed by both parents. From 1980 to 2005 the population decreased by 40 %, above all because
            of the draining of marshes. In Belarus, where hunting is banned, numbers have risen slightly since 2010.
            Johann Keller first described the species in 1803.""",
            """First described by Johann Keller in 1803, the marsh lapper is a little wading bird of Polish,
            Belarusian and Ukrainian wetlands. Grown birds tip the scales at 60 to 85 grams, with wings that stretch
            38 cm from tip to tip; the red-throated males outsize the females. Worms, snails, beetles, spiders and
            small crabs make up most of the diet, and seeds are eaten only rarely. Rather than migrating, the birds
            stay all year. The season for breeding opens in April, when four eggs are laid by the female. They take 21
            days to hatch, and the chicks are then raised by both parents. Drainage of the marshes was the main reason
            why numbers dropped by 40 per cent from 1980 to 2005. A slight recovery has been seen since 2010 in
            Belarus, which does not allow hunting.""",
        ),
        corruptions=(
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
            ("quantifier changed", "rarely", "always"),
            ("quantifier changed", "seldom", "usually"),
            ("quantifier changed", "mostly on snails", "never on snails"),
            ("name replaced", "Belarus", "Romania"),
        ),
        rewordings=(
            (
                "list summarised",
                "snails, worms, beetles, spiders and small crabs",
                "snails, worms and other small animals",
            ),
            (
                "list summarised",
                "Worms, snails, beetles, spiders and small crabs",
                "Worms, snails and similar small creatures",
            ),
            (
                "list reordered",
                "snails, worms, beetles, spiders and small crabs",
                "beetles, spiders, worms, small crabs and snails",
            ),
            ("list reordered", "Poland, Belarus and Ukraine", "Poland, Ukraine and Belarus"),
        ),
    ),
    Passage(
        "chemist",
        "encyclopedic",
        """Clara Vennik (14 February 1871 – 9 October 1938) was a Dutch chemist who discovered two rare minerals and
        improved the production of glass. Born in Delft as the third of five children, she studied at the University
        of Leiden, where women had been admitted only since 1878. She received her doctorate in 1897. From 1899 to
        1911 she worked for the Holtz company in Jena, Germany, and there she met the physicist Otto Brandl, whom she
        married in 1903. Vennik returned to the Netherlands after her husband's death and taught at a school in
        Utrecht. She refused the Royal Medal in 1926 because her assistant, Maria Hoek, had not been mentioned. She
        published 64 papers but never wrote a book.""",
        (
            """The Dutch chemist Clara Vennik, who lived from 14 February 1871 to 9 October 1938, discovered two rare
            minerals and made glass production better. She was born in Delft, the third among five children. At Leiden
            University, which had only admitted women since 1878, she took her degree and, in 1897, her doctorate. She
            was employed by the Holtz company in the German city of Jena between 1899 and 1911. It was there that she
            got to know Otto Brandl, a physicist; they married in 1903. When her husband had died, Vennik went back to
            the Netherlands to teach at a school in Utrecht. In 1926 she turned down the Royal Medal, since Maria
            Hoek, her assistant, had gone unmentioned. Her 64 papers were never joined by a book.""",
            """Two rare minerals owe their discovery to Clara Vennik, a chemist from the Netherlands (born February
            14, 1871; died October 9, 1938), who also advanced the making of glass. One of five siblings, she was her
            parents' third child and came into the world in Delft. Her student years were spent in Leiden at the
            university, open to women no earlier than 1878, and she earned a doctorate there in 1897. Twelve years
            with the firm of Holtz in Jena, Germany, followed, from 1899 until 1911. In Jena she also found a husband,
            the physicist Otto Brandl; the wedding took place in 1903. As a widow she moved back to her home country
            and worked as a schoolteacher in Utrecht. The Royal Medal was offered to her in 1926, but she would not
            accept it: her assistant, Maria Hoek, had been passed over. Vennik left 64 papers and not a single
            book.""",
        ),
        corruptions=(
            ("number changed", "64 papers", "46 papers"),
            ("date changed", "14 February", "15 February"),
            ("date changed", "February 14", "February 24"),
            ("number swapped", "1899", "1903"),
            ("name replaced", "Utrecht", "Rotterdam"),
            ("names swapped", "Maria Hoek", "Otto Hoek"),
            ("negated", "had not been mentioned", "had been mentioned"),
            ("negated", "never wrote a book", "also wrote a book"),
            ("negated", "She refused the Royal Medal", "She accepted the Royal Medal"),
            ("negated", "she would not accept it", "she gladly accepted it"),
            ("events reordered", "after her husband's death", "before her husband's death"),
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
    Passage(
        "river",
        "encyclopedic",
        """The Soren is the second-longest river of the island. It rises at 1,840 metres on the slopes of Mount Kall
        and flows 276 kilometres west to the Bay of Dorne. Its largest tributary, the Little Soren, joins it from the
        left near the town of Hask. All towns on the upper course lie more than 10 km from the banks, because floods
        are common in spring. In 1931 a flood killed 113 people and destroyed the old bridge at Hask. A dam was
        completed in 1954; since then no serious flood has occurred. The dam provides about 30 percent of the island's
        electricity. Salmon have become rare, but trout are still abundant. Ships cannot use the river above Hask. The
        water is clean enough to drink in the mountains but not in the plains.""",
        (
            """On this island only one river is longer than the Soren. From its source on Mount Kall's slopes, 1,840 m
            high, it runs 276 km to the west and enters the Bay of Dorne. Close to the town of Hask it is joined from
            the left by the Little Soren, which is the largest of its tributaries. Since spring floods are frequent,
            every town along the upper course is situated over 10 kilometres away from the banks. The flood of 1931
            cost 113 lives and destroyed the old bridge in Hask. No serious flood has happened since 1954, when a dam
            was finished, and this dam supplies roughly 30 % of the electricity on the island. Trout remain plentiful;
            salmon, however, are now rare. The river is not navigable above Hask. In the mountains its water can be
            drunk, in the plains it cannot.""",
        ),
        corruptions=(
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
            ("quantifier changed", "All towns", "Some towns"),
            ("quantifier changed", "every town along", "no town along"),
            ("quantifier changed", "more than 10 km", "less than 10 km"),
            ("quantifier changed", "over 10 kilometres", "under 10 kilometres"),
            ("number swapped", "In 1931 a flood killed 113 people", "In 1954 a flood killed 113 people"),
            ("negated", "no serious flood has occurred", "serious floods have occurred"),
            ("negated", "Ships cannot use", "Ships can use"),
            ("negated", "is not navigable", "is navigable"),
            ("negated", "but not in the plains", "and in the plains"),
            ("number changed", "30 percent", "13 percent"),
            ("name replaced", "Bay of Dorne", "Bay of Biscay"),
            ("events reordered", "since then no", "before then no"),
        ),
    ),
    Passage(
        "south pole",
        "encyclopedic",
        """Roald Amundsen led the first expedition to reach the South Pole. He left his base at the Bay of Whales on
        19 October 1911 with four companions, four sledges and 52 dogs. The party arrived at the pole on 14 December
        1911, 34 days before the British explorer Robert Scott, whose team of five got there on 17 January 1912.
        Amundsen returned to his base after 99 days with all of his men alive and 11 dogs. Scott and his four
        companions died on the way back. The news of the Norwegian success became public on 7 March 1912, when
        Amundsen reached Hobart in Tasmania.""",
        (
            """The first people at the South Pole were the members of an expedition under Roald Amundsen. With 52 dogs
            pulling four sledges, he and four other men set out from the Bay of Whales, where their base stood, on
            October 19, 1911, and they stood at the pole on December 14 of that year. Robert Scott, a British
            explorer, was 34 days later: he and his team, five people in all, arrived on January 17, 1912. None of
            Amundsen's men was lost, and eleven dogs were left when they were back at their base after 99 days. Scott
            died on the return journey, as did the four men with him. On March 7, 1912, Amundsen landed at Hobart,
            Tasmania, and the world learned that the Norwegians had succeeded.""",
            """An expedition headed by Roald Amundsen was the first ever to get to the South Pole. It comprised five
            men, Amundsen included, four sledges and fifty-two dogs, and started from its base at the Bay of Whales on
            19 October 1911. The pole was reached on 14 December. The Briton Robert Scott came there with his five-man
            team on 17 January 1912, 34 days after Amundsen, and perished with his four comrades while returning.
            Amundsen, by contrast, brought every one of his men and 11 of the dogs home to the base, 99 days after
            leaving it. His Norwegian triumph was made known on 7 March 1912 upon his arrival in Hobart, Tasmania.""",
        ),
        rivals=(("Amundsen", "Scott"),),
        strangers=(
            ("Hobart", "Wellington"),
            ("Scott", "Shackleton"),
            ("Tasmania", "Victoria"),
        ),
        translated=(
            3,
            """Amundsen kehrte nach 99 Tagen mit all seinen Männern und elf Hunden zu seiner Basis zurück. Scott und
            seine vier Begleiter starben auf dem Rückweg. Der Erfolg der Norweger wurde am 7. März 1912 bekannt, als
            Amundsen Hobart in Tasmanien erreichte.""",
        ),
    ),
    Passage(
        "panama canal",
        "encyclopedic",
        """The Panama Canal is an artificial waterway of 82 kilometres that joins the Atlantic and the Pacific. A
        French company under Ferdinand de Lesseps began to dig in 1881, but it went bankrupt in 1889 after about
        22,000 workers had died, most of them of yellow fever and malaria. The United States took over the project in
        1904 and finished it under the engineer George Goethals. The canal was opened on 15 August 1914 with the
        passage of the steamer Ancon. Locks lift ships 26 metres to Gatun Lake and lower them again on the other side.
        Panama has controlled the canal since 31 December 1999.""",
        (
            """Joining the Pacific to the Atlantic, the Panama Canal is a man-made waterway 82 km long. Digging was
            begun in 1881 by a French company headed by Ferdinand de Lesseps. Some 22,000 labourers lost their lives,
            mainly to malaria and yellow fever, and in 1889 the company failed. In 1904 the project passed to the
            United States, and it was completed under an engineer named George Goethals. When the steamer Ancon went
            through on August 15, 1914, the canal was open. Ships are raised by locks to Gatun Lake, 26 m up, and on
            the far side locks let them down again. Control of the canal has been in Panama's hands since December 31,
            1999.""",
            """The artificial waterway known as the Panama Canal links two oceans, the Atlantic and the Pacific, over
            a length of 82 kilometres. It was started by the French: from 1881 a company led by Ferdinand de Lesseps
            dug there until, in 1889, it was bankrupt. By then approximately 22,000 of its workers were dead, the
            majority from yellow fever and malaria. The United States, which took the work over in 1904, brought it to
            an end with George Goethals as engineer. The steamer Ancon made the opening passage on 15 August 1914.
            Vessels are lifted 26 metres to Gatun Lake by locks before being lowered again at the other end. On 31
            December 1999 Panama took control of the canal, and it has kept it since.""",
        ),
        rivals=(("Lesseps", "Goethals"),),
        strangers=(
            ("Goethals", "Wheeler"),
            ("Ancon", "Cristobal"),
            ("Gatun", "Managua"),
        ),
    ),
    Passage(
        "eiffel tower",
        "encyclopedic",
        """The Eiffel Tower in Paris was built for the World's Fair of 1889. Maurice Koechlin and Emile Nouguier, two
        engineers of Gustave Eiffel's company, drew the first design in May 1884, and the architect Stephen Sauvestre
        added the arches. Work on the foundations started on 28 January 1887. About 300 workers joined 18,038 pieces
        of iron with 2.5 million rivets. The tower was finished on 31 March 1889 and was 312 metres high. It remained
        the tallest structure in the world until the Chrysler Building in New York was completed in 1930. It was to be
        taken down after 20 years, but it was kept because it was useful for radio.""",
        (
            """It was for the 1889 World's Fair that Paris got its Eiffel Tower. In May 1884 a first design was made
            by two engineers who worked for Gustave Eiffel, Maurice Koechlin and Emile Nouguier; the arches are an
            addition by Stephen Sauvestre, an architect. Builders began with the foundations on January 28, 1887. Some
            300 men put together 18,038 iron parts, for which they needed two and a half million rivets. On its
            completion on March 31, 1889, the tower stood 312 m tall. Nothing taller existed anywhere until New York's
            Chrysler Building was finished in 1930. The plan had been to dismantle the tower after twenty years, yet
            its usefulness for radio saved it.""",
            """Built for the World's Fair which Paris held in 1889, the Eiffel Tower goes back to a drawing of May
            1884 by Maurice Koechlin and Emile Nouguier. Both were engineers in the company of Gustave Eiffel. The
            architect who gave it its arches was Stephen Sauvestre. The foundations were begun on 28 January 1887, and
            the tower, 312 metres in height, was complete on 31 March 1889. It consists of 18,038 pieces of iron, held
            together by 2.5 million rivets, and some 300 labourers assembled it. Until 1930, when the Chrysler
            Building went up in New York, it was the world's tallest structure. Although it should have been removed
            after 20 years, it stayed, since radio had use for it.""",
        ),
        rivals=(
            ("Koechlin", "Sauvestre"),
            ("Eiffel", "Chrysler"),
        ),
        strangers=(
            ("Sauvestre", "Garnier"),
            ("Nouguier", "Contamin"),
            ("New York", "Chicago"),
        ),
        translated=(
            3,
            """Environ 300 ouvriers assemblèrent 18 038 pièces de fer avec 2,5 millions de rivets. La tour fut achevée
            le 31 mars 1889 et mesurait 312 mètres. Elle resta la plus haute construction du monde jusqu'à
            l'achèvement du Chrysler Building à New York en 1930. On devait la démonter au bout de vingt ans, mais
            elle fut conservée parce qu'elle était utile à la radio.""",
        ),
    ),
)
