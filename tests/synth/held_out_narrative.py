"""Passages that tell events one after the other, which the gate's rules and thresholds have never seen."""

from fidelity_passage import Passage

HELD_OUT_NARRATIVE = (
    Passage(
        "ferry",
        "narrative",
        """Old Tomas rowed the last passengers across at dusk. First he tied the boat to the iron ring, then he helped
        the widow Anka up the steps, and only after that did he notice the leather bag under the bench. He opened it
        by the light of his lamp and found three letters and a silver watch that had stopped at ten past four. The
        letters were addressed to a captain in Split. Tomas could not read, so he carried the bag to the schoolmaster,
        Mr. Hollar. Hollar read the first letter, turned pale, and refused to read the others. That night Tomas hid
        the bag behind the stove. Before sunrise somebody knocked twice at his door, but he did not open.""",
        (
            """At nightfall old Tomas rowed across with the last passengers. He fastened the boat to the iron ring,
            helped the widow Anka up the steps, and only then saw that a leather bag lay under the bench. When he
            opened it in the light of his lamp, he found a silver watch that had stopped at ten past four, and three
            letters. They were addressed to a captain in Split. As Tomas did not know how to read, he brought the bag
            to Mr. Hollar, the schoolmaster, who read the first letter, went pale, and would not read the rest. Tomas
            hid the bag behind the stove that night. Before the sun rose there were two knocks at his door, yet he did
            not open it.""",
            """It was dusk when the last passengers were rowed over by old Tomas. The boat had to be tied to its iron
            ring first; then the widow Anka wanted help on the steps. After that his eye fell on a bag of leather that
            someone had left beneath the bench. His lamp showed him what was in it: three letters, and a watch of
            silver whose hands had stopped at ten past four. A captain in Split was to receive the letters. Tomas, who
            was unable to read, went with the bag to the schoolmaster. Mr. Hollar grew pale over the first letter and
            declined to read the others. Behind the stove Tomas hid the bag that night, and when somebody knocked two
            times before sunrise, he left the door shut.""",
        ),
        corruptions=(
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
                "events reordered",
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
    Passage(
        "balloon",
        "narrative",
        """On the morning of the fair Elise Brandt climbed into the basket of her balloon for the first time without
        her father. Captain Moreau checked the ropes and gave her a compass, two sandbags and a flask of coffee. The
        balloon rose quickly. At 900 metres she felt the wind turn to the north, and the church of Altdorf shrank to a
        dot. When a storm appeared in the west, she dropped both sandbags and climbed above the clouds. There it was
        so cold that the coffee froze. After two hours she pulled the cord, sank slowly, and landed in a field of oats
        near Lund. A farmer named Jonas ran towards her and asked whether she had fallen from the moon. Elise laughed
        and said that she had only left home too early.""",
        (
            """The morning of the fair was the first time that Elise Brandt got into the basket of her balloon without
            her father. Captain Moreau, who had checked the ropes, handed her a compass, a flask of coffee and two
            sandbags. Up went the balloon, and quickly. She felt the wind turning north at 900 metres, while the
            church of Altdorf dwindled to a dot. A storm showed itself in the west, so she threw out both sandbags and
            rose above the clouds, where the cold froze the coffee. Two hours later she pulled the cord, came down
            slowly, and touched the ground in a field of oats close to Lund. Jonas, a farmer, came running and asked
            if she had dropped from the moon. Laughing, Elise answered that she had merely left home too early.""",
            """Elise Brandt had never flown without her father when she stepped into her balloon's basket on the
            morning of the fair. The ropes were checked by Captain Moreau, from whom she got two sandbags, a compass
            and a flask of coffee. The ascent was quick. The church of Altdorf became a dot, and at a height of 900 m
            she noticed that the wind had turned to the north. Then she saw a storm in the west. She let both sandbags
            fall and got above the clouds, into air so cold that her coffee turned to ice. When two hours had passed,
            she pulled the cord and sank slowly into a field of oats near Lund. There a farmer whose name was Jonas
            ran up to her. Had she fallen from the moon, he wanted to know. Elise laughed: she had only left home too
            early, she said.""",
        ),
        corruptions=(
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
            ("names swapped", "near Lund", "near Altdorf"),
            ("name replaced", "Jonas", "Anders"),
            (
                "roles swapped",
                "A farmer named Jonas ran towards her and asked whether she had",
                "She ran towards a farmer named Jonas and asked whether he had",
            ),
            ("events reordered", "After two hours she pulled the cord", "Two hours before, she had pulled the cord"),
            ("detail changed", "a field of oats", "a field of roses"),
            ("invented", "There it was", "Her brother waved from a second balloon. There it was"),
            ("invented", "The ascent was quick.", "The ascent was quick. An eagle stole her hat."),
        ),
    ),
    Passage(
        "fox",
        "narrative",
        """A fox fell into a well one hot evening and could not get out. After an hour a goat came by and asked
        whether the water was good. The fox praised it and told the goat to jump down. The goat jumped without
        thinking and drank until his thirst was gone. Only then did he see that the walls were too steep. The fox
        proposed that the goat should put his front feet against the wall and hold his horns up. He climbed over the
        goat's back and horns and was free. The goat begged him to help. The fox answered that a wise animal looks for
        the way out before it goes in, and he ran off into the wood.""",
        (
            """On a hot evening a fox tumbled into a well from which it could find no way up. An hour later a goat
            passed and wanted to know if the water was any good. "Excellent," was the fox's reply, and it invited the
            goat to jump in. The goat leapt down at once, without a thought, and drank his fill. Not until he was no
            longer thirsty did he notice how steep the walls were. So the fox made a proposal: the goat was to stand
            with his front feet on the wall and lift his horns. Up his back and over his horns the fox climbed into
            freedom. When the goat pleaded for help, the fox said that whoever is wise looks for an exit before going
            in. Then it ran away into the wood.""",
        ),
        rivals=(("fox", "goat"),),
        strangers=(
            ("goat", "badger"),
            ("fox", "wolf"),
        ),
    ),
    Passage(
        "moon landing",
        "narrative",
        """Apollo 11 left Florida on 16 July 1969 and entered the orbit of the Moon three days later. On 20 July
        Armstrong and Aldrin moved into the lander Eagle, while Collins stayed in the command module. During the
        descent the computer gave the alarm 1202 several times, but Houston told them to go on. Armstrong saw that
        they were heading for a crater full of rocks and flew by hand to a smoother place. They touched down with fuel
        for less than a minute. Six hours later Armstrong climbed down the ladder, and Aldrin followed him after 19
        minutes. They gathered 21.5 kilograms of rock and planted a flag. Collins picked them up the next day, and on
        24 July all three fell into the Pacific.""",
        (
            """On July 16, 1969, Apollo 11 took off from Florida, and after three days it was in orbit around the
            Moon. Collins remained in the command module on July 20 when Armstrong and Aldrin climbed into Eagle, the
            lander. On the way down the computer's alarm 1202 went off more than once, and each time Houston let them
            continue. They were coming down towards a crater that was filled with rocks, as Armstrong noticed, so he
            took the controls and steered to smoother ground. When they landed, less than one minute's fuel was left.
            After six hours Armstrong went down the ladder; Aldrin came 19 minutes after him. A flag was set up and
            21.5 kg of rock collected. The following day Collins took them aboard again, and the three men splashed
            down in the Pacific on July 24.""",
        ),
        rivals=(
            ("Armstrong", "Aldrin"),
            ("Aldrin", "Collins"),
        ),
        strangers=(
            ("Collins", "Lovell"),
            ("Pacific", "Atlantic"),
            ("Houston", "Pasadena"),
        ),
        translated=(
            5,
            """Seis horas más tarde Armstrong bajó por la escalera, y Aldrin lo siguió 19 minutos después. Recogieron
            21,5 kilogramos de roca y plantaron una bandera. Collins los recogió al día siguiente, y el 24 de julio
            los tres cayeron en el Pacífico.""",
        ),
    ),
    Passage(
        "hopkinton",
        "narrative",
        """At the start in Hopkinton the Kenyan Korir stayed at the back of the leading group. After 10 kilometres the
        Ethiopian Bekele attacked and was soon 40 seconds ahead. Nobody followed him. At the halfway mark, reached in
        1:04:30, rain began to fall and Bekele stopped to tie his shoe. Korir and the American Walsh caught him at
        kilometre 30. On the last hill Walsh slipped and lost 15 seconds. Korir passed Bekele with 800 metres to go
        and won in 2:08:52. Bekele came second, and Walsh was third. In the evening Bekele said that he had never been
        so happy to lose.""",
        (
            """When the race started in Hopkinton, Korir, from Kenya, kept to the rear of the leaders. Bekele of
            Ethiopia made his attack after 10 km, and it was not long before his lead was 40 seconds; no one went with
            him. The runners passed halfway in 1:04:30. It was then that it started raining, and Bekele had to stop
            for a shoelace. By kilometre 30 he had been caught by Korir and by Walsh, an American. Walsh lost fifteen
            seconds on the final hill, where he slipped. There were 800 m left when Korir overtook Bekele; his winning
            time was 2:08:52. Second place went to Bekele, third to Walsh. That evening Bekele remarked that losing
            had never made him so happy.""",
        ),
        rivals=(
            ("Korir", "Bekele"),
            ("Bekele", "Walsh"),
        ),
        strangers=(
            ("Walsh", "Miller"),
            ("Korir", "Kiplagat"),
            ("Hopkinton", "Framingham"),
        ),
    ),
)
