"""Encyclopedic passages of plants, animals and places for development, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_ENCYCLOPEDIC_NATURE = (
    Passage(
        "saffron",
        "encyclopedic",
        """Saffron is a spice made from the flower of a crocus that grows only where people plant it, because its
        seeds are sterile. Each flower has three red stigmas, which are picked by hand in the early morning and then
        dried. About 150 flowers give one gram, so that saffron is the most expensive spice by weight. Iran produces
        roughly nine tenths of the world's harvest; smaller amounts come from Spain, Greece, India and Morocco. Cooks
        use it for rice, soups, cakes, sausages and liqueurs. In the Middle Ages, traders in Nuremberg who had mixed
        it with other plants were burned together with their goods. Saffron loses its smell if it is kept in the
        light.""",
        (
            """What is saffron? It is a spice that comes from a crocus. This plant cannot make seeds that grow, so it
            lives only where people put it into the ground. Where in the flower is it? Every flower has three red
            stigmas. People pick them early in the morning, with their hands, and dry them afterwards. Why does it
            cost so much? You need around 150 flowers for a single gram, and by weight no spice is dearer. Who grows
            it? Iran has about nine tenths of the harvest of the world, and a little comes from Greece, Spain, Morocco
            and India. What is it for? It goes into sausages, cakes, rice, liqueurs and soups. Was cheating dangerous?
            Yes: in Nuremberg, in the Middle Ages, traders were burned along with their goods because they had mixed
            other plants into it. How should it be kept? Away from light, which takes its smell away.""",
            """Saffron: spice, the dried stigmas of a crocus. Plant is sterile in seed and exists only in cultivation.
            Three red stigmas a flower; picking is done at dawn, by hand, and drying follows. Yield: one gram from
            some 150 flowers, hence the highest price of all spices per weight. Some 90 percent of world production is
            Iranian, the rest being from Morocco, India, Greece and Spain in smaller quantities. Uses: soups, rice,
            sausages, cakes, liqueurs. Medieval Nuremberg burned traders who adulterated it with other plants, and
            burned their wares with them. Storage: protect from light, otherwise the smell goes.""",
        ),
        corruptions=(
            ("negated", "This plant cannot make seeds that grow", "This plant can make seeds that grow"),
            ("events reordered", "with their hands, and dry them afterwards", "with their hands, after drying them"),
            ("antonym", "by weight no spice is dearer", "by weight no spice is cheaper"),
            ("detail changed", "Every flower has three red stigmas", "Every flower has three yellow stigmas"),
            (
                "roles swapped",
                "because they had mixed other plants into it",
                "because others had mixed plants into their goods",
            ),
            ("antonym", "Away from light, which takes", "Away from darkness, which takes"),
            ("quantifier changed", "exists only in cultivation", "exists mostly in the wild"),
            (
                "names swapped",
                "production is Iranian, the rest being from Morocco, India, Greece and Spain",
                "production is Spanish, the rest being from Morocco, India, Greece and Iran",
            ),
            ("number swapped", "one gram from some 150 flowers", "150 grams from some one flower"),
            ("invented", "Uses: soups", "Picked by the light of the moon, it keeps longer. Uses: soups"),
        ),
        rewordings=(
            (
                "list summarised",
                "sausages, cakes, rice, liqueurs and soups",
                "sausages, rice and other dishes and drinks",
            ),
            ("list summarised", "soups, rice, sausages, cakes, liqueurs", "various dishes and liqueurs"),
            (
                "list reordered",
                "rice, soups, cakes, sausages and liqueurs",
                "cakes, liqueurs, sausages, soups and rice",
            ),
            ("synonyms", "most expensive spice", "costliest spice"),
        ),
    ),
    Passage(
        "baobab",
        "encyclopedic",
        """The African baobab can store water in its soft trunk and lives through long dry seasons without leaves. Its
        flowers open at dusk, last one night and are pollinated by fruit bats. The fruit has a hard shell and a dry
        pulp with more vitamin C than oranges. People use the bark for ropes, baskets, mats, nets and cloth, and
        unlike most trees the baobab survives when its bark is stripped, because it grows back. The oldest tree whose
        age was measured, the Panke baobab in Zimbabwe, lived for about 2,450 years and fell in 2011. Several of the
        largest baobabs have died since 2005; a warmer and drier climate is suspected but has not been proved as the
        cause.""",
        (
            """The baobab is a very special tree from Africa. Its trunk is soft and can keep water inside, and when it
            does not rain for a long time, the tree lives on without any leaves. Its flowers come out when the sun
            goes down. They stay for just one night, and in that night fruit bats carry the pollen. Inside the hard
            shell of the fruit there is dry pulp, and this has more vitamin C in it than oranges have. People make
            mats, cloth, ropes, nets and baskets out of the bark. Most trees would die without their bark, but not the
            baobab: its bark simply grows again. The oldest one that was ever measured stood in Zimbabwe. It was
            called the Panke baobab, it reached an age of about 2,450 years, and it fell down in 2011. Some of the
            biggest baobabs have died since 2005. Perhaps that is because it is getting warmer and drier, but nobody
            has shown that for sure.""",
            """Water is held in the spongy trunk of the African baobab, a tree that stands leafless during lengthy dry
            seasons and yet survives them. Its blossoms, which unfold at nightfall and wither after a single night,
            rely on fruit bats for their pollination. A hard-shelled fruit encloses a dry pulp richer in vitamin C
            than oranges. Baskets, cloth, nets, mats and ropes are made from the bark; taking it off kills most other
            trees, whereas a baobab renews it. Of the specimens with a measured age, the oldest was Zimbabwe's Panke
            baobab, which collapsed in 2011 after some 2,450 years. A number of the largest individuals have perished
            since 2005. The suspicion falls on a climate that has become drier and warmer, though proof is lacking.""",
        ),
        corruptions=(
            (
                "negated",
                "Most trees would die without their bark, but not the baobab",
                "Most trees would live without their bark, but not the baobab",
            ),
            (
                "roles swapped",
                "this has more vitamin C in it than oranges have",
                "oranges have more vitamin C in them than this has",
            ),
            ("negated", "but nobody has shown that for sure", "and scientists have shown that for sure"),
            ("antonym", "when the sun goes down", "when the sun comes up"),
            ("detail changed", "fruit bats carry the pollen", "honey bees carry the pollen"),
            ("antonym", "richer in vitamin C than oranges", "poorer in vitamin C than oranges"),
            ("negated", "though proof is lacking", "and proof has been found"),
            (
                "quantifier changed",
                "A number of the largest individuals have perished",
                "All of the largest individuals have perished",
            ),
            ("antonym", "become drier and warmer", "become wetter and cooler"),
            ("invented", "A hard-shelled fruit", "Elephants never go near it. A hard-shelled fruit"),
        ),
        rewordings=(
            ("list summarised", "mats, cloth, ropes, nets and baskets", "mats, ropes and many other things"),
            ("list summarised", "Baskets, cloth, nets, mats and ropes", "Ropes, textiles and wickerwork"),
            ("list reordered", "ropes, baskets, mats, nets and cloth", "cloth, nets, ropes, mats and baskets"),
            ("synonyms", "which collapsed in 2011", "which fell in 2011"),
        ),
    ),
    Passage(
        "honeybee dance",
        "encyclopedic",
        """A honeybee that has found food tells the others in the hive where it is by dancing on the comb. If the food
        is near, within about 50 metres, she runs in circles. If it is farther away, she runs a straight line while
        shaking her body, returns in a half circle, and repeats this on the other side. The angle between the line and
        the vertical is the angle between the food and the sun, and the longer she shakes, the longer the way: one
        second stands for roughly a kilometre. The others follow her in the dark and feel the dance with their
        antennae. Karl von Frisch explained it in the 1940s. Many colleagues doubted him at first, but he shared a
        Nobel Prize in 1973.""",
        (
            """How does a honeybee tell her sisters where the flowers are? She dances for them on the honeycomb. For
            food close by, up to around 50 m away, she runs round in circles. For food that is farther off, she does
            something else: she runs straight ahead and shakes her body, comes back in half a circle, and then does it
            again on the other side. What does it mean? Look at the line she runs. The angle it makes with straight up
            is the same as the angle between the sun and the food. And the time she spends shaking tells how far it
            is, about one kilometre for each second. It is dark in the hive, so the others walk after her and feel her
            dance with their antennae. Who found that out? Karl von Frisch did, in the 1940s. At first many other
            scientists did not believe him, yet in 1973 he was one of those who got a Nobel Prize.""",
            """Foraging honeybees communicate the position of food by a dance performed on the comb. Sources no more
            than some 50 metres away are announced by running in circles. Beyond that distance the bee walks a
            straight stretch during which her body shakes, goes back along a semicircle and starts over towards the
            opposite side. Direction is expressed by the angle of the stretch to the vertical, equal to that of the
            food to the sun; distance is expressed by how long she shakes, at about a second for every kilometre, so
            that longer ways mean longer shaking. Since the hive is dark, her companions perceive the dance by
            following it with their antennae. The explanation, given by Karl von Frisch in the 1940s, met with doubts
            from many in his field at the beginning. In 1973 he was awarded a share of a Nobel Prize.""",
        ),
        corruptions=(
            (
                "roles swapped",
                """For food close by, up to around 50 m away, she runs round in circles. For food that is farther
                off""",
                "For food far off, over around 50 m away, she runs round in circles. For food that is closer",
            ),
            ("antonym", "It is dark in the hive", "It is bright in the hive"),
            (
                "negated",
                "At first many other scientists did not believe him",
                "At first many other scientists believed him",
            ),
            ("detail changed", "feel her dance with their antennae", "feel her dance with their wings"),
            (
                "quantifier changed",
                "he was one of those who got a Nobel Prize",
                "he was the only one who got a Nobel Prize",
            ),
            (
                "roles swapped",
                """Direction is expressed by the angle of the stretch to the vertical, equal to that of the food to
                the sun; distance is expressed by how long she shakes""",
                """Distance is expressed by the angle of the stretch to the vertical, equal to that of the food to the
                sun; direction is expressed by how long she shakes""",
            ),
            ("antonym", "so that longer ways mean longer shaking", "so that longer ways mean shorter shaking"),
            ("quantifier changed", "doubts from many in his field", "doubts from hardly anyone in his field"),
            ("events reordered", "at the beginning. In 1973", "at the end. In 1973"),
            ("invented", "Since the hive is dark", "A bee that dances badly is driven out. Since the hive is dark"),
        ),
        rewordings=(
            ("synonyms", "farther off", "farther away"),
            ("number words", "half a circle", "a half circle"),
        ),
    ),
    Passage(
        "dead sea",
        "encyclopedic",
        """The Dead Sea is a salt lake between Israel, Jordan and the West Bank. Its shore, more than 430 metres below
        the level of the ocean, is the lowest land on Earth. The Jordan is the only large river that flows into it,
        and none flows out; water leaves the lake by evaporation alone, and the salt stays behind. The water is almost
        ten times as salty as that of the ocean, so that swimmers float easily and fish cannot live in it. Some
        bacteria can. Since about 1960 Israel, Jordan and Syria have led most of the Jordan's water elsewhere, and the
        lake now falls by over a metre each year. Along its shores the ground has collapsed into thousands of
        holes.""",
        (
            """The Dead Sea, a salt lake, is bordered by Jordan, Israel and the West Bank. No land on Earth lies lower
            than its shore, which is over 430 m below ocean level. Only one large river, the Jordan, feeds it, and not
            a single one leaves it. Evaporation is thus the sole way out for the water, whereas the salt remains. With
            nearly ten times the saltiness of the ocean, the lake makes it easy for swimmers to float; it is no place
            for fish, though certain bacteria manage to live there. From around 1960 on, the greater part of the water
            of the Jordan has been diverted by Syria, Jordan and Israel. As a result the surface drops by more than
            one metre a year, and thousands of holes have opened where the ground along the shore collapsed.""",
            """Imagine a lake that no river leaves. That is the Dead Sea, which lies between Jordan, the West Bank and
            Israel. One big river, the Jordan, brings it water. The water can get out only by drying up into the air,
            and when it does, the salt stays in the lake. So the Dead Sea is salty, almost ten times saltier than the
            ocean! Swimmers float on it without trying. Fish cannot live there, only some bacteria can. Its beach is
            also the lowest place on dry land anywhere in the world: it is more than 430 metres lower than the ocean.
            But the lake is in trouble. Since about 1960 most of the Jordan's water has been led away to other places,
            by Israel, by Syria and by Jordan. Every year the lake sinks by more than a metre, and the ground on its
            shores has fallen in and made thousands of holes.""",
        ),
        corruptions=(
            ("antonym", "No land on Earth lies lower than its shore", "No land on Earth lies higher than its shore"),
            ("quantifier changed", "and not a single one leaves it", "and several leave it"),
            (
                "roles swapped",
                "Evaporation is thus the sole way out for the water, whereas the salt remains",
                "Evaporation is thus the sole way out for the salt, whereas the water remains",
            ),
            ("unit changed", "more than one metre a year", "more than one metre a month"),
            ("negated", "though certain bacteria manage to live there", "and not even bacteria manage to live there"),
            ("negated", "a lake that no river leaves", "a lake that a big river leaves"),
            (
                "quantifier changed",
                "most of the Jordan's water has been led away",
                "a little of the Jordan's water has been led away",
            ),
            ("antonym", "the lake sinks by more than a metre", "the lake rises by more than a metre"),
            ("detail changed", "Swimmers float on it", "Swimmers sink in it"),
            (
                "invented",
                "But the lake is in trouble.",
                "The mud from its bottom heals every wound. But the lake is in trouble.",
            ),
        ),
        rewordings=(
            ("list reordered", "between Israel, Jordan and the West Bank", "between Jordan, Israel and the West Bank"),
            ("synonyms", "As a result the surface drops", "Therefore the surface falls"),
        ),
    ),
    Passage(
        "lyrebird",
        "encyclopedic",
        """The lyrebird of eastern Australia imitates sounds. A male clears a small stage on the forest floor in
        winter and sings there for hours, and about four fifths of his song consists of the voices of other birds:
        kookaburras, parrots, whipbirds, magpies and honeyeaters. Young males learn these less from the birds
        themselves than from older males. Lyrebirds in captivity have copied saws, camera shutters and car alarms; in
        the wild this is rare. Females imitate too, mostly to defend their nests. A female lays a single egg, and she
        raises the chick without help from the male. Lyrebirds can fly only weakly. By raking through leaves for worms
        they move more soil than any other digging animal known on land.""",
        (
            """Lyrebirds live in the east of Australia and are great mimics. In winter the male sweeps a little stage
            clear on the floor of the forest, where he sings for hours on end. Some 80 percent of what he sings is
            borrowed from other birds such as magpies, kookaburras, honeyeaters, whipbirds and parrots. It is from
            older males, more than from these birds, that young males pick the voices up. Captive lyrebirds have been
            heard doing car alarms, saws and the shutters of cameras, but wild ones rarely do such things. The females
            are mimics as well, for the most part when they defend a nest. There is just one egg, laid by the female,
            and the male takes no part in bringing up the chick. Flying is something lyrebirds do poorly. As they rake
            the leaves in search of worms, they shift more soil than any other land animal that is known to dig.""",
            """Notes on the lyrebird (eastern Australia). Mimicry: four fifths or so of the male's song are voices of
            others, namely parrots, magpies, whipbirds, honeyeaters, kookaburras. Performance: winter, hours at a
            time, on a small stage he has cleared on the ground of the forest. Learning: young males get the voices
            from older males rather than from the imitated species. Artificial sounds: saws, car alarms and camera
            shutters known from captivity, rare in the wild. Female: imitates also, chiefly in defence of the nest;
            one egg; rears the chick alone. Flight weak. Digging: no land animal known moves more soil, a side effect
            of raking leaves for worms.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "It is from older males, more than from these birds, that young males pick",
                "It is from these birds, more than from older males, that young males pick",
            ),
            ("quantifier changed", "but wild ones rarely do such things", "and wild ones often do such things"),
            (
                "negated",
                "the male takes no part in bringing up the chick",
                "the male takes part in bringing up the chick",
            ),
            ("detail changed", "In winter the male sweeps", "In spring the male sweeps"),
            ("antonym", "Flying is something lyrebirds do poorly", "Flying is something lyrebirds do well"),
            (
                "names swapped",
                "Female: imitates also, chiefly in defence of the nest; one egg; rears the chick alone",
                "Male: imitates also, chiefly in defence of the nest; one egg; rears the chick alone",
            ),
            ("antonym", "young males get the voices from older males", "older males get the voices from young males"),
            (
                "quantifier changed",
                "known from captivity, rare in the wild",
                "known from captivity, common in the wild",
            ),
            ("antonym", "Flight weak.", "Flight strong."),
            ("invented", "Flight weak.", "Moults twice a year. Flight weak."),
        ),
        rewordings=(
            (
                "list summarised",
                "magpies, kookaburras, honeyeaters, whipbirds and parrots",
                "magpies, parrots and many more",
            ),
            (
                "list summarised",
                "others, namely parrots, magpies, whipbirds, honeyeaters, kookaburras",
                "others, birds of several families",
            ),
            (
                "list reordered",
                "kookaburras, parrots, whipbirds, magpies and honeyeaters",
                "magpies, honeyeaters, parrots, kookaburras and whipbirds",
            ),
        ),
    ),
)
