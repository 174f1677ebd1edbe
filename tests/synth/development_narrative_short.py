"""Short narrative passages for development, each with one free paraphrase and many changes of a few words."""

from fidelity_passage import Passage

DEVELOPMENT_NARRATIVE_SHORT = (
    Passage(
        "ferryman",
        "narrative",
        """Old Teodor had rowed people across the river for forty years. One evening in March a stranger in a grey
        cloak asked to be taken over, although the ice was still moving. Teodor refused at first, but the man laid
        a gold coin on the bench. Halfway across, a block of ice struck the boat and the stranger fell in. Teodor
        pulled him out by his cloak and lost an oar. They drifted as far as the mill, where the miller's daughter
        threw them a rope. The stranger wept, because his bag with the letters had gone down. Teodor gave him back
        the coin and never spoke of it again.""",
        (
            """For forty years people had been rowed across the river by old Teodor. When, one March evening,
            somebody he did not know, dressed in a grey cloak, wanted to cross, he said no, for there was still
            ice on the move. A coin of gold, put on the bench, changed his mind. They were in the middle of the
            river when the boat was hit by a block of ice. The stranger went overboard; Teodor got hold of the
            cloak and dragged him in again, at the price of one oar. The current took them down to the mill. There
            the daughter of the miller cast a rope to them. For the bag of letters, which had sunk, the stranger
            shed tears. He received his coin back from Teodor, who kept silent about the matter ever after.""",
        ),
        (
            (
                "roles swapped",
                "the stranger fell in. Teodor pulled him out",
                "Teodor fell in. The stranger pulled him out",
            ),
            (
                "roles swapped",
                "The stranger went overboard; Teodor got hold of the cloak and dragged him in",
                "Teodor went overboard; the stranger got hold of the cloak and dragged him in",
            ),
            ("detail changed", "grey cloak", "red cloak"),
            ("detail changed", "the miller's daughter threw", "the miller's wife threw"),
            ("detail changed", "the daughter of the miller", "the wife of the miller"),
            ("negated", "Teodor refused at first", "Teodor agreed at once"),
            ("detail changed", "a gold coin", "a silver coin"),
            ("detail changed", "A coin of gold", "A coin of silver"),
            ("negated", "and never spoke of it again", "and often spoke of it later"),
            ("negated", "who kept silent about the matter", "who talked about the matter"),
            ("number changed", "forty years", "fourteen years"),
            ("detail changed", "lost an oar", "lost a boot"),
            ("invented", "The stranger wept", "A dog barked on the other bank and ran away. The stranger wept"),
            ("invented", "For the bag", "A dog barked on the other bank and ran away. For the bag"),
        ),
    ),
    Passage(
        "schoolroom",
        "narrative",
        """Miss Adler noticed on Monday that the globe was missing from the classroom. She asked the children, but
        nobody said anything. During the break she saw Emil whispering to his sister Klara. When the bell rang,
        Klara raised her hand and said that she had broken it on Friday and had hidden the pieces in the cellar.
        Everyone turned to look at her. Miss Adler knew that Klara had been ill on Friday. After school she went
        down to the cellar and found Emil there with a pot of glue. He had already put Africa back together. She
        took off her coat and helped him with Asia until it was dark.""",
        (
            """The globe was gone from the classroom: Miss Adler became aware of it on Monday. Her question to the
            children met with silence. In the break, however, she observed how Emil whispered something to Klara,
            his sister. It was Klara who put up her hand after the bell. On Friday, she claimed, she had smashed
            the globe, and its pieces were hidden in the cellar. All eyes were on her, but the teacher was aware
            that on Friday the girl had been sick at home. In the cellar, to which she descended when school was
            over, she came upon Emil and a glue pot. Africa was already whole again. The teacher removed her coat,
            and together they worked on Asia till nightfall.""",
        ),
        (
            (
                "roles swapped",
                "she saw Emil whispering to his sister Klara",
                "she saw Klara whispering to her brother Emil",
            ),
            (
                "roles swapped",
                "she observed how Emil whispered something to Klara, his sister",
                "she observed how Klara whispered something to Emil, her brother",
            ),
            ("names swapped", "found Emil there", "found Klara there"),
            ("names swapped", "came upon Emil", "came upon Klara"),
            ("date changed", "on Monday", "on Thursday"),
            ("negated", "nobody said anything", "everybody said something"),
            ("negated", "met with silence", "met with loud answers"),
            ("antonym", "Klara had been ill", "Klara had been healthy"),
            ("antonym", "the girl had been sick", "the girl had been well"),
            ("names swapped", "put Africa back together", "put Asia back together"),
            ("detail changed", "a pot of glue", "a pot of paint"),
            ("detail changed", "a glue pot", "a paint pot"),
            ("events reordered", "After school she went", "Before school she went"),
            ("events reordered", "when school was over", "when school had not begun"),
            ("quantifier changed", "Everyone turned", "Hardly anyone turned"),
            ("quantifier changed", "All eyes were on her", "No eyes were on her"),
        ),
    ),
    Passage(
        "orchard",
        "narrative",
        """My grandfather planted the pear trees in the year when my mother was born. In spring we were allowed to
        climb them, in autumn we were not, because the branches were heavy with fruit. My cousin Rafael climbed up
        anyway and broke the thickest branch. He begged me to keep quiet, and I promised. At dinner my grandfather
        asked who had done it. I looked at my plate. Rafael blamed the wind, though it had been still for days. My
        grandfather nodded, took his saw and cut off the stump. Years later he left the orchard to me and his saw
        to Rafael.""",
        (
            """The pear trees had been planted by my grandfather in the year of my mother's birth. Climbing them was
            permitted in spring but forbidden in autumn, since fruit weighed down the branches. Rafael, my cousin,
            did it nonetheless, and the thickest branch broke under him. I gave him my word that I would say
            nothing, as he had implored me. When Grandfather wanted to know at dinner who was responsible, I
            stared at my plate, while Rafael said that it had been the wind. There had been no wind for days.
            Grandfather only nodded and sawed the stump off. Long afterwards, it was I who inherited the orchard;
            Rafael got the saw.""",
        ),
        (
            (
                "antonym",
                "In spring we were allowed to climb them, in autumn we were not",
                "In autumn we were allowed to climb them, in spring we were not",
            ),
            ("antonym", "permitted in spring but forbidden in autumn", "forbidden in spring but permitted in autumn"),
            (
                "roles swapped",
                "left the orchard to me and his saw to Rafael",
                "left the orchard to Rafael and his saw to me",
            ),
            (
                "roles swapped",
                "it was I who inherited the orchard; Rafael got the saw",
                "it was Rafael who inherited the orchard; I got the saw",
            ),
            ("negated", "and I promised", "and I did not promise"),
            ("negated", "I gave him my word that I would say nothing", "I gave him no word that I would say nothing"),
            ("detail changed", "pear trees", "apple trees"),
            ("detail changed", "The pear trees", "The apple trees"),
            ("name replaced", "My cousin Rafael", "My cousin Tobias"),
            ("antonym", "the thickest branch", "the thinnest branch"),
            ("roles swapped", "Rafael blamed the wind", "I blamed the wind"),
            ("invented", "Years later he", "My aunt sold her house and moved to the city. Years later he"),
            ("invented", "Long afterwards", "My aunt sold her house and moved to the city. Long afterwards"),
        ),
    ),
    Passage(
        "heist",
        "narrative",
        """Carla waited in the van while Benno climbed through the skylight. At ten past two he opened the side door
        from the inside. They carried out four paintings and left the fifth, because it was too large. On the
        bridge a policeman stopped them for a broken tail light. Carla smiled and showed him her licence; Benno
        sweated under his cap. The policeman wrote a ticket for 35 euros and wished them a safe trip. Only at home
        did they notice that one of the paintings was a copy. Benno wanted to burn it, but Carla hung it in the
        kitchen, where it still hangs.""",
        (
            """Benno got in through the skylight; Carla stayed behind in the van until, ten minutes after two, the
            side door was opened for her from within. Of the five paintings they took four, the last being too big
            for them. A faulty tail light got them pulled over by a policeman on the bridge. He was shown Carla's
            licence, along with a smile, and under his cap Benno was sweating. All that came of it was a fine of
            35 euros and the wish for a safe journey. It was at home that they realized they had stolen a copy
            among the pictures. Against Benno, who was for burning it, Carla had her way. To this day it hangs in
            her kitchen.""",
        ),
        (
            (
                "roles swapped",
                "Carla waited in the van while Benno climbed",
                "Benno waited in the van while Carla climbed",
            ),
            (
                "roles swapped",
                "Benno got in through the skylight; Carla stayed behind",
                "Carla got in through the skylight; Benno stayed behind",
            ),
            ("roles swapped", "Benno wanted to burn it, but Carla hung", "Carla wanted to burn it, but Benno hung"),
            ("antonym", "too large", "too small"),
            ("antonym", "too big", "too small"),
            ("number changed", "35 euros", "53 euros"),
            ("number changed", "ten past two", "ten past three"),
            ("number changed", "ten minutes after two", "ten minutes after three"),
            ("antonym", "from the inside", "from the outside"),
            ("antonym", "from within", "from outside"),
            ("detail changed", "in the kitchen", "in the bathroom"),
            ("detail changed", "in her kitchen", "in her bathroom"),
            ("detail changed", "broken tail light", "stolen number plate"),
            ("unit changed", "35 euros", "35 pounds"),
            ("negated", "where it still hangs", "where it no longer hangs"),
            ("negated", "To this day it hangs", "No longer does it hang"),
        ),
    ),
    Passage(
        "choir",
        "narrative",
        """The choir was to sing in the cathedral on Easter Sunday. On the Thursday before, the soloist, Frau Lenz,
        lost her voice. The conductor wanted to cancel the concert; the priest would not hear of it. So the
        caretaker's son, Milo, was sent for, who was fourteen and had never sung in public. He practised for three
        nights in the boiler room. On Sunday his first note was so soft that the people in the last row heard
        nothing, but by the second verse even the pigeons had gone quiet. Frau Lenz sat in the front row and
        cried. Milo never became a singer. He repairs organs.""",
        (
            """Easter Sunday was the day on which the choir should have sung in the cathedral, and on the Thursday
            the voice of its soloist, Frau Lenz, was gone. Calling the concert off, as the conductor proposed, was
            out of the question for the priest. They therefore fetched Milo, son of the caretaker, a boy of
            fourteen without any experience of singing before an audience. For three nights he rehearsed in the
            boiler room. His opening note on Sunday was too soft to be heard in the back row. When the second
            verse came, though, the very pigeons were silent, and in the first row there were tears on the face of
            Frau Lenz. Singing did not become Milo's profession; he repairs organs.""",
        ),
        (
            (
                "roles swapped",
                "The conductor wanted to cancel the concert; the priest would not",
                "The priest wanted to cancel the concert; the conductor would not",
            ),
            (
                "roles swapped",
                "as the conductor proposed, was out of the question for the priest",
                "as the priest proposed, was out of the question for the conductor",
            ),
            ("negated", "had never sung in public", "had often sung in public"),
            ("negated", "without any experience of singing", "with some experience of singing"),
            ("antonym", "sat in the front row", "sat in the back row"),
            ("antonym", "in the first row there were", "in the last row there were"),
            ("number changed", "fourteen", "forty"),
            ("negated", "Milo never became a singer", "Milo became a singer"),
            ("negated", "Singing did not become Milo's profession", "Singing became Milo's profession"),
            ("detail changed", "He repairs organs", "He repairs clocks"),
            ("detail changed", "he repairs organs", "he repairs clocks"),
            ("antonym", "was so soft", "was so loud"),
            ("antonym", "was too soft", "was too loud"),
            ("number changed", "for three nights", "for thirteen nights"),
            ("number changed", "For three nights", "For thirteen nights"),
            ("detail changed", "in the boiler room", "in the library"),
            ("date changed", "Thursday", "Tuesday"),
            ("invented", "Frau Lenz sat", "The bishop gave him a silver medal. Frau Lenz sat"),
            ("invented", "Singing did not", "The bishop gave him a silver medal. Singing did not"),
        ),
    ),
    Passage(
        "lamp",
        "narrative",
        """Twice the lamp in the upper window went out that night, and twice somebody lit it again. Constable Reed
        counted the seconds in between. At half past eleven a woman came down the steps with a basket and turned
        left. Reed followed her to the canal, where she emptied the basket into the water and went back without
        looking round. The next day the divers brought up three clocks and a birdcage. None of the clocks had
        hands. Mrs Pell, who owned the house, said that she had no lodger and that the upper room had been locked
        since her husband's death.""",
        (
            """The upper window's lamp died and was relit two times in the course of that night, while Constable Reed
            kept count of the seconds between. A woman with a basket descended the steps at 11:30 and went to the
            left. At the canal, up to which Reed shadowed her, the contents of the basket went into the water; she
            returned and did not once look back. On the following day, three clocks, all of them without hands,
            and a birdcage were recovered by divers. The owner of the house was a Mrs Pell. According to her there
            was no lodger, and nobody had unlocked the upper room since the death of her husband.""",
        ),
        (
            ("antonym", "turned left", "turned right"),
            ("antonym", "went to the left", "went to the right"),
            ("antonym", "in the upper window", "in the lower window"),
            ("number changed", "half past eleven", "half past ten"),
            ("number changed", "at 11:30", "at 10:30"),
            ("negated", "None of the clocks had hands", "All of the clocks had hands"),
            ("negated", "all of them without hands", "all of them with hands"),
            ("negated", "said that she had no lodger", "said that she had one lodger"),
            ("negated", "there was no lodger", "there was a lodger"),
            ("number changed", "three clocks", "five clocks"),
            ("detail changed", "a birdcage", "a bicycle"),
            ("roles swapped", "Reed followed her to the canal", "She followed Reed to the canal"),
            ("detail changed", "her husband's death", "her sister's death"),
            ("detail changed", "the death of her husband", "the death of her sister"),
            ("antonym", "since her husband's death", "until her husband's death"),
            ("name replaced", "Mrs Pell", "Mrs Dyer"),
            ("negated", "without looking round", "and looked round often"),
            ("invented", "The next day", "A shot was fired on the other side of the canal. The next day"),
            (
                "invented",
                "On the following day",
                "A shot was fired on the other side of the canal. On the following day",
            ),
        ),
    ),
)
