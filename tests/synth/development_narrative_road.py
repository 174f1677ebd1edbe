"""Stories for development, of ways and waiting, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_NARRATIVE_ROAD = (
    Passage(
        "exam day",
        "narrative",
        """Samir had to be at the examination at nine, and at ten past eight the bus stopped in the tunnel. The driver
        told them all to stay in their seats. A woman across the aisle was breathing in short gasps, and Samir, who
        had just learned for the examination how to help somebody in a panic, knelt down and counted with her, in for
        four and out for six. After some minutes she could speak. Her name was Dr Halloran, she said, and she was late
        for work. At a quarter to nine the bus moved again. Samir ran the last street with his bag open and his papers
        falling out. When he entered the room, the examiner looked up, put down her pen, and said that he had passed
        the practical part already.""",
        (
            """At ten past eight, fifty minutes before his examination, Samir was in a bus that came to a stop in the
            tunnel. Everybody was to remain seated, said the driver. On the other side of the aisle there was a woman
            whose breath came in short gasps. What to do with a person in panic was something Samir had just studied
            for that very examination, so he went down on his knees and counted for her: four for breathing in, six
            for breathing out. It took some minutes until she was able to talk. She told him that she was Dr Halloran
            and late for her work. By a quarter to nine they were moving. Samir's bag was open as he ran down the last
            street, and papers dropped from it. He came into the room; the examiner raised her eyes and laid her pen
            aside. The practical part, she said, he had passed already.""",
            """So Samir's got this exam at nine. It's ten past eight, he's on the bus, and the bus stops. In the
            tunnel! "Stay in your seats, all of you," says the driver. And across the aisle there's a woman gasping
            for air. Now, helping people who panic, that was on the exam, he'd only just learned it. So he kneels down
            and counts with her, breathe in for four, breathe out for six, and a few minutes later she can talk again.
            She's called Dr Halloran, she says, and she's late for work. Quarter to nine: the bus gets going. He runs
            down the last street, bag open, his papers falling out of it. And when he comes into the room, who's the
            examiner? She looks up, she puts her pen down, and she tells him that the practical part he has already
            passed.""",
        ),
        corruptions=(
            (
                "number swapped",
                "four for breathing in, six for breathing out",
                "six for breathing in, four for breathing out",
            ),
            (
                "roles swapped",
                "so he went down on his knees and counted for her",
                "so she went down on her knees and counted for him",
            ),
            ("events reordered", "fifty minutes before his examination", "fifty minutes after his examination"),
            (
                "negated",
                "It took some minutes until she was able to talk",
                "Even after some minutes she was not able to talk",
            ),
            ("detail changed", "papers dropped from it", "apples dropped from it"),
            ("antonym", "the practical part he has already passed", "the practical part he has already failed"),
            (
                "roles swapped",
                "She's called Dr Halloran, she says, and she's late for work",
                "He's called Dr Halloran, he says, and he's late for work",
            ),
            ("quantifier changed", '"Stay in your seats, all of you,"', '"Stay in your seats, some of you,"'),
            ("negated", "he'd only just learned it", "he'd never learned it"),
            (
                "invented",
                "Quarter to nine: the bus gets going",
                "Somewhere behind them a child laughs. Quarter to nine: the bus gets going",
            ),
        ),
        rewordings=(
            ("number words", "in for four and out for six", "in for 4 and out for 6"),
            ("synonyms", "came to a stop in the tunnel", "stopped in the tunnel"),
        ),
    ),
    Passage(
        "red bicycle",
        "narrative",
        """When Lotte turned ten, her grandfather gave her the red bicycle on which he had once delivered telegrams.
        It was too big, so he tied blocks of wood to the pedals. On the first day she rode to the canal and back
        without falling. On the second she fell four times, because her cousin Bruno had loosened the saddle. She knew
        that it was he, since he laughed before she fell and not afterwards. Lotte said nothing. She tightened the
        saddle, took the blocks off, and put them into the sleeves of his winter coat, where he found them in
        December. By then her legs were long enough, and Bruno, who had no bicycle, was running behind her and asking
        for a turn. She let him have one, downhill.""",
        (
            """Lotte's grandfather had delivered telegrams on a red bicycle, and on her tenth birthday he made her a
            present of it. Since it was too large for her, blocks of wood were tied to its pedals by him. She got as
            far as the canal and back the first day and did not fall. The next day there were four falls: Bruno, a
            cousin of hers, had loosened the saddle. His laughter came before the falls rather than after them, and
            that was how she could tell. Not a word did Lotte say. Having made the saddle tight, she removed the
            blocks and stuck them into the sleeves of Bruno's coat, the one for winter. It was December when he
            discovered them. Her legs had grown long enough by that time. Bruno had no bicycle, so he ran after her,
            begging to have a go. He was allowed to, but downhill.""",
            """Lotte, ten years old. Birthday present from her grandfather: a red bicycle. He used to bring people
            their telegrams on it. Too big for her, so wooden blocks on the pedals, tied on by him. Day one: to the
            canal, back again, no fall. Day two: four falls. The reason: a loose saddle, and the one who loosened it,
            her cousin Bruno. Proof: he laughed before she fell, not after. What Lotte said about it: nothing. What
            she did: tighten the saddle, take off the blocks, slip them into Bruno's winter coat, in the sleeves. He
            found them in December. Her legs, by then, were long enough. He was without a bicycle and ran behind her,
            and asked if he might ride it once. She said he might. Downhill.""",
        ),
        corruptions=(
            (
                "negated",
                "She got as far as the canal and back the first day and did not fall",
                "She got as far as the canal and back the first day but did fall",
            ),
            (
                "events reordered",
                "His laughter came before the falls rather than after them",
                "His laughter came after the falls rather than before them",
            ),
            (
                "roles swapped",
                "Bruno had no bicycle, so he ran after her, begging to have a go",
                "Lotte had no bicycle, so she ran after him, begging to have a go",
            ),
            ("antonym", "Since it was too large for her", "Since it was too small for her"),
            ("detail changed", "had delivered telegrams on a red bicycle", "had delivered bread on a red bicycle"),
            ("antonym", "She said he might. Downhill.", "She said he might. Uphill."),
            ("roles swapped", "Birthday present from her grandfather", "Birthday present for her grandfather"),
            ("names swapped", "the one who loosened it, her cousin Bruno", "the one who loosened it, her grandfather"),
            ("negated", "What Lotte said about it: nothing.", "What Lotte said about it: a great deal."),
            ("invented", "Day two: four falls.", "Day two: a dog chased her, four falls."),
        ),
        rewordings=(
            ("synonyms", "begging to have a go", "asking for a ride"),
            ("number words", "there were four falls", "there were 4 falls"),
        ),
    ),
    Passage(
        "night nurse",
        "narrative",
        """Old Mr Brandvold rang the bell at midnight and asked the nurse to read him the letter again. She had read
        it to him every night for a month. It came from his daughter in Perth, and it said that she would visit him in
        spring. This time the nurse stopped after the second page, because the third was missing. He told her to go
        on. She looked at the empty envelope and went on from memory, and where her memory failed she made up a
        garden, a dog, a grandson who collected shells. He listened with closed eyes and corrected her once: the dog
        was brown, not black. In the morning she found the third page under his pillow. It was blank on both sides.""",
        (
            """It was midnight when old Mr Brandvold rang for the nurse. He wanted to have the letter read to him once
            more. She had done so for a month, night after night. The letter was from Perth, where his daughter lived,
            who announced in it that she would come to see him in spring. After two pages the nurse paused this time,
            as there was no third. "Go on," he told her. The envelope, she saw, held nothing. So she continued out of
            her memory, and whenever that let her down she invented something: a grandson with a collection of shells,
            a garden, a dog. His eyes were shut while he listened. Only once did he put her right, when she made the
            dog black; it was brown. The missing page turned up in the morning, beneath his pillow. Neither side of it
            had a word on it.""",
            """A sick old man, Mr Brandvold, rang his bell in the middle of the night, at twelve. The nurse came, and
            he asked her to read him the letter again. She had already read it to him each night for one month. His
            daughter had written it. She lived in Perth, and in spring she was going to visit him. But tonight the
            nurse had to stop when she had read two pages, for she could not find page three. "Keep reading," he said.
            There was nothing in the envelope. So she said the rest by heart, and the parts that she had forgotten she
            made up: a dog, a garden, and a grandson who liked to collect shells. Mr Brandvold kept his eyes closed
            and listened. He corrected just one thing. The dog was not black, he said, it was brown. In the morning
            the nurse found page three. It had been under his pillow, and there was nothing written on it, not on the
            front and not on the back.""",
        ),
        corruptions=(
            ("negated", "Neither side of it had a word on it", "Both sides of it were full of words"),
            ("roles swapped", "His eyes were shut while he listened", "Her eyes were shut while he listened"),
            ("antonym", "when she made the dog black; it was brown", "when she made the dog brown; it was black"),
            ("events reordered", "rang for the nurse. He wanted", "rang after the nurse had come. He wanted"),
            (
                "names swapped",
                "The letter was from Perth, where his daughter lived",
                "The letter was from Perth, where his grandson lived",
            ),
            (
                "roles swapped",
                "he asked her to read him the letter again",
                "she asked him to read her the letter again",
            ),
            ("detail changed", "It had been under his pillow", "It had been in her pocket"),
            ("negated", "There was nothing in the envelope", "There was something else in the envelope"),
            ("quantifier changed", "He corrected just one thing", "He corrected almost everything"),
            (
                "invented",
                "In the morning the nurse found page three",
                "Outside the rain had turned to hail. In the morning the nurse found page three",
            ),
        ),
        rewordings=(
            (
                "list reordered",
                "a grandson with a collection of shells, a garden, a dog",
                "a dog, a garden, a grandson with a collection of shells",
            ),
            ("synonyms", "beneath his pillow", "under his pillow"),
        ),
    ),
    Passage(
        "gold tooth",
        "narrative",
        """Three thieves robbed the widow Castellan of a chest, and when they opened it in the wood, there was nothing
        in it but a gold tooth. The first said that they should sell it and divide the money. The second wanted to
        throw dice for it. The third, who had not spoken all day, bent down, looked at the tooth and turned white, for
        it was his father's. His father had gone to sea and had never written home. That night, while the two others
        slept, he took the tooth and walked back to the widow's house. She opened before he knocked. She had been
        waiting for twenty years, she said, for somebody to steal that chest, since she had promised the dead man not
        to give it away.""",
        (
            """A chest was stolen from a widow called Castellan by three thieves. When it was opened in the wood, all
            that lay inside was one gold tooth. To sell it and share out the money was the proposal of the first; the
            second was for throwing dice. All day the third had been silent. Now he stooped to have a look, and the
            colour left his face: the tooth was that of his father, a man who had gone off to sea and from whom no
            letter had ever come. In the night he made his way back to the house of the widow with the tooth, the
            other two being asleep. The door was opened before he could knock. For twenty years, she told him, she had
            waited until someone would steal the chest, because the dead man had her promise that she would not give
            it away.""",
            """Have you heard the one about the three thieves? They take a chest from the widow Castellan, they carry
            it into the wood, they open it, and what's in there? Just a gold tooth. "Let's sell it and split the
            money," says the first one. "No, let's throw dice," says the second. The third hasn't said a word the
            whole day. He leans over, looks at the tooth, and goes white. It's his father's! The father went to sea
            and never sent a letter home. So when it's night and the other two are asleep, he gets up, takes the
            tooth, and walks back to where the widow lives. He doesn't even get to knock, she opens first. "I've
            waited twenty years for somebody to steal that chest," she says. "I couldn't give it away, you see. I had
            promised the dead man.\"""",
        ),
        corruptions=(
            (
                "roles swapped",
                "because the dead man had her promise that she would not give it away",
                "because she had the dead man's promise that he would not give it away",
            ),
            ("negated", "from whom no letter had ever come", "from whom many letters had come"),
            (
                "names swapped",
                """To sell it and share out the money was the proposal of the first; the second was for throwing
                dice""",
                """To sell it and share out the money was the proposal of the second; the first was for throwing
                dice""",
            ),
            (
                "events reordered",
                "The door was opened before he could knock",
                "The door was opened after he had knocked",
            ),
            ("detail changed", "the tooth was that of his father", "the tooth was that of his uncle"),
            (
                "roles swapped",
                "They take a chest from the widow Castellan",
                "They bring a chest to the widow Castellan",
            ),
            ("negated", "\"I couldn't give it away, you see", '"I could have given it away, you see'),
            ("antonym", "and the other two are asleep", "and the other two are awake"),
            (
                "names swapped",
                "The third hasn't said a word the whole day",
                "The second hasn't said a word the whole day",
            ),
            ("invented", "He doesn't even get to knock", "A lamp burns in the window. He doesn't even get to knock"),
        ),
        rewordings=(
            ("synonyms", "the colour left his face", "he turned pale"),
            ("number words", "three thieves? They", "3 thieves? They"),
        ),
    ),
    Passage(
        "chess in the ward",
        "narrative",
        """In the fever hospital the Hungarian and the Scot played chess without a board, calling the moves across
        four beds. The Hungarian always won. On the eleventh day the Scot was too weak to call, and the patient
        between them, a sailor who had never spoken, called a move for him. It was a good one. From then on the sailor
        played on, and by evening the Hungarian had lost a knight and two pawns. He demanded to know who had taught
        him. Nobody, said the sailor; he had merely been listening. The Scot died before dawn. When the nurses came to
        fetch him, the Hungarian, who believed in nothing, asked them to wait, turned his face to the wall, and gave
        up the game aloud, although he was by no means beaten.""",
        (
            """Two patients of the fever hospital, a Scot and a Hungarian, used to play chess by calling their moves
            over four beds, for they had no board. It was the Hungarian who won each time. When the Scot had become
            too weak for calling, on the eleventh day, a move was called in his stead by a sailor in a bed between the
            two. The man had not said a word until then. The move was good. He went on with the game from that point,
            so that in the evening the Hungarian was without a knight and two of his pawns. By whom had he been
            taught, the Hungarian demanded. By no one: the sailor had only listened. Before daybreak the Scot was
            dead. The nurses were about to take him away when the Hungarian, a man without any belief, begged them to
            wait. With his face towards the wall he resigned the game out loud, far from beaten though he was.""",
            """Chess in the fever hospital. No board, moves called across four beds, the Hungarian against the Scot,
            and always the same winner: the Hungarian. Day eleven: the Scot has no strength left to call. Then there's
            a voice from a bed in between. It's the sailor, who has never spoken before, and he's calling a move for
            the Scot, and the move is good. He keeps playing. In the evening the Hungarian is down a knight and two
            pawns. "Who taught you?" he demands. "Nobody. I just listened," says the sailor. The Scot doesn't live to
            see the dawn. As the nurses come to fetch him, the Hungarian, who doesn't believe in anything, asks them
            to wait. He turns to the wall, and in a loud voice he gives up a game that he has by no means lost.""",
        ),
        corruptions=(
            ("names swapped", "It was the Hungarian who won each time", "It was the Scot who won each time"),
            (
                "quantifier changed",
                "By no one: the sailor had only listened",
                "By everyone: the sailor had not only listened",
            ),
            ("antonym", "The move was good", "The move was bad"),
            ("negated", "far from beaten though he was", "soundly beaten as he was"),
            ("events reordered", "Before daybreak the Scot was dead", "After daybreak the Scot was dead"),
            ("roles swapped", "calling a move for the Scot", "calling a move for the Hungarian"),
            ("names swapped", "The Scot doesn't live to see the dawn", "The sailor doesn't live to see the dawn"),
            ("negated", "who doesn't believe in anything", "who believes in everything"),
            ("detail changed", "He turns to the wall, and", "He turns to the window, and"),
            ("invented", "He keeps playing.", "He keeps playing. A doctor bets on him."),
        ),
        rewordings=(
            ("number words", "a knight and two of his pawns", "a knight and 2 of his pawns"),
            ("synonyms", "Before daybreak", "Before dawn"),
        ),
    ),
)
