"""Stories for development, of villages and neighbours, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_NARRATIVE_VILLAGE = (
    Passage(
        "beekeeper",
        "narrative",
        """Every evening Mirko counted his hives, and on the ninth of June one was missing. He followed the marks of a
        handcart through the wet grass as far as the mill, where they turned into the road and could not be seen any
        more. The miller said that he had heard nothing. On the way home Mirko met his neighbour's daughter Jelka,
        whose face was swollen. She did not greet him. He went in, poured two glasses of milk and waited by the open
        door. Before it was dark she knocked. She had only wanted to sell the honey, she said, to pay for her mother's
        medicine, and she had been stung eleven times. Mirko gave her the milk and a jar of honey. The hive he fetched
        back himself, at night, when bees do not fly.""",
        (
            """Mirko used to count his beehives in the evening, and on June 9 he found that there was one too few. The
            wheels of a handcart had left marks in the wet grass, and these he followed up to the mill. There they led
            onto the road and were lost. Nothing had come to the miller's ears, or so the miller said. On his walk
            home Mirko passed Jelka, the daughter of his neighbour; her face was swollen, and she gave him no
            greeting. At home he filled two glasses with milk, left the door open and waited beside it. A knock came
            before nightfall. Jelka told him that all she had wanted was to sell the honey, since her mother needed
            medicine that had to be paid for, and that the bees had stung her eleven times. He handed her the milk and
            a jar of honey, too. At night, when no bees fly, he brought the hive back on his own.""",
            """Mirko had beehives, and he counted them every evening. On the ninth of June he counted one less! A
            handcart had made tracks in the wet grass. He walked along them until he came to the mill, but there they
            went out on the road and he could not see them any longer. "I heard nothing," said the miller. So Mirko
            walked home, and on the way there was Jelka, the girl from next door. Her face was all swollen, and she
            did not say hello. What did Mirko do? He went inside and poured milk into two glasses, and then he waited
            at his door, which he left open. It was not yet dark when she knocked. "I only wanted to sell the honey,"
            she said. "We need the money for my mother's medicine. And the bees stung me eleven times." Mirko gave her
            milk and also a jar of honey. Then, in the night, when bees stay at home, he went himself and got the hive
            back.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "He handed her the milk and a jar of honey, too",
                "She handed him the milk and a jar of honey, too",
            ),
            ("negated", "she gave him no greeting", "she gave him a friendly greeting"),
            ("events reordered", "A knock came before nightfall", "A knock came after nightfall"),
            ("detail changed", "in the wet grass, and these he followed", "in the fresh snow, and these he followed"),
            ("antonym", "there was one too few", "there was one too many"),
            (
                "quantifier changed",
                "Nothing had come to the miller's ears",
                "Everything had come to the miller's ears",
            ),
            ("names swapped", '"I heard nothing," said the miller', '"I heard nothing," said Jelka'),
            ("negated", "which he left open. It was", "which he did not leave open. It was"),
            (
                "detail changed",
                "We need the money for my mother's medicine",
                "We need the money for my mother's wedding",
            ),
            (
                "invented",
                "Mirko gave her milk and also",
                "Her mother stood behind her and wept. Mirko gave her milk and also",
            ),
        ),
        rewordings=(
            ("number words", "had stung her eleven times", "had stung her 11 times"),
            ("synonyms", "were lost. Nothing", "disappeared. Nothing"),
        ),
    ),
    Passage(
        "organ",
        "narrative",
        """The organ of Saint Anne's had been silent for two winters when the new priest found a boy asleep inside it.
        The boy said that his name was Tilo and that he was mending it. He had a candle, a knife, a pot of glue, some
        wire and strips of leather which he had cut from his own boots. The priest let him go on and told nobody. All
        through Lent the boy worked at night and slept in the day. On Easter morning the old organist sat down without
        hope, pressed a key, and began to weep before the note had ended. When the priest ran up to the loft, the boy
        was gone, barefoot in the snow. The priest sent the sexton after him with shoes. The sexton came back at noon
        and had found neither footprints nor the boy.""",
        (
            """For two winters no sound had come out of the organ at Saint Anne's. Then the new priest discovered a
            sleeping boy in it, who told him that he was called Tilo and was repairing the instrument. A knife, wire,
            a candle, leather in strips, a pot with glue: those were his tools, and the leather came from his own
            boots. The priest kept silent about him and let him carry on. So it went during the whole of Lent, with
            the boy working in the nights and sleeping in the daytime. At Easter, in the morning, the old organist
            took his seat expecting nothing. He pressed down a key, and the note had not yet died away when he started
            weeping. The priest hurried up to the loft, but the boy had left, and there was snow outside, and he wore
            no shoes. It was with a pair of shoes that the sexton was sent to look for him. At midday he returned. He
            had found no boy and not even a footprint.""",
            """You won't believe this one. The organ in Saint Anne's hadn't made a sound for two winters, and one day
            the priest, who was new there, finds a boy sleeping in it. "I'm Tilo," he says, "I'm mending it." And so
            he was, with a candle, a knife, some wire, a pot of glue and bits of leather he had cut off his own boots.
            The priest didn't tell a soul and left him to it. The whole of Lent that boy worked by night and slept by
            day. Comes Easter morning, the old organist sits down, without any hope at all, presses a key, and he's in
            tears before the note is over. Up runs the priest to the loft. No boy! Gone, barefoot, and with snow on
            the ground. So he sends the sexton off to bring him shoes, and at noon the sexton is back: no boy, no
            footprints.""",
        ),
        corruptions=(
            (
                "antonym",
                "with the boy working in the nights and sleeping in the daytime",
                "with the boy working in the daytime and sleeping in the nights",
            ),
            (
                "roles swapped",
                "Then the new priest discovered a sleeping boy in it",
                "Then a boy discovered the new priest sleeping in it",
            ),
            (
                "negated",
                "The priest kept silent about him and let him carry on",
                "The priest did not keep silent about him but let him carry on",
            ),
            ("quantifier changed", "and not even a footprint", "and only a few footprints"),
            (
                "events reordered",
                "the note had not yet died away when he started weeping",
                "the note had long died away when he started weeping",
            ),
            ("names swapped", "the old organist sits down", "the old sexton sits down"),
            ("negated", "The priest didn't tell a soul", "The priest told everybody"),
            (
                "detail changed",
                "bits of leather he had cut off his own boots",
                "bits of leather he had cut off a saddle",
            ),
            (
                "invented",
                "Comes Easter morning",
                "Meanwhile the bishop complains about the smell of glue. Comes Easter morning",
            ),
        ),
        rewordings=(
            (
                "list summarised",
                "A knife, wire, a candle, leather in strips, a pot with glue: those",
                "A knife and a few other simple things, leather among them: those",
            ),
            (
                "list reordered",
                "with a candle, a knife, some wire, a pot of glue and bits of leather he had cut",
                "with a knife, a candle, a pot of glue, some wire and bits of leather he had cut",
            ),
            ("synonyms", "the boy was gone", "the boy had gone"),
        ),
    ),
    Passage(
        "stolen coat",
        "narrative",
        """On the ferry to Odda a man sat down beside Ingrid who was wearing her dead husband's coat. She knew it by
        the burn on the left sleeve. She had given the coat to the church bazaar in autumn, and there was no reason to
        be angry, but her hands shook. The man noticed, and asked whether she was cold. Without waiting for an answer
        he took off the coat and laid it round her shoulders. It smelled of tobacco; her husband had never smoked.
        They did not speak until the ferry landed. Then he said that she should keep it, since he had another one and
        she had none. Ingrid thanked him, walked as far as the baker's, and hung the coat on the hook where the
        baker's apprentice would find it.""",
        (
            """Ingrid was on the ferry to Odda when a man took the seat beside her, and the coat he had on was that of
            her late husband. It had a burn on its left sleeve, which is how she recognized it. It was she who had
            handed it in at the church bazaar that autumn. She had no cause for anger, and yet her hands trembled. He
            saw this and wanted to know if she felt cold; before she could reply, the coat was off him and round her
            shoulders. There was a smell of tobacco in it, although her husband had not smoked in his life. Not a word
            passed between them till they landed. He told her then to keep the coat, seeing that she had none and he
            had a second. She gave him her thanks and went to the baker's, where she left the coat on the hook. There
            the apprentice would come upon it.""",
            """Ferry to Odda. Ingrid. A man sits down next to her in a coat, and it's her husband's: the left sleeve
            has the burn. Her husband is dead. She herself gave the coat away, to the church bazaar, in the autumn, so
            why be angry? Still, her hands are shaking. He sees that. Is she cold? He does not wait for her to answer,
            he takes it off and puts it over her shoulders. Tobacco, it smells of tobacco, and her husband never
            smoked. Neither of them speaks for the rest of the crossing. After landing he says: keep it, I've got
            another and you've got none. She thanks him. She walks until she reaches the baker's, and there, on the
            hook, she hangs up the coat for the apprentice of the baker to find.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "He saw this and wanted to know if she felt cold",
                "She saw this and wanted to know if he felt cold",
            ),
            (
                "negated",
                "although her husband had not smoked in his life",
                "although her husband had not smoked that day",
            ),
            ("antonym", "It had a burn on its left sleeve", "It had a burn on its right sleeve"),
            (
                "events reordered",
                "before she could reply, the coat was off him",
                "after she had replied, the coat was off him",
            ),
            ("detail changed", "that of her late husband", "that of her late brother"),
            ("antonym", "and you've got none", "and you've got plenty"),
            (
                "roles swapped",
                "She herself gave the coat away, to the church bazaar",
                "She herself got the coat, at the church bazaar",
            ),
            ("negated", "Neither of them speaks", "Both of them speak"),
            ("detail changed", "for the apprentice of the baker to find", "for the baker's wife to find"),
            ("invented", "Her husband is dead.", "Her husband is dead. He drowned on this very ferry."),
        ),
        rewordings=(
            ("synonyms", "her hands trembled", "her hands shook"),
            ("synonyms", "Not a word passed between them", "They said nothing to each other"),
        ),
    ),
    Passage(
        "two masons",
        "narrative",
        """Two masons, Pero and Duje, were to build a wall for a widow, each from one end, and to meet in the middle.
        Pero worked fast and sang. Duje worked slowly and picked up each stone twice before he laid it. After five
        days Pero had done two thirds and said that he deserved two thirds of the money. The widow agreed. That night
        there was a storm, and in the morning much of Pero's part lay in the grass, while Duje's stood. Pero offered
        to build it up again for nothing, but the widow gave the work to Duje and paid him for it. Then she asked Pero
        to sing while the other one worked, and for that, too, she paid. They finished on Sunday.""",
        (
            """A wall was wanted by a widow, and two masons were to make it: Pero from the one end, Duje from the
            other, until they met halfway. Pero was quick at his work, singing all the while, whereas Duje was slow,
            for he took each stone up two times before laying it. When five days had gone by, two thirds of the wall
            were Pero's. He claimed that he had earned two thirds of the pay, and the widow said yes. A storm came in
            the night. By morning a good deal of what Pero had built was lying in the grass; what Duje had built was
            standing. Pero said that he would put it up again and charge nothing. The widow, however, let Duje do that
            work, for pay, and what she wanted from Pero was that he sing as Duje worked. She paid for the singing as
            well. On Sunday they were done.""",
            """Here is a story about two masons. A widow wanted a wall. Pero started at one end and Duje at the other,
            and in the middle they would meet. Pero sang and was fast. Duje was slow: he picked up every stone twice,
            and only then did he lay it. Five days later Pero had built two thirds of the wall. "I should get two
            thirds of the money," he said, and the widow agreed. But in the night there was a storm, and do you know
            what they saw in the morning? A lot of Pero's wall was down in the grass, and Duje's was still up. "I'll
            build it again for free," said Pero. No, said the widow. She gave Duje that work and gave him money for
            it. Pero she asked for something else, to sing while Duje was working. She paid him for that, too! On
            Sunday the wall was finished.""",
        ),
        corruptions=(
            (
                "names swapped",
                "what Pero had built was lying in the grass; what Duje had built was standing",
                "what Duje had built was lying in the grass; what Pero had built was standing",
            ),
            (
                "roles swapped",
                "He claimed that he had earned two thirds of the pay, and the widow said yes",
                "She claimed that he had earned two thirds of the pay, and Pero said yes",
            ),
            ("negated", "and the widow said yes", "and the widow said no"),
            ("detail changed", "A storm came in the night", "A flood came in the night"),
            (
                "events reordered",
                "for he took each stone up two times before laying it",
                "for he took each stone up two times after laying it",
            ),
            (
                "names swapped",
                "No, said the widow. She gave Duje that work",
                "No, said the widow. She gave Pero that work",
            ),
            (
                "antonym",
                '"I\'ll build it again for free," said Pero',
                '"I\'ll build it again for double pay," said Pero',
            ),
            ("quantifier changed", "A lot of Pero's wall was down", "None of Pero's wall was down"),
            (
                "number changed",
                "Five days later Pero had built two thirds of the wall",
                "Two days later Pero had built five sixths of the wall",
            ),
            ("invented", "She paid him for that, too!", "She paid him for that, too! He spent it all at the inn."),
        ),
        rewordings=(
            ("synonyms", "Pero was quick at his work", "Pero was fast at his work"),
            ("number words", "two thirds of the pay", "2/3 of the pay"),
        ),
    ),
    Passage(
        "lighthouse goat",
        "narrative",
        """The keeper of the lighthouse at Skerry Point owned a goat that hated the fog horn. Whenever it sounded, she
        climbed onto the roof of the shed and would not come down. One night in November the horn broke. The keeper
        was ill in bed, and his wife rowed to the village for the doctor. While she was away, fog came in from the
        west, and a trawler with nine men steered for the rocks. The goat saw its lamps, or so the wife liked to tell
        it later, and began to bleat from the roof, and did not stop. The trawler's captain heard a goat where there
        should have been sea. He turned hard to port and scraped past the Point. In the morning he brought the goat a
        cabbage, and for the rest of her life she had one every Christmas.""",
        (
            """At Skerry Point the lighthouse keeper had a goat. She could not bear the fog horn: as soon as it went
            off, up she went on the shed's roof, and nothing would bring her down. The horn failed one November night.
            With her husband sick in bed, the keeper's wife had taken the boat to the village to get a doctor, and it
            was in her absence that the fog rolled in, out of the west. A trawler was heading for the rocks, nine men
            aboard. From the roof the goat started bleating, because she had seen the lamps (that was how the wife
            would tell the story afterwards), and she went on and on. What the captain of the trawler heard was a goat
            in a place where he expected the sea. He put the helm hard to port, and the ship grazed the Point as she
            passed. Next morning there was a cabbage for the goat, brought by him, and she got another each Christmas
            as long as she lived.""",
            """Q: Why did the goat of Skerry Point get a cabbage every Christmas? A: Because she saved a trawler and
            the nine men on it. Q: How? A: It was a night in November. The fog horn of the lighthouse had broken. The
            keeper lay ill, his wife was off in the rowing boat, fetching the doctor from the village, and in the
            meantime the fog came, from the west. The trawler made straight for the rocks. But the goat began bleating
            on the shed roof and didn't stop. Q: What was she doing on the roof? A: She always went up there when the
            horn sounded, since she hated it, and nobody could get her down. Q: And why did she bleat? A: She had seen
            the ship's lamps. At least the wife liked to say so later. Q: And then? A: The captain heard a goat where
            he should have heard the sea, turned to port as hard as he could, and scraped by. He came with the first
            cabbage in the morning, and she was given one at Christmas until she died.""",
        ),
        corruptions=(
            ("antonym", "because she had seen the lamps", "because she had missed the lamps"),
            (
                "roles swapped",
                "With her husband sick in bed, the keeper's wife had taken the boat",
                "With his wife sick in bed, the keeper had taken the boat",
            ),
            ("antonym", "He put the helm hard to port", "He put the helm hard to starboard"),
            ("negated", "She could not bear the fog horn", "She did not mind the fog horn"),
            (
                "events reordered",
                "and it was in her absence that the fog rolled in",
                "and it was on her return that the fog rolled in",
            ),
            ("detail changed", "there was a cabbage for the goat", "there was a carrot for the goat"),
            (
                "negated",
                "began bleating on the shed roof and didn't stop",
                "began bleating on the shed roof but soon stopped",
            ),
            (
                "roles swapped",
                "his wife was off in the rowing boat, fetching the doctor from the village",
                "the doctor was off in the rowing boat, fetching his wife from the village",
            ),
            ("antonym", "since she hated it", "since she loved it"),
            (
                "invented",
                "He came with the first cabbage",
                "His nets had been torn to pieces. He came with the first cabbage",
            ),
        ),
        rewordings=(
            ("synonyms", "started bleating", "began to bleat"),
            ("number words", "the nine men on it", "the 9 men on it"),
        ),
    ),
)
