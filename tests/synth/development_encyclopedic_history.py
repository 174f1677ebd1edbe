"""Encyclopedic passages of people and inventions for development, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_ENCYCLOPEDIC_HISTORY = (
    Passage(
        "vasa",
        "encyclopedic",
        """The Vasa was a warship that King Gustav Adolf of Sweden had built in Stockholm. She sank on 10 August 1628,
        on her first voyage, after sailing little more than a kilometre. A gust of wind pressed her to one side, and
        water poured in through the open gunports. Around thirty people drowned. An inquiry found nobody guilty,
        although the ship had been tested beforehand and was known to be unstable: thirty men had run from side to
        side on the deck, and the test was stopped because she rolled so much. Divers recovered most of the guns in
        the 1660s. The hull was raised in 1961 and has been in a museum of its own since 1990. The cold, almost
        salt-free water had protected the wood from shipworms.""",
        (
            """Built in Stockholm by order of Gustav Adolf, King of Sweden, the warship Vasa went down on her maiden
            voyage on August 10, 1628. She had covered barely more than one kilometre when a gust heeled her over and
            the sea came in by way of the gunports, which stood open. Some 30 people lost their lives in the water.
            That the vessel lacked stability had been no secret. In a trial beforehand, thirty men ran across the deck
            from one side to the other, and it was broken off since she was rolling so heavily; still, the inquiry
            that followed the sinking put the blame on no one. Divers salvaged the greater part of her guns in the
            1660s. Since shipworms do not thrive in cold water with hardly any salt, the timber survived. The hull
            came up in 1961, and a museum devoted to it has housed it since 1990.""",
            """You know the story of the Vasa, don't you? She was the warship of Gustav Adolf, the Swedish king, and
            she was built in Stockholm. On 10 August 1628 she set out for the first time and got just over a kilometre
            before a gust pushed her over. The gunports were open, so the water simply ran in, and about thirty people
            were drowned. The funny thing is that they knew. They had tried her out before, with thirty men running
            from one side of the deck to the other, and had called it off because she swung so badly. And yet, when
            there was an inquiry, not one person was found guilty. Most of her guns were brought up by divers in the
            1660s, but the hull had to wait until 1961. It has stood in its own museum since 1990. The wood was still
            there because shipworms can't live in water so cold and with next to no salt.""",
        ),
        corruptions=(
            ("negated", "shipworms do not thrive in cold water", "shipworms thrive in cold water"),
            ("events reordered", "In a trial beforehand, thirty men", "In a trial afterwards, thirty men"),
            ("quantifier changed", "put the blame on no one", "put the blame on everyone"),
            ("quantifier changed", "the greater part of her guns", "a few of her guns"),
            (
                "detail changed",
                "by way of the gunports, which stood open",
                "by way of the gunports, which were broken",
            ),
            ("quantifier changed", "not one person was found guilty", "more than one person was found guilty"),
            (
                "events reordered",
                "a gust pushed her over. The gunports were open, so the water simply ran in",
                "the water simply ran in. The gunports were open, so a gust pushed her over",
            ),
            ("negated", "The funny thing is that they knew", "The sad thing is that they did not know"),
            (
                "events reordered",
                "Most of her guns were brought up by divers in the 1660s, but the hull had to wait until 1961",
                "The hull was brought up by divers in the 1660s, but most of her guns had to wait until 1961",
            ),
            (
                "invented",
                "and about thirty people were drowned",
                "and about thirty people were drowned, while the crowd on the shore cheered",
            ),
        ),
        rewordings=(
            ("number words", "Some 30 people", "Some thirty people"),
            ("synonyms", "lost their lives in the water", "died in the water"),
        ),
    ),
    Passage(
        "penny black",
        "encyclopedic",
        """The Penny Black was the first postage stamp with glue on its back. Great Britain introduced it on 1 May
        1840, and letters could be sent with it from 6 May. Before that, the person who received a letter usually
        paid, by its distance and the number of its sheets; a teacher, Rowland Hill, proposed that the sender should
        pay one penny for half an ounce, wherever the letter went. The stamp showed the young Queen Victoria and named
        no country, a privilege that British stamps still have. It was cancelled in red ink. As this ink could be
        washed off and stamps were used twice, the black stamp was replaced after less than a year by the Penny Red,
        which was cancelled in black.""",
        (
            """On 1 May 1840 Great Britain brought out the Penny Black, the first stamp that could be glued to a
            letter. It was valid for sending letters from May 6. The idea was Rowland Hill's. He was a teacher, and
            what he disliked was that the recipient generally paid for a letter, and that the price depended on how
            far it travelled and how many sheets it had. Under his plan, the sender was to pay a penny per half ounce
            to any place. A portrait of the young Queen Victoria was on the stamp but not the name of a country, and
            to this day British stamps need none. Red ink was used for cancelling it; people washed the ink off and
            used their stamps a second time. So within a year the Penny Red, with a cancellation in black, took the
            place of the Penny Black.""",
            """Penny Black = first adhesive postage stamp; issued in Great Britain 1 May 1840, usable from 6 May.
            Earlier system: as a rule payment by the receiver, price by distance and sheets. Proposal of the teacher
            Rowland Hill: payment by the sender, one penny per half ounce, no matter how far. Design: Queen Victoria
            as a young woman, no name of the country (British stamps are still allowed to leave it out). Problem: the
            red cancelling ink came off with washing, so that stamps served twice. Solution, not even a year later: a
            red stamp, the Penny Red, cancelled with black ink.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "that the recipient generally paid for a letter",
                "that the sender generally paid for a letter",
            ),
            ("negated", "to this day British stamps need none", "to this day British stamps need one"),
            ("antonym", "A portrait of the young Queen Victoria", "A portrait of the old Queen Victoria"),
            (
                "names swapped",
                "the Penny Red, with a cancellation in black, took the place of the Penny Black",
                "the Penny Black, with a cancellation in black, took the place of the Penny Red",
            ),
            ("unit changed", "a penny per half ounce to any place", "a penny per half pound to any place"),
            (
                "roles swapped",
                "Earlier system: as a rule payment by the receiver",
                "Earlier system: as a rule payment by the sender",
            ),
            (
                "negated",
                "the red cancelling ink came off with washing",
                "the red cancelling ink did not come off with washing",
            ),
            (
                "events reordered",
                "issued in Great Britain 1 May 1840, usable from 6 May",
                "usable in Great Britain from 1 May 1840, issued 6 May",
            ),
            ("detail changed", "Proposal of the teacher", "Proposal of the banker"),
        ),
        rewordings=(
            ("synonyms", "what he disliked was", "what bothered him was"),
            ("synonyms", "came off with washing", "could be washed off"),
        ),
    ),
    Passage(
        "ada lovelace",
        "encyclopedic",
        """Ada Lovelace was the only legitimate child of the poet Lord Byron, who left England four months after her
        birth in December 1815 and never saw her again. Her mother had her taught mathematics, partly because she
        feared that the girl might become like her father. At seventeen Ada met Charles Babbage, the inventor of
        calculating machines. In 1843 she translated an Italian article about his Analytical Engine and added notes
        that were three times as long as the article. One of them describes how the machine could calculate Bernoulli
        numbers and is often called the first computer program. She wrote that such a machine might compose music but
        could not originate anything. The Analytical Engine was never built. She died at 36, the same age as her
        father.""",
        (
            """Lord Byron, the poet, had only one legitimate child, Ada Lovelace, who was born in December 1815. When
            she was four months old he went away from England, and he did not see her any more. Mathematics was what
            her mother made her learn, one reason being the fear that she could take after her father. She was
            seventeen when she got to know Charles Babbage, who invented machines for calculating. Her translation of
            an article on his Analytical Engine, written in Italian, appeared in 1843 with notes by herself, and these
            had three times the length of the article. In one note it is told how Bernoulli numbers might be computed
            by the machine; many call this the first program for a computer. According to her, a machine of this kind
            might be able to compose music, but it could originate nothing. No Analytical Engine was ever built. Like
            her father she was 36 when she died.""",
            """Here is why people talk so much about Ada Lovelace. She translated an Italian article about the
            Analytical Engine in 1843, a machine by Charles Babbage that never got built, and her own notes to it ran
            to three times the article. One note explains how you would get Bernoulli numbers out of the machine, and
            it often gets called the first computer program. She thought that a thing like that might write music, but
            that it couldn't come up with anything by itself. Babbage, who invented calculating machines, she had met
            when she was seventeen. By then she had had plenty of mathematics, since her mother insisted on it and was
            afraid, among other things, that Ada would turn out like her father. He was Lord Byron, the poet. Ada,
            born in December 1815, was his one legitimate child, but he left England when she was four months old, and
            that was the last he saw of her. They both died at the age of 36.""",
        ),
        corruptions=(
            ("negated", "and he did not see her any more", "and he saw her once more"),
            (
                "roles swapped",
                "Mathematics was what her mother made her learn",
                "Mathematics was what her father made her learn",
            ),
            (
                "antonym",
                "these had three times the length of the article",
                "these had a third of the length of the article",
            ),
            ("negated", "but it could originate nothing", "and it could originate anything"),
            (
                "detail changed",
                "an article on his Analytical Engine, written in Italian",
                "an article on his Analytical Engine, written in French",
            ),
            (
                "negated",
                "a machine by Charles Babbage that never got built",
                "a machine by Charles Babbage that finally got built",
            ),
            (
                "names swapped",
                "Babbage, who invented calculating machines, she had met",
                "Byron, who invented calculating machines, she had met",
            ),
            (
                "detail changed",
                "since her mother insisted on it and was afraid",
                "since her mother had given it up and was afraid",
            ),
            ("quantifier changed", "his one legitimate child", "one of his legitimate children"),
            ("roles swapped", "that Ada would turn out like her father", "that her father would turn out like Ada"),
        ),
        rewordings=(
            ("synonyms", "got to know", "met"),
            ("synonyms", "was afraid, among other things,", "feared, among other things,"),
        ),
    ),
    Passage(
        "noodle invention",
        "encyclopedic",
        """Instant noodles were invented by Momofuku Ando in a shed behind his house in Ikeda, Japan. After the war he
        had seen long queues in front of a noodle stall and thought that people needed a noodle soup that could be
        kept for months and be ready in minutes. He tried for a year, sleeping four hours a night, until he watched
        his wife frying vegetables in oil. Hot oil drives the water out of the noodles and leaves tiny holes, through
        which hot water enters again quickly. The noodles came on sale on 25 August 1958 and cost six times as much as
        fresh ones. In 1971 he followed with noodles in a cup, an idea that he owed to American buyers who had broken
        the blocks up and put them into coffee cups.""",
        (
            """Momofuku Ando invented instant noodles at Ikeda in Japan, in a shed that stood behind his house. The
            long lines of people he had seen after the war at a noodle stall had convinced him of the need for a
            noodle soup which would keep for months and take only minutes to prepare. For a year his trials failed,
            while he slept no more than four hours a night. The solution came as he looked on while his wife fried
            vegetables in oil: in hot oil noodles lose their water, and tiny holes remain, by which hot water can
            quickly get back in. Sales began on August 25, 1958, at six times the price of fresh noodles. Cup noodles
            followed in 1971. For these he had American buyers to thank, who had crumbled the blocks into coffee
            cups.""",
            """Q: Who came up with instant noodles? A: Momofuku Ando, in Ikeda, Japan; his workshop was a shed at the
            back of his house. Q: What gave him the idea? A: Long queues at a noodle stall after the war. People, he
            thought, needed noodle soup that kept for months and was done in minutes. Q: How long did it take? A: A
            year, on four hours of sleep a night. Q: And what was the trick? A: His wife was frying vegetables in oil,
            and he saw it. Oil that is hot pushes the water out of a noodle and leaves tiny holes behind; later, hot
            water gets in through them fast. Q: When could you buy them? A: From 25 August 1958, for six times what
            fresh noodles cost. Q: And the cup? A: That was in 1971. He took the idea from buyers in America, who
            would break up the blocks and drop them into their coffee cups.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "he looked on while his wife fried vegetables",
                "his wife looked on while he fried vegetables",
            ),
            (
                "antonym",
                "which would keep for months and take only minutes",
                "which would keep for minutes and take only months",
            ),
            (
                "events reordered",
                "he had seen after the war at a noodle stall",
                "he had seen before the war at a noodle stall",
            ),
            ("negated", "For a year his trials failed", "For a year his trials succeeded"),
            ("detail changed", "crumbled the blocks into coffee cups", "crumbled the blocks into soup bowls"),
            (
                "roles swapped",
                """hot pushes the water out of a noodle and leaves tiny holes behind; later, hot water gets in through
                them fast""",
                "hot gets into a noodle through tiny holes; later, hot water pushes it out through them fast",
            ),
            ("antonym", "gets in through them fast", "gets in through them slowly"),
            (
                "number swapped",
                "From 25 August 1958, for six times what fresh noodles cost",
                "From 25 August 1971, for six times what fresh noodles cost",
            ),
            ("roles swapped", "He took the idea from buyers in America", "Buyers in America took the idea from him"),
            ("invented", "Q: And the cup?", "His first customers returned most of them. Q: And the cup?"),
        ),
        rewordings=(
            ("synonyms", "Sales began", "The sale began"),
            ("synonyms", "a shed that stood behind his house", "a hut that stood behind his house"),
        ),
    ),
    Passage(
        "rosetta",
        "encyclopedic",
        """French soldiers found the Rosetta Stone in July 1799 while they were rebuilding a fort in the Nile delta.
        It bears one decree of the year 196 BC in three scripts: hieroglyphs, Demotic and Greek. After their defeat in
        1801 the French had to hand it over to the British, and it has been in the British Museum since 1802. Greek
        could be read at once, but hieroglyphs could not. Thomas Young recognized in the 1810s that some of the signs
        spelled the name of the king, Ptolemy. Jean-François Champollion, who knew Coptic, went further: in 1822 he
        showed that hieroglyphs stand partly for sounds and partly for ideas, also in words that are not foreign
        names. He never saw the stone itself and worked from copies.""",
        (
            """The Rosetta Stone carries the same decree, issued in 196 BC, in Demotic, Greek and hieroglyphs.
            Soldiers from France came across it in July 1799 during the rebuilding of a fort in the delta of the Nile.
            Following the French defeat of 1801 it had to be given up to the British, whose museum has kept it since
            1802. While its Greek text posed no problem for readers, its hieroglyphs did. It was Thomas Young who
            realized, in the 1810s, that certain signs spell out Ptolemy, the king's name. Further progress was made
            by Jean-François Champollion with his knowledge of Coptic. As he demonstrated in 1822, hieroglyphs
            represent sounds in part and ideas in part, and not in foreign names alone. He used copies; the stone
            itself he did not see in his life.""",
            """So there's this stone, right, with one and the same text on it three times: in hieroglyphs, in Demotic
            and in Greek. The text is a decree from 196 BC. The French found it in July 1799, when their soldiers were
            rebuilding a fort in the Nile delta, but then they lost in 1801 and had to let the British have it, and
            since 1802 it has been in the British Museum. Now, people could read the Greek straight away. The
            hieroglyphs, not at all. In the 1810s Thomas Young worked out that some of the signs were the name of King
            Ptolemy. And then came Jean-François Champollion, who knew Coptic. He got further than Young: hieroglyphs,
            he showed in 1822, are sounds in some places and ideas in others, and that's true of ordinary words too
            and not just of foreign names. And do you know what? He only ever had copies. He never set eyes on the
            stone.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "it had to be given up to the British, whose museum",
                "it had to be given up by the British, whose museum",
            ),
            (
                "negated",
                "While its Greek text posed no problem for readers, its hieroglyphs did",
                "While its hieroglyphs posed no problem for readers, its Greek text did",
            ),
            ("names swapped", "It was Thomas Young who realized", "It was Jean-François Champollion who realized"),
            ("quantifier changed", "and not in foreign names alone", "but in foreign names alone"),
            ("events reordered", "Following the French defeat of 1801", "Some time before the French defeat of 1801"),
            ("negated", "He never set eyes on the stone", "He often set eyes on the stone"),
            ("roles swapped", "He got further than Young", "Young got further than he did"),
            ("detail changed", "who knew Coptic. He got", "who knew Arabic. He got"),
            ("name replaced", "had to let the British have it", "had to let the Prussians have it"),
            ("antonym", "but then they lost in 1801 and had to let", "but then they won in 1801 and had to let"),
        ),
        rewordings=(
            ("list reordered", "hieroglyphs, Demotic and Greek", "Greek, Demotic and hieroglyphs"),
            ("synonyms", "Further progress was made", "More progress was made"),
        ),
    ),
)
