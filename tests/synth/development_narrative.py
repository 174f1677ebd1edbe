"""Passages that tell events one after the other, which the gate's rules and thresholds were made with."""

from fidelity_passage import Passage

DEVELOPMENT_NARRATIVE = (
    Passage(
        "harbour",
        "narrative",
        """Anna woke before sunrise and found that the boat was gone. She ran down to the harbour, where old Tomas was
        mending his nets. He told her that her brother Jonas had taken it out at four o'clock, although the wind was
        rising. She begged him to follow, but he refused, because his engine was broken. Then she remembered the
        lighthouse. She climbed the hill, broke the lock with a stone and lit the lamp. An hour later she saw a sail
        in the rain. Jonas had turned back when he noticed the light. He was cold and silent, and he had lost two of
        his three nets. Anna did not scold him. Finally they walked home together, and their mother never learned what
        had happened.""",
        (
            """Anna woke up before sunrise to discover that the boat was missing. She hurried down to the harbour,
            where old Tomas sat mending nets. He said that Jonas, her brother, had sailed at 4 o'clock even though the
            wind was getting up. She pleaded with him to go after Jonas, but he would not, since his engine was
            broken. Then the lighthouse came to her mind. She climbed the hill, smashed the lock with a stone and lit
            the lamp. One hour later a sail appeared in the rain. Jonas had noticed the light and turned back. He was
            cold and did not speak, and two of his three nets were lost. Anna didn't scold him. In the end they walked
            home together, and their mother never found out what had happened.""",
            """It was still dark when Anna awoke and noticed that the boat had disappeared. Down at the harbour she
            came upon old Tomas, who was busy with his nets and told her the truth: at four o'clock her brother Jonas
            had put out in it, in spite of a rising wind. Her plea that he go after him was in vain, for Tomas's
            engine was broken. It was then that she thought of the lighthouse. Up the hill she went, forced the lock
            with a stone, and set the lamp burning. After an hour, a sail came into view through the rain: the light
            had made Jonas turn round. Chilled and wordless, he had only one of his three nets left, two being lost.
            No reproach came from Anna. The two finally went home side by side, and what had happened was kept from
            their mother for ever.""",
        ),
        corruptions=(
            ("names swapped", "Anna did not scold him", "Tomas did not scold him"),
            ("name replaced", "old Tomas", "old Peter"),
            ("names swapped", "her brother Jonas", "her brother Tomas"),
            ("number changed", "four o'clock", "six o'clock"),
            ("number changed", "4 o'clock", "5 o'clock"),
            ("number changed", "his three nets", "his five nets"),
            ("negated", "did not scold", "scolded"),
            ("negated", "didn't scold", "scolded"),
            ("negated", "their mother never", "their mother soon"),
            ("negated", "but he refused, because", "and he agreed, although"),
            ("events reordered", "before sunrise", "after sunrise"),
            (
                "events reordered",
                """She climbed the hill, broke the lock with a stone and lit the lamp. An hour later she saw a sail in
                the rain.""",
                """She saw a sail in the rain. An hour later she climbed the hill, broke the lock with a stone and lit
                the lamp.""",
            ),
            (
                "events reordered",
                """She climbed the hill, smashed the lock with a stone and lit the lamp. One hour later a sail
                appeared in the rain.""",
                """A sail appeared in the rain. One hour later she climbed the hill, smashed the lock with a stone and
                lit the lamp.""",
            ),
            ("invented", "He was cold", "A shark had torn the hull open from stem to stern. He was cold"),
            ("invented", "Anna did", "Their cousin Elsa brought hot soup from the tavern kitchen. Anna did"),
        ),
    ),
    Passage(
        "market",
        "narrative",
        """When the rain stopped, Mr Okafor opened his stall and hung up the lamps. A girl in a green coat asked for
        the price of a clock. He said it cost twelve pounds, but she had only nine. She put the coins on the table and
        began to cry. The clock had belonged to her grandfather, she said, and her uncle Daniel had sold it without
        asking anyone. Mr Okafor wound the clock and listened to it for a moment. Then he wrapped it in newspaper and
        gave it to her for nothing. She thanked him and ran off towards the station. Later that evening Daniel came to
        the stall. He wanted to buy the clock back, and he offered forty pounds. Mr Okafor told him that he was too
        late.""",
        (
            """After the rain had stopped, Mr Okafor opened the stall and hung his lamps. A girl wearing a green coat
            asked how much a clock was. It cost £12, he told her, but she only had £9. She laid the coins on the table
            and started to cry. She explained that the clock had been her grandfather's and that Daniel, her uncle,
            had sold it and had not asked anybody. Mr Okafor wound it up and listened for a moment. He then wrapped
            the clock in newspaper and let her have it for nothing. She thanked him and ran away in the direction of
            the station. Later that evening, Daniel turned up at the stall, wanting to buy back the clock, for which
            he offered £40. Mr Okafor said to him that he had come too late.""",
        ),
        corruptions=(
            ("number changed", "twelve pounds", "twenty pounds"),
            ("number swapped", "£12, he told her, but she only had £9", "£9, he told her, but she only had £12"),
            ("number swapped", "twelve pounds, but she had only nine", "nine pounds, but she had only twelve"),
            ("number changed", "forty pounds", "fourteen pounds"),
            ("unit changed", "forty pounds", "forty euros"),
            ("unit changed", "£40", "$40"),
            ("names swapped", "Later that evening Daniel came", "Later that evening Mr Okafor came"),
            ("name replaced", "Mr Okafor wound", "Mr Smith wound"),
            ("negated", "without asking anyone", "after asking everyone"),
            ("negated", "had not asked anybody", "had asked everybody"),
            ("antonym", "too late", "too early"),
            ("antonym", "to buy the clock back", "to sell the clock back"),
            ("events reordered", "When the rain stopped", "Before the rain stopped"),
            ("events reordered", "After the rain had stopped", "Before the rain had stopped"),
            (
                "events reordered",
                """Mr Okafor wound the clock and listened to it for a moment. Then he wrapped it in newspaper and gave
                it to her for nothing.""",
                """Mr Okafor wrapped the clock in newspaper and gave it to her for nothing. Then he wound it and
                listened to it for a moment.""",
            ),
        ),
    ),
    Passage(
        "wolf",
        "narrative",
        """An old shepherd lived alone with his dog Bran at the edge of the forest. One winter the snow lay so deep
        that the wolves came down to the village. "Do not leave the fold tonight," said the shepherd to Bran, and he
        went to borrow a gun from the miller. While he was away, a grey wolf scratched at the gate. Bran barked three
        times, but nobody came. Then the wolf spoke to him: "Let me in, and I will share the sheep with you." The dog
        answered that he had never stolen from a friend. He fought the wolf until morning. When the shepherd came
        back, he found the wolf dead and Bran lying in the snow with a torn ear. He carried the dog into the house and
        gave him his own supper. After that winter the wolves stayed in the hills, and Bran was always allowed to
        sleep by the fire.""",
        (
            """At the forest's edge lived an old shepherd, alone but for his dog, Bran. One winter, with the snow
            lying very deep, the wolves came down into the village. The shepherd told Bran not to leave the fold that
            night and went off to borrow the miller's gun. During his absence a grey wolf scratched at the gate. Three
            times Bran barked, but no one came. Then the wolf spoke to him, saying that if Bran let him in he would
            share the sheep with him. The dog replied that he had never stolen from a friend, and he fought the wolf
            until the morning. On his return the shepherd found the wolf dead and Bran in the snow, his ear torn. He
            carried him inside and gave the dog his own supper. Following that winter the wolves kept to the hills,
            and Bran was always permitted to sleep by the fire.""",
            """There was once an old shepherd who had no company but his dog Bran and whose home stood where the
            forest began. In one especially snowy winter, hunger drove the wolves down as far as the village. The
            shepherd ordered Bran to stay in the fold for the night; he himself set out to ask the miller for the loan
            of a gun. He had not yet returned when a grey wolf came scratching at the gate. Bran's three barks went
            unheard. The wolf now tried words, offering the dog a share of the sheep if he would open to him. Bran's
            answer was that stealing from a friend was something he had never done, and the two fought till daybreak.
            The shepherd came home to a dead wolf and to Bran stretched out in the snow, one ear in shreds. He took
            him up, brought him into the house, and fed him the supper meant for himself. From that winter on, the
            wolves did not leave the hills, and the place by the fire was Bran's to sleep in whenever he liked.""",
        ),
        corruptions=(
            ("number changed", "three times", "four times"),
            ("number changed", "Three times", "Nine times"),
            ("negated", "he had never stolen", "he had often stolen"),
            ("negated", "Do not leave the fold", "Leave the fold"),
            ("negated", "not to leave the fold", "to leave the fold"),
            ("antonym", "found the wolf dead", "found the wolf alive"),
            ("quantifier changed", "was always", "was never"),
            ("events reordered", "until morning", "after morning"),
            ("name replaced", "his dog Bran", "his dog Rex"),
            (
                "events reordered",
                """Bran barked three times, but nobody came. Then the wolf spoke to him: "Let me in, and I will share
                the sheep with you.\"""",
                """The wolf spoke to him: "Let me in, and I will share the sheep with you." Then Bran barked three
                times, but nobody came.""",
            ),
            ("roles swapped", "the wolf dead and Bran lying", "Bran dead and the wolf lying"),
            ("invented", "He carried", "A golden coin shone between the paws of the animal. He carried"),
        ),
    ),
    Passage(
        "endurance",
        "narrative",
        """The ice closed around the Endurance on 18 January 1915, and the ship drifted for ten months. In October the
        hull began to crack, and Shackleton ordered his 27 men onto the floe with three boats. They camped there until
        the ice broke up in April 1916. Then they rowed for seven days to Elephant Island. Shackleton chose five men
        and set sail in the largest boat for South Georgia, 1,300 kilometres away. After 16 days they landed on the
        wrong side of the island. He crossed the mountains with Worsley and Crean in 36 hours and reached the whaling
        station. On 30 August he returned to Elephant Island, where Wild had kept everyone alive.""",
        (
            """On January 18, 1915, the Endurance was caught in the ice, and for ten months she drifted. When her hull
            started to crack in October, Shackleton told the 27 men under him to leave her for the floe, and three
            boats went with them. The floe was their camp until it broke up in April 1916. A week of rowing then
            brought them to Elephant Island. From there Shackleton sailed with five men of his choice for South
            Georgia, which was 1,300 km off; they took the largest of the boats. They came ashore after sixteen days,
            but on the wrong side. Thirty-six hours of marching over the mountains took Shackleton, Worsley and Crean
            to the whaling station. He was back at Elephant Island on August 30, and everybody whom Wild had looked
            after was still alive.""",
        ),
        rivals=(
            ("Shackleton", "Wild"),
            ("Elephant Island", "South Georgia"),
        ),
        strangers=(
            ("Worsley", "Hurley"),
            ("Crean", "McNish"),
            ("South Georgia", "Tierra del Fuego"),
        ),
    ),
    Passage(
        "clock",
        "narrative",
        """Anna found the clock in her grandfather's attic on the first Saturday in March. She carried it down to the
        kitchen, wiped off the dust and saw that the small hand was missing. Her brother Jonas said that it was
        worthless and that she should throw it away. She did not listen to him. On Monday she took it to old Petrov in
        Mill Street, who opened the back and whistled. He asked for three weeks and 80 euros. When she came again, the
        clock was ticking on his wall, and a stranger had already offered 900 euros for it. Anna shook her head, paid
        Petrov and carried the clock home in the rain.""",
        (
            """It was the first Saturday of March when Anna came upon the clock up in her grandfather's attic. Once
            she had brought it to the kitchen and cleaned the dust away, she noticed that it had lost its small hand.
            "It has no value, get rid of it," said Jonas, her brother, but she paid no attention. The following Monday
            she brought it to Mill Street, to old Petrov. He opened it from behind, gave a whistle, and said that he
            would need three weeks and €80. On her return it hung on the wall of his shop, ticking, and somebody she
            did not know had made an offer of €900. Anna refused with a shake of her head. She gave Petrov his money
            and walked home through the rain with the clock.""",
            """On March's first Saturday Anna discovered a clock in the attic of her grandfather. She took it down
            into the kitchen and wiped it clean; its small hand was gone. Jonas, who was her brother, called it
            worthless and wanted her to throw it out. Anna did not do what he said. Instead, on Monday, she went with
            it to Mill Street, where old Petrov lived. Having opened the back, he whistled, and he asked her for 80
            euros and three weeks of time. When she returned, it was ticking on the wall, and 900 euros had been
            offered for it by a stranger. She shook her head, paid what she owed Petrov and took the clock home,
            though it was raining.""",
        ),
        rivals=(
            ("Anna", "Jonas"),
            ("Jonas", "Petrov"),
        ),
        strangers=(
            ("Petrov", "Lindqvist"),
            ("Jonas", "Matthias"),
            ("Mill Street", "Church Lane"),
        ),
        translated=(
            4,
            """Am Montag brachte sie sie zum alten Petrov in die Mühlstraße, der die Rückseite öffnete und pfiff. Er
            verlangte drei Wochen und 80 Euro. Als sie wiederkam, tickte die Uhr an seiner Wand, und ein Fremder hatte
            schon 900 Euro dafür geboten. Anna schüttelte den Kopf, bezahlte Petrov und trug die Uhr im Regen nach
            Hause.""",
        ),
    ),
    Passage(
        "night train",
        "narrative",
        """Inspector Moreau boarded the night train in Lyon at 22:15 on 3 February 1952. He found compartment seven
        empty except for a brown suitcase. At midnight the conductor, a man called Basile, told him that the passenger
        had left at Dijon. Moreau opened the suitcase and found 40 gold coins and a photograph of Madame Vidal. He
        locked the compartment and sent a telegram to Paris from the next station. At two in the morning somebody
        pulled the emergency brake. Moreau ran to compartment seven, but the lock had been broken and the coins were
        gone. The photograph still lay on the seat. Basile was never seen again.""",
        (
            """At 22:15 on February 3, 1952, Inspector Moreau got on the night train at Lyon. In compartment seven
            there was nobody, only a suitcase, which was brown. When it was midnight, a conductor by the name of
            Basile informed him that the traveller had got off at Dijon. The inspector looked inside the suitcase: it
            held a photograph of Madame Vidal and forty gold coins. Having locked the compartment, he telegraphed to
            Paris at the next stop. The emergency brake was pulled by someone at 2 a.m., and Moreau rushed back to
            number seven. He found a broken lock; the coins had disappeared, whereas the photograph was still lying on
            the seat. As for Basile, nobody ever saw him again.""",
        ),
        rivals=(
            ("Moreau", "Basile"),
            ("Lyon", "Dijon"),
        ),
        strangers=(
            ("Vidal", "Lacroix"),
            ("Dijon", "Avignon"),
            ("Basile", "Fernand"),
        ),
    ),
    Passage(
        "letter",
        "narrative",
        """Mrs Hale read the letter twice before she gave it to her daughter. Ruth went pale and sat down on the
        stairs. The letter said that her husband Thomas had been seen alive in Bristol, six years after his ship had
        sunk. Mrs Hale wanted to burn it at once, but Ruth put it into her pocket. The next morning she sold her ring
        for twelve pounds and bought a ticket. In Bristol she asked in every inn along the harbour until a cook
        remembered him. He told her that Thomas had sailed for Boston on Tuesday. Ruth counted her money, which was
        enough for one passage but not for two, and she left her small son with the cook's wife.""",
        (
            """Only after a second reading did Mrs Hale hand the letter to her daughter Ruth, who turned pale and had
            to sit down on the stairs. According to the letter, Thomas, Ruth's husband, whose ship had gone down six
            years earlier, had been seen in Bristol, living. The mother would have burned it immediately; Ruth,
            however, pocketed it. She sold her ring the following morning, got £12 for it and purchased a ticket.
            Along Bristol's harbour she inquired at all the inns, and at last there was a cook who remembered Thomas:
            on Tuesday, he said, the man had sailed for Boston. She counted what money she had. It would pay for one
            passage, not two. So her little son remained behind with the wife of the cook.""",
        ),
        rivals=(
            ("Ruth", "Thomas"),
            ("Bristol", "Boston"),
        ),
        strangers=(
            ("Bristol", "Liverpool"),
            ("Boston", "Halifax"),
            ("Thomas", "Edmund"),
        ),
    ),
)
