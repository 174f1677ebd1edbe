"""Stories that the gate's rules and thresholds have never seen, each paraphrased in two styles."""

from fidelity_passage import Passage

HELD_OUT_NARRATIVE_PARAPHRASED = (
    Passage(
        "piano mover",
        "narrative",
        """The piano had to go up to the fifth floor, and the lift was out of order. Feller, who was sixty-three and
        the strongest of the four, took the lower end as always. On the third landing a strap tore. Feller put his
        back against the piano and held it while the others shouted, and old Mrs Amsel came out of her flat, saw what
        was going on and pushed her kitchen table under it. They sat on the stairs and drank her coffee. She asked who
        the piano was for. A girl on the fifth floor, said Feller, who could not see. Mrs Amsel thought about this.
        For thirty years she had complained of every noise in the house, of dogs, radios, drills, children and doors.
        She said that mornings would suit her best.""",
        (
            """A piano was to be carried to the fifth floor because the lift did not work. There were four men, and
            the lower end was taken, as it always was, by the strongest, Feller, a man of sixty-three. A strap tore
            when they had got to the third landing. With his back to the piano Feller kept it from falling; the others
            were shouting. Mrs Amsel, an old lady, came from her flat, and as soon as she understood she shoved the
            table from her kitchen under the piano. So they had coffee on the stairs, hers. For whom was the piano,
            she wanted to know. It was for a girl who was blind, Feller told her, on the fifth floor. Mrs Amsel
            considered it. No noise in the house had escaped her complaints in thirty years, be it from drills, doors,
            radios, dogs or children. What would suit her best, she said, was the morning.""",
            """Picture it: a piano, five floors, and the lift's out of order. Feller is at the lower end, as always.
            He's sixty-three, but he's the strongest of the four. They reach the third landing, and a strap tears!
            Feller gets his back against the thing and holds it, everyone else is shouting, and out comes old Mrs
            Amsel from her flat. She sees what's happening, fetches her kitchen table and pushes it under the piano.
            Then they sit down on the stairs and drink the coffee she's made. "Who's it for?" she asks. "A girl on the
            fifth floor," says Feller. "She can't see." Mrs Amsel thinks it over. This is the woman who's complained
            for thirty years about each and every noise in the building, children, dogs, doors, radios, drills. And
            she says: "Mornings would be best for me.\"""",
        ),
        corruptions=(
            (
                "roles swapped",
                "With his back to the piano Feller kept it from falling",
                "With its back to Feller the piano kept him from falling",
            ),
            (
                "negated",
                "It was for a girl who was blind, Feller told her",
                "It was for a girl who was not blind, Feller told her",
            ),
            (
                "antonym",
                "and the lower end was taken, as it always was, by the strongest",
                "and the lower end was taken, as it always was, by the weakest",
            ),
            (
                "quantifier changed",
                "No noise in the house had escaped her complaints",
                "Most noise in the house had escaped her complaints",
            ),
            (
                "detail changed",
                "she shoved the table from her kitchen under the piano",
                "she shoved the bed from her chamber under the piano",
            ),
            (
                "names swapped",
                '"She can\'t see." Mrs Amsel thinks it over',
                '"She can\'t see." Feller thinks it over',
            ),
            ("antonym", "Feller is at the lower end", "Feller is at the upper end"),
            (
                "events reordered",
                "They reach the third landing, and a strap tears!",
                "A strap tears, and then they reach the third landing!",
            ),
            (
                "negated",
                'And she says: "Mornings would be best for me."',
                'And she says: "Mornings would not be good for me."',
            ),
            (
                "invented",
                "Then they sit down on the stairs",
                "A neighbour calls the fire brigade. Then they sit down on the stairs",
            ),
        ),
        rewordings=(
            ("list summarised", "of dogs, radios, drills, children and doors", "of dogs, of children and much else"),
            ("list summarised", ", be it from drills, doors, radios, dogs or children", ", whatever its source"),
            (
                "list summarised",
                ", children, dogs, doors, radios, drills. And",
                ", whether animals, people or machines made it. And",
            ),
            (
                "list reordered",
                "of dogs, radios, drills, children and doors",
                "of doors, children, dogs, drills and radios",
            ),
            (
                "list reordered",
                "from drills, doors, radios, dogs or children",
                "from children, dogs, radios, doors or drills",
            ),
            ("list reordered", "children, dogs, doors, radios, drills", "drills, radios, doors, children, dogs"),
            ("number words", "in thirty years", "in 30 years"),
            ("synonyms", "Mrs Amsel considered it", "Mrs Amsel thought it over"),
        ),
    ),
    Passage(
        "well digger",
        "narrative",
        """In the third summer without rain the village of Hamra hired a well digger named Idris. He walked about for
        a day with a forked stick, which he then threw away. He dug where the goats lay at noon. At eleven metres he
        struck rock, and the elders told him to stop, since they could not pay him for more. Idris went on for
        nothing. His wife let down bread, dates, cheese, onions and olives in a basket, and he sent up stones. On the
        twentieth day the basket came up with a wet stone. The women sang, but Idris did not come up. He had heard a
        second vein behind the wall, he called, and it was sweeter. In the evening they had two wells in one shaft. He
        took the pay for eleven metres and not a coin more.""",
        (
            """Hamra, a village that had seen no rain for three summers, engaged a man who dug wells, Idris by name.
            For one day he went round with a forked stick. Then he threw it away and started to dig in the place where
            goats would lie at midday. There was rock at a depth of eleven metres. The elders had no money for
            anything deeper and said that he was to stop, but Idris continued without pay. In a basket his wife
            lowered olives, cheese, bread, onions and dates to him, and stones were what he sent up. The stone that
            arrived in the basket on the twentieth day was wet. There was singing among the women; Idris, though,
            stayed below. Behind the wall, he called up to them, he had heard another vein, with sweeter water. By
            evening one shaft held two wells. For eleven metres he let himself be paid, and he accepted no coin beyond
            that.""",
            """It had not rained for three summers in the village of Hamra. So the people hired Idris, who could dig
            wells. For a day he walked here and there with a forked stick in his hands, and after that he threw the
            stick away. He looked where the goats were lying at noon, and there he dug. When he was eleven metres
            down, he came to rock. "Stop!" said the elders. "We can't pay for more." But Idris didn't stop, he worked
            for nothing. His wife sent him down a basket with dates, olives, bread, cheese and onions, and he sent it
            up full of stones. On day twenty there was a stone in it that was wet. The women sang! And Idris? He did
            not come up. "I can hear a second vein behind the wall," he called, "and it's sweeter." In the evening
            there were two wells in the one shaft. How much money did he take? The pay for eleven metres, and not one
            coin more.""",
        ),
        corruptions=(
            ("negated", "but Idris continued without pay", "but Idris did not continue without pay"),
            ("roles swapped", "In a basket his wife lowered olives", "In a basket he lowered olives to his wife"),
            (
                "events reordered",
                "Then he threw it away and started to dig",
                "Then he started to dig and threw it away at the end",
            ),
            ("antonym", "with sweeter water", "with saltier water"),
            ("quantifier changed", "and he accepted no coin beyond that", "and he accepted every coin beyond that"),
            ("negated", 'He did not come up. "I can hear', 'He came up. "I can hear'),
            (
                "roles swapped",
                '"Stop!" said the elders. "We can\'t pay for more."',
                '"Stop!" said Idris. "We can\'t pay for more."',
            ),
            (
                "detail changed",
                "He looked where the goats were lying at noon",
                "He looked where the goats were drinking at noon",
            ),
            ("unit changed", "On day twenty there was a stone", "In year twenty there was a stone"),
            ("invented", "The women sang! And Idris?", "The women sang! An old man wept. And Idris?"),
        ),
        rewordings=(
            ("list summarised", "bread, dates, cheese, onions and olives", "bread and other food"),
            ("list summarised", "lowered olives, cheese, bread, onions and dates to him", "lowered food to him"),
            (
                "list summarised",
                "a basket with dates, olives, bread, cheese and onions",
                "a basket with things to eat",
            ),
            ("list reordered", "bread, dates, cheese, onions and olives", "olives, onions, cheese, dates and bread"),
            ("list reordered", "olives, cheese, bread, onions and dates", "dates, onions, bread, olives and cheese"),
            ("list reordered", "dates, olives, bread, cheese and onions", "cheese, onions, olives, dates and bread"),
            ("number words", "at a depth of eleven metres", "at a depth of 11 metres"),
            ("unit spelled otherwise", "at a depth of eleven metres", "at a depth of 11 m"),
        ),
    ),
    Passage(
        "prompter",
        "narrative",
        """For forty years Madame Roux had whispered the words of others from a box under the stage, and nobody in the
        audience knew her face. On the last evening before the theatre closed, the actor who played the king forgot
        not a line but the whole third act. He stared into the box. Madame Roux whispered, then spoke, and at last,
        since he only shook his head, climbed out, in her slippers, and played the scene herself, with the book in her
        pocket. The other actors followed her. She knew the gestures, the pauses, the sighs, the laughs and the
        silences of every king she had heard. At the end there was no applause for a long moment. Then the man who had
        forgotten began it. She bowed once, went back down, and put out the lamp.""",
        (
            """No one who came to the theatre had ever seen the face of Madame Roux, for she sat in a box beneath the
            stage, and it was other people's words that she had whispered there for forty years. The theatre was to
            close. On its last evening the actor of the king lost, not a line, but all of the third act, and his eyes
            were fixed on the box. Whispering was of no use to him, nor was speaking, he merely shook his head. In the
            end Madame Roux came out of it. She had slippers on, the book was in her pocket, and she played the scene
            in his place, and the rest of the cast went along with her. The laughs of each king whom she had heard,
            his sighs, silences, pauses and gestures: all were known to her. When it was over, it took a long moment
            until somebody clapped, and it was the one who had forgotten. With a single bow she went down again, and
            her lamp went out.""",
            """Madame Roux was a prompter. That is someone who sits in a box under the stage and whispers the words
            when an actor forgets them. She had done it for forty years, and the people in the audience did not know
            what she looked like. Then came the last evening, because the theatre was closing. The man who was playing
            the king forgot his words. It was not one line he forgot, it was the whole third act! He stared at the
            box. She whispered. He shook his head. She spoke. He shook his head again. So out she climbed, wearing
            slippers, her book in her pocket, and played the scene for him, and the other actors played along. She
            knew how every king she had ever heard would laugh and sigh, how he would pause and be silent and move his
            hands. Nobody clapped at the end, not for a long moment. Who clapped first? The actor who had forgotten
            everything. Madame Roux took one bow. Then she climbed down and put her lamp out.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "it was other people's words that she had whispered",
                "it was her own words that other people had whispered",
            ),
            (
                "negated",
                "and the rest of the cast went along with her",
                "and the rest of the cast did not go along with her",
            ),
            (
                "quantifier changed",
                "lost, not a line, but all of the third act",
                "lost, not the third act, but only a line",
            ),
            (
                "events reordered",
                "In the end Madame Roux came out of it",
                "At the very start Madame Roux came out of it",
            ),
            ("names swapped", "and it was the one who had forgotten", "and it was the one who had prompted"),
            (
                "negated",
                "the people in the audience did not know what she looked like",
                "the people in the audience knew well what she looked like",
            ),
            (
                "events reordered",
                "Madame Roux took one bow. Then she climbed down",
                "Madame Roux climbed down. Then she took one bow",
            ),
            (
                "roles swapped",
                "and played the scene for him, and the other actors played along",
                "and he played the scene for her, and the other actors played along",
            ),
            ("detail changed", "So out she climbed, wearing slippers", "So out she climbed, wearing a crown"),
            ("invented", "Who clapped first?", "Someone in the gallery sobbed. Who clapped first?"),
        ),
        rewordings=(
            (
                "list summarised",
                "the gestures, the pauses, the sighs, the laughs and the silences",
                "the gestures and the tones",
            ),
            (
                "list summarised",
                """The laughs of each king whom she had heard, his sighs, silences, pauses and gestures: all were
                known to her""",
                "The whole manner of each king whom she had heard was known to her",
            ),
            (
                "list reordered",
                "the gestures, the pauses, the sighs, the laughs and the silences",
                "the silences, the gestures, the laughs, the pauses and the sighs",
            ),
            ("list reordered", "his sighs, silences, pauses and gestures", "his gestures, pauses, silences and sighs"),
            ("number words", "for forty years. The theatre", "for 40 years. The theatre"),
            ("synonyms", "his eyes were fixed on the box", "he was staring at the box"),
        ),
    ),
    Passage(
        "border dog",
        "narrative",
        """The dog Luna belonged to the customs post on the pass, and she could smell tobacco through three coats.
        Each Friday a smuggler named Beppo crossed with an empty rucksack, was searched, and went on laughing. He
        brought Luna cheese, ham, bones, bread and once a slipper. The sergeant had the rucksack cut open at the seams
        and found nothing. When Beppo had retired, the sergeant met him in an inn and begged him to say what it had
        been. Beppo looked under the table, where Luna lay on his feet. Dogs, he said. He had brought a young one in
        his coat every week, and she had never given him away, since she had taken them for her own. The sergeant
        thought of all the small yellow dogs in the valley and ordered two more glasses.""",
        (
            """Luna, the dog of the customs post up at the pass, was able to smell tobacco even through three coats. A
            smuggler by the name of Beppo came across every Friday. His rucksack was empty, they searched him, and he
            went his way laughing. Cheese he had for Luna, and bones, bread and ham, and on one occasion a slipper. On
            the sergeant's orders the seams of the rucksack were cut, and there was nothing in them. Years afterwards,
            when Beppo smuggled no longer, the two met at an inn, and the sergeant pleaded with him to tell what his
            goods had been. Under the table lay Luna, on Beppo's feet. He looked at her. "Dogs," he said. Week after
            week he had carried a puppy inside his coat, and not once had she betrayed him, for she had believed the
            puppies to be hers. All those yellow little dogs of the valley came to the sergeant's mind, and he asked
            for another two glasses.""",
            """You'll like this one. There's a customs post on the pass, and they've got a dog, Luna, who smells
            tobacco through three coats if she has to. And there's Beppo, a smuggler. He comes over every Friday, his
            rucksack's empty, they search him, and he walks on and laughs. He always has something for Luna: bread,
            bones, ham, cheese, once it was a slipper. The sergeant even has the seams of that rucksack cut open.
            Nothing! Well, Beppo retires, and one day the sergeant runs into him at an inn. "Please," he says, "what
            was it?" Beppo looks down, under the table, where Luna's lying on his feet. "Dogs. One a week, a young
            one, in my coat. And she never gave me away. She thought they were hers." And the sergeant thinks of those
            little yellow dogs all over the valley, and he orders two more glasses.""",
        ),
        corruptions=(
            ("negated", "and not once had she betrayed him", "and more than once she had betrayed him"),
            ("roles swapped", "and the sergeant pleaded with him to tell", "and he pleaded with the sergeant to tell"),
            ("detail changed", "was able to smell tobacco", "was able to smell gunpowder"),
            (
                "events reordered",
                "Years afterwards, when Beppo smuggled no longer",
                "Years before, when Beppo did not smuggle yet",
            ),
            ("antonym", "His rucksack was empty, they searched him", "His rucksack was full, they searched him"),
            ("roles swapped", "She thought they were hers", "They thought she was theirs"),
            ("names swapped", "where Luna's lying on his feet", "where the sergeant's lying on his feet"),
            ("negated", "Nothing! Well, Beppo retires", "Something! Well, Beppo retires"),
            ("quantifier changed", "He always has something for Luna", "He seldom has something for Luna"),
            ("invented", "And the sergeant thinks of", "Snow begins to fall. And the sergeant thinks of"),
        ),
        rewordings=(
            ("list summarised", "cheese, ham, bones, bread and once a slipper", "things to eat and once a slipper"),
            (
                "list summarised",
                "Cheese he had for Luna, and bones, bread and ham, and on one occasion a slipper",
                "He had food for Luna, and on one occasion a slipper",
            ),
            (
                "list summarised",
                "for Luna: bread, bones, ham, cheese, once it was a slipper",
                "for Luna to eat, and once it was a slipper",
            ),
            (
                "list reordered",
                "cheese, ham, bones, bread and once a slipper",
                "bones, bread, cheese, ham and once a slipper",
            ),
            ("list reordered", "bread, bones, ham, cheese, once", "ham, cheese, bones, bread, once"),
            ("number words", "even through three coats", "even through 3 coats"),
            ("synonyms", "pleaded with him to tell", "begged him to tell"),
        ),
    ),
)
