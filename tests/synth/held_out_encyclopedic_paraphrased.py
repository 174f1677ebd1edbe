"""Encyclopedic passages that the gate's rules and thresholds have never seen, each paraphrased in two styles."""

from fidelity_passage import Passage

HELD_OUT_ENCYCLOPEDIC_PARAPHRASED = (
    Passage(
        "cork oak",
        "encyclopedic",
        """Cork is the bark of the cork oak, which grows around the western Mediterranean. Portugal supplies about
        half of the world's cork. A tree is first stripped when it is twenty-five years old, and after that every nine
        years; the law forbids doing it earlier. Only the third harvest is good enough for bottle stoppers. The first
        two are ground up for floors, shoes, boards, floats and insulation. The bark is cut off with axes in summer,
        and the tree is not harmed as long as the inner bark stays whole. Workers paint the last digit of the year on
        the trunk. A cork oak lives for about two hundred years. Its acorns feed the pigs of the region. Lynxes and
        black storks live in the cork forests, which would hardly be kept if nobody bought cork.""",
        (
            """The bark of one kind of oak, the cork oak of the western Mediterranean region, is what we call cork,
            and roughly half of it comes from Portugal. No tree may be stripped before it has reached an age of
            twenty-five, nor again until nine years have passed, for so the law has it. Stoppers for bottles require
            cork from the third harvest, since that of the two earlier ones is not good enough; it goes, ground up,
            into insulation, boards, floats, shoes and floors. Summer is the season in which the bark comes off, by
            means of axes. This does no harm to the tree unless its inner bark is damaged. On each trunk the last
            digit of the year is painted by the workers. Pigs in the region eat the acorns, and the trees reach an age
            of about two hundred years. Without buyers of cork there would hardly be a reason to keep the cork
            forests, home of black storks and lynxes.""",
            """Where does cork come from? It is the bark of a tree, the cork oak, which grows by the western part of
            the Mediterranean Sea. Around half of all cork is from Portugal. When the tree is twenty-five, people take
            its bark off for the first time, and then they must wait nine years before they do it again. Earlier is
            against the law! For bottle stoppers you need the third harvest. The first one and the second one are not
            good enough, so they are ground up and become shoes, floats, floors, boards or insulation. The work is
            done in summer, with axes. Does it hurt the tree? No, not if the inner bark remains whole. The workers
            then write a number on the trunk with paint, the last digit of the year. Cork oaks get about two hundred
            years old, and pigs of the region eat their acorns. In the cork forests you can find lynxes and black
            storks. If no one bought cork any more, there would hardly be such forests.""",
        ),
        corruptions=(
            (
                "events reordered",
                "No tree may be stripped before it has reached",
                "No tree may be stripped after it has reached",
            ),
            ("negated", "This does no harm to the tree unless", "This does harm to the tree unless"),
            (
                "roles swapped",
                "Stoppers for bottles require cork from the third harvest, since that of the two earlier ones",
                "Stoppers for bottles require cork from the two earlier harvests, since that of the third one",
            ),
            (
                "quantifier changed",
                "Without buyers of cork there would hardly be a reason",
                "Without buyers of cork there would still be every reason",
            ),
            ("detail changed", "Pigs in the region eat the acorns", "Children in the region gather the acorns"),
            ("antonym", "not if the inner bark remains whole", "not if the outer bark remains whole"),
            ("negated", "Earlier is against the law!", "Earlier is not against the law!"),
            (
                "names swapped",
                "The first one and the second one are not good enough",
                "The second one and the third one are not good enough",
            ),
            ("unit changed", "then they must wait nine years", "then they must wait nine months"),
            ("invented", "The work is done in summer", "Some trees are said to groan. The work is done in summer"),
        ),
        rewordings=(
            ("list summarised", "floors, shoes, boards, floats and insulation", "floors, shoes and other goods"),
            ("list summarised", "into insulation, boards, floats, shoes and floors", "into all sorts of products"),
            ("list summarised", "become shoes, floats, floors, boards or insulation", "become something else"),
            (
                "list reordered",
                "floors, shoes, boards, floats and insulation",
                "insulation, floats, shoes, boards and floors",
            ),
            (
                "list reordered",
                "shoes, floats, floors, boards or insulation",
                "floors, insulation, boards, floats or shoes",
            ),
            ("list reordered", "Lynxes and black storks live", "Black storks and lynxes live"),
            ("number words", "of twenty-five, nor again until nine years", "of 25, nor again until 9 years"),
            ("synonyms", "roughly half of it", "about half of it"),
        ),
        free=(1, 6, 9),
    ),
    Passage(
        "hanse",
        "encyclopedic",
        """The Hanseatic League was an alliance of merchants and later of towns on the North Sea and the Baltic. It
        began in the twelfth century and had no army, no seal and no treasury of its own; its only regular institution
        was a diet, which met in Lübeck and which most towns rarely attended. The League traded in fish, salt, grain,
        furs, wax and timber. It kept four large offices abroad, in London, Bruges, Bergen and Novgorod, where the
        merchants lived under strict rules and were not allowed to marry. A town that broke an agreement could be
        excluded, as Bremen was more than once. Denmark was defeated in 1370. In the sixteenth century Dutch ships
        carried more and cheaper, and the last diet took place in 1669 with nine towns.""",
        (
            """On the Baltic and the North Sea, merchants, and in later times towns, were allied in what is called the
            Hanseatic League. Its beginnings lie in the twelfth century. Neither a treasury nor an army nor even a
            seal belonged to it. All it had in the way of a permanent institution was a diet in Lübeck, and the
            majority of the towns seldom sent anyone. Furs, timber, wax, grain, salt and fish were its goods. In
            Novgorod, Bergen, Bruges and London, four great offices were maintained, and the merchants in them were
            subject to strict rules; marriage was forbidden to them. Exclusion was the punishment for towns which
            broke an agreement, and Bremen suffered it several times. In 1370 Denmark was beaten. During the sixteenth
            century the League lost out to ships from the Netherlands, which carried larger amounts at lower prices.
            Nine towns came to the final diet in 1669.""",
            """The Hanse? Think of a club of merchants, and later of towns, around the Baltic and the North Sea, that
            started in the twelfth century. It's odd, because it hadn't got a treasury, it hadn't got an army, it
            hadn't even got a seal. There was just the diet in Lübeck, and most of the towns hardly ever went. They
            traded, of course: in salt, in fish, in wax, furs, grain and timber. And they had these four big offices
            in other countries, one in Bergen, one in Bruges, one in London and one in Novgorod. If you were a
            merchant there, you had strict rules to follow and you couldn't get married. Towns that didn't keep an
            agreement could be thrown out, and Bremen was, more than once. They beat Denmark in 1370. What ended it
            all? In the sixteenth century the Dutch came, with ships that took more and cost less. In 1669 the diet
            met one last time, and nine towns turned up.""",
        ),
        corruptions=(
            (
                "negated",
                "Neither a treasury nor an army nor even a seal belonged to it",
                "A treasury and an army and even a seal belonged to it",
            ),
            (
                "quantifier changed",
                "and the majority of the towns seldom sent anyone",
                "and the majority of the towns always sent someone",
            ),
            (
                "roles swapped",
                "the League lost out to ships from the Netherlands",
                "ships from the Netherlands lost out to the League",
            ),
            (
                "antonym",
                "which carried larger amounts at lower prices",
                "which carried smaller amounts at higher prices",
            ),
            ("names swapped", "and Bremen suffered it several times", "and Lübeck suffered it several times"),
            ("negated", "and you couldn't get married", "and you had to get married"),
            ("roles swapped", "They beat Denmark in 1370", "Denmark beat them in 1370"),
            ("events reordered", "merchants, and later of towns", "towns, and later of merchants"),
            ("name replaced", "one in London and one in Novgorod", "one in London and one in Gdansk"),
            ("invented", "What ended it all?", "Pirates were often paid to keep away. What ended it all?"),
        ),
        rewordings=(
            ("list summarised", "fish, salt, grain, furs, wax and timber", "food, furs and various raw materials"),
            (
                "list summarised",
                "Furs, timber, wax, grain, salt and fish were its goods",
                "Its goods were foodstuffs and raw materials",
            ),
            ("list summarised", "in salt, in fish, in wax, furs, grain and timber", "in food and raw materials"),
            ("list reordered", "fish, salt, grain, furs, wax and timber", "timber, grain, wax, fish, furs and salt"),
            ("list reordered", "London, Bruges, Bergen and Novgorod", "Bergen, Novgorod, London and Bruges"),
            ("list reordered", "Furs, timber, wax, grain, salt and fish", "Fish, grain, timber, salt, wax and furs"),
            ("synonyms", "Exclusion was the punishment", "Expulsion was the punishment"),
            ("number words", "nine towns turned up", "9 towns turned up"),
        ),
    ),
    Passage(
        "octopus",
        "encyclopedic",
        """An octopus has three hearts, and its blood is blue because it carries oxygen with copper instead of iron.
        Two thirds of its nerve cells are in the arms, which can taste what they touch and act to some degree by
        themselves. An octopus has no bones. Its skin changes colour within a second, although the animal itself is
        probably colour-blind. It eats crabs, clams, snails, small fish and other octopuses. Most species live alone.
        The female of the common octopus lays more than a hundred thousand eggs, guards them for weeks without eating,
        and dies soon after they hatch; the male dies even earlier. Octopuses in aquariums have opened jars, squirted
        water at lamps and escaped through pipes. Larger animals can squeeze through any hole that is wider than their
        beak.""",
        (
            """The blood of an octopus, pumped by three hearts, is blue, as the oxygen in it is bound to copper, not
            to iron. Out of all its nerve cells, two in three lie in the arms; these taste whatever they touch and are
            able to act without the brain to a certain extent. While the skin takes on another colour in less than a
            second, the octopus can probably see no colours. There is not a bone in its body. Small fish, snails,
            crabs, clams and also other octopuses are eaten by it. In most of the species every animal lives on its
            own. Over a hundred thousand eggs are laid by a female of the common octopus. For weeks she watches over
            them and takes no food, and once they have hatched she is soon dead, her mate having died before her. In
            aquariums, octopuses have unscrewed jars, shot water at lamps and got away through pipes. Any hole is
            large enough for a bigger one, too, so long as the beak fits through it.""",
            """Octopus. Hearts: three. Blood: blue, with copper in place of iron to carry the oxygen. Bones: none.
            Nerve cells: two thirds in the arms, which act on their own to some degree and taste what they touch.
            Colour: changes within one second; the animal is itself colour-blind, probably. Food: clams, crabs, small
            fish, snails, octopuses. Social life: none in most species. Breeding (common octopus): more than a hundred
            thousand eggs; female guards them for weeks, does not eat, dies soon after hatching; male is dead even
            before that. Escapes: only the beak is hard, and even large ones squeeze through any hole wider than it.
            Aquariums report opened jars, water squirted at lamps, flights through pipes.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "as the oxygen in it is bound to copper, not to iron",
                "as the oxygen in it is bound to iron, not to copper",
            ),
            ("negated", "the octopus can probably see no colours", "the octopus can probably see all colours"),
            ("events reordered", "her mate having died before her", "her mate dying long after her"),
            (
                "quantifier changed",
                "In most of the species every animal lives on its own",
                "In few of the species every animal lives on its own",
            ),
            (
                "negated",
                "For weeks she watches over them and takes no food",
                "For weeks she watches over them and takes much food",
            ),
            (
                "names swapped",
                "female guards them for weeks, does not eat, dies soon after hatching; male is dead",
                "male guards them for weeks, does not eat, dies soon after hatching; female is dead",
            ),
            ("antonym", "any hole wider than it", "any hole narrower than it"),
            ("unit changed", "Colour: changes within one second", "Colour: changes within one hour"),
            ("detail changed", "two thirds in the arms", "two thirds in the eyes"),
            (
                "invented",
                "Aquariums report opened jars",
                "Blind ones find their way home. Aquariums report opened jars",
            ),
        ),
        rewordings=(
            (
                "list summarised",
                "crabs, clams, snails, small fish and other octopuses",
                "shellfish, small fish and other octopuses",
            ),
            (
                "list summarised",
                "Small fish, snails, crabs, clams and also other octopuses",
                "Various sea animals, octopuses among them,",
            ),
            (
                "list summarised",
                "Food: clams, crabs, small fish, snails, octopuses",
                "Food: sea animals, octopuses included",
            ),
            (
                "list reordered",
                "crabs, clams, snails, small fish and other octopuses",
                "small fish, snails, clams, crabs and other octopuses",
            ),
            (
                "list reordered",
                "clams, crabs, small fish, snails, octopuses",
                "octopuses, snails, small fish, clams, crabs",
            ),
            (
                "list reordered",
                "unscrewed jars, shot water at lamps and got away through pipes",
                "got away through pipes, unscrewed jars and shot water at lamps",
            ),
            ("number words", "Hearts: three.", "Hearts: 3."),
            ("synonyms", "in less than a second", "in under a second"),
        ),
        free=(1, 2, 3),
    ),
    Passage(
        "timbuktu",
        "encyclopedic",
        """Timbuktu in Mali lies where the Niger comes closest to the Sahara, and boats and camels met there. Salt
        from the mines of Taghaza was exchanged for gold, ivory, kola nuts, cloth and slaves from the south. Mansa
        Musa, who passed through it in 1325 on his way back from Mecca, had the Djinguereber mosque built of mud. In
        the sixteenth century the town had many schools, and a book is said to have cost more than a horse. A Moroccan
        army armed with muskets conquered it in 1591. The first European to come back from there alive was René
        Caillié in 1828; he had disguised himself as an Arab and was disappointed. In 2012 islamists burned some
        manuscripts, but most had been smuggled to Bamako in rice sacks before. The mosque is plastered anew each
        year.""",
        (
            """At Timbuktu, a town of Mali, the Niger is nearer to the Sahara than anywhere else, and so camels met
            boats there. In return for salt from the mines at Taghaza, the south gave slaves, cloth, gold, ivory and
            kola nuts. On his journey home from Mecca, Mansa Musa passed through in 1325 and ordered the building of
            the Djinguereber mosque, which is of mud and gets new plaster every year. The town of the sixteenth
            century possessed a large number of schools; books, it is said, were dearer than horses. It fell to an
            army from Morocco, whose weapons were muskets, in 1591. René Caillié was the first European who returned
            from it with his life, in 1828. He went in the disguise of an Arab, and the place was a disappointment to
            him. Part of the manuscripts were burned by islamists in 2012, but by that time rice sacks had carried the
            greater part secretly to Bamako.""",
            """Q: Why was Timbuktu, in Mali, such a rich town? A: Because of where it is. It's the spot where the
            Niger gets closest to the Sahara, so boats and camels met. From the mines of Taghaza came salt; from the
            south came ivory, cloth, kola nuts, slaves and gold, and the two were exchanged. Q: Who had the
            Djinguereber mosque built? A: Mansa Musa did, when he passed through on the way back from Mecca in 1325.
            It's made of mud and it's plastered anew every year. Q: Was it a place of learning? A: In the sixteenth
            century it had lots of schools, and they say that you paid more for a book than for a horse. Q: How did
            that end? A: In 1591 an army came from Morocco, with muskets, and took the town. Q: What did Europeans
            think of it? A: The first one to get back alive, in 1828, was René Caillié, disguised as an Arab, and he
            was disappointed. Q: Are the manuscripts lost? A: Some. Islamists burned those in 2012, but most of them
            were in Bamako by then, smuggled there in sacks for rice.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "In return for salt from the mines at Taghaza, the south gave slaves",
                "In return for slaves from the mines at Taghaza, the south gave salt",
            ),
            ("antonym", "books, it is said, were dearer than horses", "books, it is said, were cheaper than horses"),
            ("negated", "and the place was a disappointment to him", "and the place was no disappointment to him"),
            (
                "roles swapped",
                "It fell to an army from Morocco, whose weapons were muskets",
                "An army from Morocco fell to it, whose weapons were muskets",
            ),
            (
                "quantifier changed",
                "rice sacks had carried the greater part secretly",
                "rice sacks had carried a small part secretly",
            ),
            (
                "events reordered",
                "but most of them were in Bamako by then",
                "but most of them were taken to Bamako long after",
            ),
            ("names swapped", "Mansa Musa did, when he passed through", "René Caillié did, when he passed through"),
            ("detail changed", "disguised as an Arab", "disguised as a woman"),
            ("negated", "The first one to get back alive", "The first one not to get back alive"),
            ("invented", "Q: How did that end?", "Its wells were famous for their sweetness. Q: How did that end?"),
        ),
        rewordings=(
            ("list summarised", "gold, ivory, kola nuts, cloth and slaves", "gold, slaves and various goods"),
            ("list summarised", "slaves, cloth, gold, ivory and kola nuts", "slaves and all kinds of goods"),
            ("list summarised", "ivory, cloth, kola nuts, slaves and gold", "gold, slaves and other goods"),
            ("list reordered", "gold, ivory, kola nuts, cloth and slaves", "slaves, kola nuts, ivory, gold and cloth"),
            ("list reordered", "slaves, cloth, gold, ivory and kola nuts", "ivory, kola nuts, slaves, gold and cloth"),
            ("list reordered", "ivory, cloth, kola nuts, slaves and gold", "gold, kola nuts, ivory, slaves and cloth"),
            ("synonyms", "On his journey home", "On his way home"),
            ("synonyms", "lots of schools", "many schools"),
        ),
    ),
)
