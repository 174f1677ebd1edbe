"""Passages full of numbers on nature and energy for development, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_NUMERIC_NATURE = (
    Passage(
        "glacier",
        "numeric",
        """The Talbreen glacier is 11 kilometres long and up to 240 metres thick. Between 1936 and 1990 it became
        shorter by 600 metres, and between 1990 and 2023 by another 1,900 metres. In summer its surface moves by 34
        centimetres a day in the middle and by only 8 at the edges; in winter it is about half as fast. In 2023 it
        lost 2.1 metres of ice in the height of summer and gained 0.7 by snow, so that the balance was negative for
        the nineteenth year in a row. Three of the eleven stakes used for measuring had melted out and could not be
        read. The stream below carries 14 cubic metres of water per second in July and dries up in January. If nothing
        changes, half of the ice will be gone in sixty years.""",
        (
            """Talbreen, a glacier of 11 km in length and at most 240 m in thickness, retreated by 600 m from 1936 to
            1990 and by a further 1,900 m from 1990 to 2023. Summer speeds are 34 cm per day in its middle but no more
            than 8 cm at its edges, and winter speeds some half of that. The year 2023 took 2.1 m of ice off in high
            summer and added 0.7 m through snow. For the nineteenth time running, the balance was thus below zero.
            Readings came from eight stakes only, as three out of eleven had melted from the ice. In the stream that
            flows from it there are 14 cubic metres of water a second in July, and none in January. Sixty years from
            now half the ice will have disappeared, provided that nothing changes.""",
            """How long is the Talbreen glacier? 11 kilometres, and it's up to 240 metres thick. Is it shrinking? Yes.
            From 1936 to 1990 its length went down by 600 metres, and from then until 2023 it lost another 1,900. How
            fast does it move? In summer, 34 centimetres a day if you look at the middle, 8 if you look at the edges.
            In winter, half that, roughly. What did 2023 do to it? Minus 2.1 metres of ice at the height of summer,
            plus 0.7 from snow. So the balance was negative, as in the eighteen years before. How do they measure
            this? With eleven stakes, of which three couldn't be read that year because they'd melted out. And the
            stream? In July, 14 cubic metres per second come down; in January it's dry. What happens if things stay as
            they are? In sixty years only half of the ice will be left.""",
        ),
        corruptions=(
            (
                "number swapped",
                "retreated by 600 m from 1936 to 1990 and by a further 1,900 m from 1990 to 2023",
                "retreated by 1,900 m from 1936 to 1990 and by a further 600 m from 1990 to 2023",
            ),
            ("antonym", "the balance was thus below zero", "the balance was thus above zero"),
            (
                "number swapped",
                "Readings came from eight stakes only, as three out of eleven",
                "Readings came from three stakes only, as eight out of eleven",
            ),
            ("antonym", "and winter speeds some half of that", "and winter speeds some double of that"),
            ("unit changed", "14 cubic metres of water a second in July", "14 cubic metres of water an hour in July"),
            (
                "number swapped",
                "if you look at the middle, 8 if you look at the edges",
                "if you look at the edges, 8 if you look at the middle",
            ),
            ("negated", "Is it shrinking? Yes.", "Is it shrinking? No."),
            (
                "names swapped",
                "In July, 14 cubic metres per second come down; in January it's dry",
                "In January, 14 cubic metres per second come down; in July it's dry",
            ),
            (
                "antonym",
                "Minus 2.1 metres of ice at the height of summer, plus 0.7 from snow",
                "Plus 2.1 metres of ice at the height of summer, minus 0.7 from snow",
            ),
            ("invented", "And the stream?", "A hut on the moraine was given up. And the stream?"),
        ),
        rewordings=(
            ("unit spelled otherwise", "a glacier of 11 km in length", "a glacier of 11 kilometres in length"),
            ("number words", "half the ice will have disappeared", "50 percent of the ice will have disappeared"),
        ),
    ),
    Passage(
        "whale count",
        "numeric",
        """From 4 to 25 August, observers on two ships counted whales along 3,200 nautical miles. They saw 412
        humpback whales, 57 fin whales and 9 blue whales; in 2012 it had been 290, 61 and 4. As whales under water are
        missed, the numbers are multiplied by about 2.4 for humpbacks and 1.8 for fin whales, whereas for blue whales
        there are too few sightings for an estimate. Fog kept the ships in harbour on five days. Calves made up 7
        percent of the humpbacks. One humpback, known by the pattern of its tail, had been photographed off Brazil
        9,800 kilometres away, farther than any animal in the catalogue before. Two dead whales had been struck by
        ships. The survey cost 1.1 million dollars and was carried out by 26 people.""",
        (
            """Over a distance of 3,200 nautical miles, between August 4 and August 25, whales were counted from two
            ships. Sightings were 57 fin whales, 412 humpbacks and 9 blue whales, compared with 61, 290 and 4 in 2012.
            A factor corrects for the animals which are under water and so overlooked. It is roughly 2.4 in the case
            of humpbacks and 1.8 in the case of fin whales; no estimate is possible for blue whales, which are seen
            too rarely. Five days were lost to fog, with the ships in harbour. Seven percent of the humpbacks were
            calves. The tail of one humpback has a pattern by which it was recognized: off Brazil, at a distance of
            9,800 km, someone had taken its picture. No animal in the catalogue had come from so far. Collisions with
            ships had killed the two whales that were found dead. It took 26 people and $1.1 million to carry out the
            survey.""",
            """Two ships went out to count whales. They started on 4 August and stopped on 25 August, and they covered
            3,200 nautical miles. On five days they had to stay in the harbour because of fog. Humpback whales: they
            saw 412, and in 2012 there had been 290. Fin whales: 57, after 61. Blue whales: 9, after 4. But you cannot
            see a whale that is under the water! So you multiply the number, by about 2.4 if it is humpbacks and by
            1.8 if it is fin whales. For the blue whales this does not work, there are too few of them to estimate.
            Seven out of a hundred humpbacks were calves. One of the humpbacks was a great traveller. People knew it
            by the pattern on its tail, and it had been photographed near Brazil, which is 9,800 kilometres away. No
            other animal in the catalogue had ever come that far. Sadly, two whales were dead; ships had struck them.
            There were 26 people in the team, and counting cost 1.1 million dollars.""",
        ),
        corruptions=(
            (
                "number swapped",
                "Sightings were 57 fin whales, 412 humpbacks",
                "Sightings were 412 fin whales, 57 humpbacks",
            ),
            (
                "names swapped",
                "It is roughly 2.4 in the case of humpbacks and 1.8 in the case of fin whales",
                "It is roughly 1.8 in the case of humpbacks and 2.4 in the case of fin whales",
            ),
            ("negated", "no estimate is possible for blue whales", "an estimate is possible for blue whales"),
            (
                "roles swapped",
                "Collisions with ships had killed the two whales",
                "Collisions with whales had sunk the two ships",
            ),
            ("detail changed", "Five days were lost to fog", "Five days were lost to ice"),
            (
                "number swapped",
                "they saw 412, and in 2012 there had been 290",
                "they saw 290, and in 2012 there had been 412",
            ),
            ("antonym", "there are too few of them to estimate", "there are too many of them to estimate"),
            (
                "negated",
                "But you cannot see a whale that is under the water!",
                "But you can see a whale that is under the water!",
            ),
            ("unit changed", "Seven out of a hundred humpbacks", "Seven out of a thousand humpbacks"),
            (
                "invented",
                "Sadly, two whales were dead",
                "A young one followed the ship for days. Sadly, two whales were dead",
            ),
        ),
        rewordings=(
            ("number words", "Five days were lost", "5 days were lost"),
            ("unit spelled otherwise", "26 people and $1.1 million", "26 people and 1.1 million dollars"),
        ),
    ),
    Passage(
        "apple orchard",
        "numeric",
        """Of the orchard's 1,840 trees, 1,100 are Boskoop, 460 Gala and 280 Elstar. A Gala tree gave 38 kilograms
        this year, an Elstar 31, and a Boskoop, which bears well only every second year, 12. A late frost on 21 April
        killed 40 percent of the blossoms in the lower field but almost none in the upper. Apples for juice bring 18
        cents a kilogram, apples for the table 95 cents; as hail damaged a third of the harvest in June, more went
        into juice than usual, 21 tonnes out of 36. Picking took eleven people 26 days. In the cold store at 1.5 °C
        Boskoop keeps until April and Gala until February. Next winter 200 of the oldest trees, planted in 1961, will
        be cut down and replaced by a kind that flowers ten days later.""",
        (
            """There are 1,840 trees in the orchard, namely 280 of Elstar, 460 of Gala and 1,100 of Boskoop. This
            year's yield was 31 kg a tree for Elstar, 38 kg for Gala and 12 kg for Boskoop, whose good years come only
            every other year. The frost of April 21 was late and destroyed 40% of the blossoms of the lower field,
            whereas the upper one lost next to nothing. A kilogram of apples earns 95 cents for the table and 18 cents
            for juice. In June a third of the crop suffered from hail, so that an unusual amount, 21 of 36 tonnes, was
            made into juice. Eleven people needed 26 days for picking. Stored cold, at 1.5 °C, Gala lasts until
            February, Boskoop until April. The 200 oldest trees, which date from 1961, are to be felled next winter,
            and trees whose flowers open ten days later will take their place.""",
            """Right, the orchard, this year. We've got 1,840 trees: 1,100 Boskoop, 460 Gala, 280 Elstar. The Gala
            gave us 38 kilos a tree, the Elstar 31. The Boskoop just 12, but then it only bears well every second
            year. On 21 April there was that late frost, and in the lower field it killed 40 percent of the blossoms;
            in the upper, hardly any. And then in June the hail got a third of the apples. So instead of selling them
            for the table at 95 cents a kilo, we had to put more than usual into juice, which pays 18 cents: 21
            tonnes, and we only picked 36. Eleven of us were at it for 26 days. They're in the cold store now, at 1.5
            degrees Celsius. The Gala will keep until February and the Boskoop until April. Next winter we'll cut down
            200 of the old ones, the oldest we have, from 1961, and plant a kind that flowers ten days later.""",
        ),
        corruptions=(
            (
                "number swapped",
                "was 31 kg a tree for Elstar, 38 kg for Gala",
                "was 38 kg a tree for Elstar, 31 kg for Gala",
            ),
            (
                "antonym",
                "destroyed 40% of the blossoms of the lower field, whereas the upper one",
                "destroyed 40% of the blossoms of the upper field, whereas the lower one",
            ),
            (
                "number swapped",
                "earns 95 cents for the table and 18 cents for juice",
                "earns 18 cents for the table and 95 cents for juice",
            ),
            ("antonym", "The 200 oldest trees, which date from 1961", "The 200 youngest trees, which date from 1961"),
            (
                "events reordered",
                "trees whose flowers open ten days later",
                "trees whose flowers open ten days earlier",
            ),
            ("number swapped", "1,100 Boskoop, 460 Gala, 280 Elstar", "1,100 Boskoop, 280 Gala, 460 Elstar"),
            (
                "names swapped",
                "The Gala will keep until February and the Boskoop until April",
                "The Boskoop will keep until February and the Gala until April",
            ),
            ("unit changed", "Eleven of us were at it for 26 days", "Eleven of us were at it for 26 hours"),
            ("quantifier changed", "in the upper, hardly any", "in the upper, nearly all"),
            ("invented", "They're in the cold store now", "Wasps were everywhere. They're in the cold store now"),
        ),
        rewordings=(
            ("number words", "Eleven people needed 26 days", "Eleven people needed twenty-six days"),
            ("unit spelled otherwise", "at 1.5 degrees Celsius", "at 1.5 °C"),
        ),
    ),
    Passage(
        "earthquake",
        "numeric",
        """The earthquake at 4:17 in the morning on 11 May had a magnitude of 6.3 and lasted 22 seconds. Its centre
        lay 14 kilometres below the village of Orsa. It was felt as far as 180 kilometres away. In Orsa 73 of 210
        houses collapsed, most of them built before 1960; of the 40 houses with steel frames, not one did. There were
        19 deaths and 145 injured people. In the next ten days 640 aftershocks were recorded, the strongest of
        magnitude 5.1. A first shock of 3.8, two days earlier, had driven some families to sleep in their cars, which
        saved their lives. The government has promised 90 million lira, while the damage is estimated at 240 million.
        Until winter, 1,150 people will live in tents and containers.""",
        (
            """An earthquake of magnitude 6.3 struck on May 11 at 4:17 a.m. and went on for 22 seconds. It originated
            under the village of Orsa, at a depth of 14 km, and people noticed it at distances of up to 180 km. Of
            Orsa's 210 houses 73 came down, the majority dating from before 1960, but none of the 40 that have steel
            frames. Nineteen people died and 145 were injured. As many as 640 aftershocks were counted in the ten days
            that followed, with a magnitude of 5.1 for the strongest. Two days before, there had been a shock of 3.8.
            It had made some families spend their nights in the car, and to this they owe their lives. The damage, by
            estimate, amounts to 240 million lira; 90 million have been promised by the government. For 1,150 people,
            containers and tents will be home until the winter.""",
            """Earthquake, Orsa: 11 May, 4:17 in the morning. Magnitude 6.3, duration 22 seconds, depth 14 kilometres,
            straight under the village; felt within 180 kilometres. Houses: 210, collapsed: 73, for the most part
            older than 1960. Steel-framed houses: 40, collapsed: none. Dead: 19. Injured: 145. Aftershocks: 640 in ten
            days, up to a magnitude of 5.1. Foreshock: 3.8, two days before the main one; after it some families slept
            in cars and so survived. Damage (estimate): 240 million lira. Money promised by the government: 90
            million. Living in tents and containers until winter: 1,150 people.""",
        ),
        corruptions=(
            (
                "number swapped",
                "The damage, by estimate, amounts to 240 million lira; 90 million have been promised",
                "The damage, by estimate, amounts to 90 million lira; 240 million have been promised",
            ),
            (
                "events reordered",
                "Two days before, there had been a shock of 3.8",
                "Two days after, there was a shock of 3.8",
            ),
            (
                "quantifier changed",
                "but none of the 40 that have steel frames",
                "and most of the 40 that have steel frames",
            ),
            ("negated", "and to this they owe their lives", "but even so they lost their lives"),
            (
                "number swapped",
                "Nineteen people died and 145 were injured",
                "Nineteen people were injured and 145 died",
            ),
            ("antonym", "for the most part older than 1960", "for the most part newer than 1960"),
            ("unit changed", "duration 22 seconds", "duration 22 minutes"),
            ("number swapped", "Magnitude 6.3, duration 22 seconds", "Magnitude 5.1, duration 22 seconds"),
            (
                "names swapped",
                "Damage (estimate): 240 million lira. Money promised by the government",
                "Money promised by the government: 240 million lira. Damage (estimate)",
            ),
            ("invented", "Dead: 19. Injured: 145.", "Dead: 19. Injured: 145. Looting: widespread."),
        ),
        rewordings=(
            ("unit spelled otherwise", "at a depth of 14 km", "at a depth of 14 kilometres"),
            ("list reordered", "containers and tents", "tents and containers"),
        ),
    ),
    Passage(
        "solar roof",
        "numeric",
        """The solar panels on the sports hall have a power of 99 kilowatts and produced 94,300 kilowatt-hours in
        2023. Of this the hall used 41 percent itself; the remainder was sold for 7.9 cents per kilowatt-hour, while
        buying costs 31 cents. In June the panels gave 14,200 kilowatt-hours and in December 1,600. Snow covered them
        for 12 days, on which they gave nothing. They cost 128,000 euros, of which the state paid a quarter, and
        should pay for themselves after nine years. Two of the 248 panels had to be exchanged because of cracks. The
        inverter is guaranteed for ten years and the panels for twenty-five. A battery of 60 kilowatt-hours would
        raise the share used by the hall to 63 percent but would not be worth it at today's prices.""",
        (
            """In 2023, 94,300 kilowatt-hours were generated by the sports hall's solar panels, whose power is 99 kW.
            The hall consumed 41% of them; what was left went for 7.9 cents a kilowatt-hour, against 31 cents that one
            pays when buying. December's yield was 1,600 and June's 14,200 kilowatt-hours. There were 12 days without
            any yield, because of snow on the panels. One quarter of the price of €128,000 came from the state. Nine
            years should be enough to earn the money back. Cracks made it necessary to exchange two panels out of 248.
            For the panels there is a guarantee of twenty-five years, for the inverter one of ten. With a battery of
            60 kilowatt-hours the hall could use 63% by itself, but as prices are today, that would not pay.""",
            """Let me tell you about our sports hall. Up on the roof are 248 solar panels, 99 kilowatts in total.
            Well, two of the 248 had cracks and needed exchanging. Last year, that's 2023, they made 94,300
            kilowatt-hours. Forty-one percent of that we used in the hall. The rest we sold, at 7.9 cents a
            kilowatt-hour, and when we buy we pay 31! In June we got 14,200 kilowatt-hours out of them, in December a
            mere 1,600, and for 12 days nothing whatsoever, since they were under snow. What did they cost? 128,000
            euros, but the state gave us a quarter of it. Nine years and they should have paid for themselves. The
            panels are guaranteed for twenty-five years and the inverter for ten. We did think of a battery, one with
            60 kilowatt-hours. We'd be able to use 63 percent ourselves. But at the prices we have now it isn't worth
            it.""",
        ),
        corruptions=(
            (
                "number swapped",
                "what was left went for 7.9 cents a kilowatt-hour, against 31 cents that one pays when buying",
                "what was left went for 31 cents a kilowatt-hour, against 7.9 cents that one pays when buying",
            ),
            (
                "names swapped",
                "December's yield was 1,600 and June's 14,200 kilowatt-hours",
                "June's yield was 1,600 and December's 14,200 kilowatt-hours",
            ),
            ("negated", "that would not pay", "that would pay"),
            (
                "number swapped",
                "there is a guarantee of twenty-five years, for the inverter one of ten",
                "there is a guarantee of ten years, for the inverter one of twenty-five",
            ),
            (
                "roles swapped",
                "The hall consumed 41% of them; what was left",
                "The state consumed 41% of them; what was left",
            ),
            ("unit changed", "one with 60 kilowatt-hours", "one with 60 watt-hours"),
            ("quantifier changed", "but the state gave us a quarter of it", "but the state gave us all of it"),
            ("antonym", "The rest we sold, at 7.9 cents", "The rest we bought, at 7.9 cents"),
            ("number changed", "two of the 248 had cracks", "twelve of the 248 had cracks"),
            ("invented", "What did they cost?", "Neighbours complained about the glare. What did they cost?"),
        ),
        rewordings=(
            ("unit spelled otherwise", "whose power is 99 kW", "whose power is 99 kilowatts"),
            ("number words", "There were 12 days without", "There were twelve days without"),
        ),
    ),
)
