"""Technical passages on machines and kitchens for development, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_TECHNICAL_WORKSHOP = (
    Passage(
        "espresso machine",
        "technical",
        """Switch the espresso machine on at least 20 minutes before the first cup, so that the group head is hot.
        Grind 18 grams of coffee, distribute it evenly in the basket, and press it down level. Before you lock the
        handle in, let hot water run for two seconds to rinse off old coffee. The shot should weigh 36 grams after 25
        to 30 seconds. If it runs faster, grind finer; if it only drips, grind coarser. Change the grind alone and
        leave the amount of coffee as it is, since otherwise you will not know what helped. Empty the basket at once,
        because wet coffee hardens. The steam wand must be wiped after every use and opened briefly, or milk is drawn
        into the boiler. Descale the machine every three months, never with vinegar.""",
        (
            """The group head of the espresso machine must be hot, so the machine has to be on for 20 minutes or more
            before the first cup. Eighteen grams of coffee are ground, spread evenly in the basket and pressed level.
            Hot water is run for two seconds, to wash old coffee away, and only then is the handle locked in. A shot
            of 36 grams in 25 to 30 seconds is what you want. When it comes faster than that, the grind has to be
            finer, and when there are only drips, coarser. Nothing but the grind should be changed; if the amount of
            coffee were changed, too, you could not tell which of the two was of use. As wet coffee turns hard, the
            basket is to be emptied immediately. After each use, wipe the steam wand and open it for a moment; milk
            would otherwise get sucked into the boiler. The machine needs descaling every three months, but vinegar
            must not be used for this.""",
            """Espresso, step by step: machine on, 20 minutes ahead of the first cup or earlier (group head needs to
            be hot). 18 g of coffee, ground, evenly spread in the basket, pressed down level. Two seconds of hot water
            against old coffee, then lock in the handle. Target: 36 g in 25 to 30 seconds. Too fast? Finer grind. Just
            drips? Coarser. Keep the amount of coffee, vary only the grind, so as to know what did the trick. Basket:
            empty it straight away, wet coffee goes hard. Steam wand: wipe it each time you have used it, and open it
            briefly lest milk be drawn into the boiler. Descaling: every three months; vinegar is forbidden.""",
        ),
        corruptions=(
            (
                "events reordered",
                "Hot water is run for two seconds, to wash old coffee away, and only then is the handle locked in",
                "The handle is locked in, and only then is hot water run for two seconds, to wash old coffee away",
            ),
            (
                "antonym",
                "When it comes faster than that, the grind has to be finer",
                "When it comes slower than that, the grind has to be finer",
            ),
            ("negated", "but vinegar must not be used for this", "and vinegar must be used for this"),
            (
                "quantifier changed",
                "Nothing but the grind should be changed",
                "Everything but the grind should be changed",
            ),
            (
                "roles swapped",
                "milk would otherwise get sucked into the boiler",
                "the boiler would otherwise get sucked into the milk",
            ),
            ("antonym", "Too fast? Finer grind. Just drips? Coarser.", "Too fast? Coarser grind. Just drips? Finer."),
            (
                "negated",
                "Keep the amount of coffee, vary only the grind",
                "Do not keep the amount of coffee, vary also the grind",
            ),
            ("unit changed", "Target: 36 g in 25 to 30 seconds", "Target: 36 g in 25 to 30 minutes"),
            ("number swapped", "18 g of coffee, ground", "36 g of coffee, ground"),
            (
                "invented",
                "Basket: empty it straight away",
                "Cups are best kept in the freezer. Basket: empty it straight away",
            ),
        ),
        rewordings=(
            ("number words", "25 to 30 seconds is what", "twenty-five to thirty seconds is what"),
            ("unit spelled otherwise", "Target: 36 g in", "Target: 36 grams in"),
        ),
    ),
    Passage(
        "bicycle chain",
        "technical",
        """A bicycle chain becomes longer as its pins wear, and a worn chain ruins the sprockets. Measure it with a
        ruler: twelve links of a new chain are exactly 304.8 mm long. Replace the chain when they have become 1.5 mm
        longer; if it is more than 3 mm, the sprockets must be replaced too. Clean the chain with a rag and some
        degreaser, not with a pressure washer, which drives the grease out of the bearings. Let it dry. Then put one
        drop of oil on each roller, turn the pedals backwards for half a minute, and wipe off everything that remains
        on the outside, since oil there only collects dust. Oil is needed on the inside alone. In wet weather this
        must be done every week, otherwise once a month is enough.""",
        (
            """As the pins of a bicycle's chain wear down, the chain gets longer, and with such a chain the sprockets
            are soon ruined. A ruler is enough for measuring: on a new chain, twelve links come to 304.8 mm exactly.
            An increase of 1.5 mm means that a new chain is due; with over 3 mm, new sprockets are due as well. For
            cleaning, take a rag and a little degreaser. A pressure washer is wrong, because it forces the grease from
            the bearings. When the chain has dried, each roller gets a single drop of oil. Pedal backwards for thirty
            seconds. Whatever oil is left on the outside has to be wiped off, as all it does there is gather dust;
            only inside is there any need for it. Once a month will do, except in wet weather, when it has to be every
            week.""",
            """Look after your bicycle chain, or it will ruin the sprockets! The pins in it wear away little by
            little, and this makes the chain longer. You can check it with a ruler. Twelve links of a new chain
            measure 304.8 mm, not more and not less. If they measure 1.5 mm more than that, you need a new chain. If
            it is over 3 mm, you need new sprockets, too. To clean the chain, use a rag with some degreaser on it.
            Don't use a pressure washer! It pushes the grease out of the bearings. After cleaning, let the chain dry,
            and then give every roller one drop of oil. Turn the pedals backwards for half a minute. Now wipe away all
            the oil on the outside. The chain needs oil on the inside only, and on the outside oil just catches dust.
            Do this every week when the weather is wet. When it is not, once a month is enough.""",
        ),
        corruptions=(
            (
                "antonym",
                "the chain gets longer, and with such a chain",
                "the chain gets shorter, and with such a chain",
            ),
            (
                "events reordered",
                "When the chain has dried, each roller gets a single drop of oil",
                "When each roller has got a single drop of oil, the chain is dried",
            ),
            ("roles swapped", "it forces the grease from the bearings", "it forces the bearings from the grease"),
            ("negated", "A pressure washer is wrong, because", "A pressure washer is right, because"),
            ("names swapped", "only inside is there any need for it", "only outside is there any need for it"),
            ("unit changed", "If they measure 1.5 mm more than that", "If they measure 1.5 cm more than that"),
            ("negated", "Don't use a pressure washer!", "You may use a pressure washer!"),
            ("antonym", "Turn the pedals backwards", "Turn the pedals forwards"),
            (
                "number swapped",
                "If they measure 1.5 mm more than that, you need a new chain. If it is over 3 mm",
                "If they measure 3 mm more than that, you need a new chain. If it is over 1.5 mm",
            ),
            (
                "quantifier changed",
                "Now wipe away all the oil on the outside",
                "Now wipe away a little of the oil on the outside",
            ),
            (
                "invented",
                "After cleaning, let the chain dry",
                "Candle wax works just as well. After cleaning, let the chain dry",
            ),
        ),
        rewordings=(
            ("number words", "twelve links come to", "12 links come to"),
            ("synonyms", "as all it does there is gather dust", "as all it does there is collect dust"),
        ),
    ),
    Passage(
        "sourdough starter",
        "technical",
        """To make a sourdough starter, stir 50 grams of rye flour into 50 grams of lukewarm water and leave the jar,
        loosely covered, at about 26 °C. From the second day on, throw away all but 50 grams every day and add the
        same amounts of flour and water again. On the second or third day the mixture often foams strongly and smells
        bad; these are other bacteria, which die as it becomes sour. Do not give up when the foam is gone. After seven
        to ten days the starter doubles within six hours of feeding and smells like yogurt, and only then may it be
        used. In the refrigerator one feeding a week is enough. Grey liquid on top means hunger and is harmless; pink
        or orange streaks mean that everything must be thrown away.""",
        (
            """Rye flour and lukewarm water, 50 g of each, are stirred together in a jar to start a sourdough. The jar
            gets a loose cover and is kept at around 26 °C. Every day, beginning with the second, only 50 g are kept,
            the rest is discarded, and flour and water are added in the same amounts as before. Strong foam with a bad
            smell is frequent on the second day or the third. Its cause is other bacteria, and they die off when the
            mixture turns sour; that the foam has disappeared is no reason to give up. In seven to ten days you have a
            starter that smells of yogurt and, once fed, needs no more than six hours to double. Before that it should
            not be used. One feeding per week suffices if it is kept in the refrigerator. A grey liquid at the top is
            a sign of hunger and does no harm, whereas streaks in pink or orange are a sign that all of it has to be
            thrown out.""",
            """Day 1: mix 50 g rye flour and 50 g lukewarm water in a jar, put a lid on loosely, keep at about 26 °C.
            Day 2 and every day after: keep 50 g, throw the rest away, add flour and water again, as much as on day 1.
            Day 2 or 3: there is often a lot of foam and a bad smell. That's other bacteria; the sour will kill them.
            No foam any more? Carry on! Days 7 to 10: within six hours after a feeding it has doubled, and the smell
            is that of yogurt. Now you may use it, not earlier. Kept in the fridge it wants feeding only once a week.
            Something grey and liquid on top? It's hungry, no harm done. Streaks of pink or of orange? Throw
            everything away.""",
        ),
        corruptions=(
            ("antonym", "The jar gets a loose cover", "The jar gets a tight cover"),
            (
                "roles swapped",
                "only 50 g are kept, the rest is discarded",
                "only 50 g are discarded, the rest is kept",
            ),
            (
                "negated",
                "that the foam has disappeared is no reason to give up",
                "that the foam has disappeared is a reason to give up",
            ),
            ("events reordered", "Before that it should not be used", "After that it should not be used"),
            (
                "names swapped",
                """A grey liquid at the top is a sign of hunger and does no harm, whereas streaks in pink or orange
                are a sign""",
                """Streaks in pink or orange are a sign of hunger and do no harm, whereas a grey liquid at the top is
                a sign""",
            ),
            (
                "roles swapped",
                "That's other bacteria; the sour will kill them",
                "That's other bacteria; they will kill the sour",
            ),
            ("negated", "Now you may use it, not earlier", "Now you may use it, or earlier"),
            ("unit changed", "it wants feeding only once a week", "it wants feeding only once a month"),
            (
                "antonym",
                "within six hours after a feeding it has doubled",
                "within six hours after a feeding it has halved",
            ),
            ("invented", "Kept in the fridge", "A pinch of salt speeds it up. Kept in the fridge"),
        ),
        rewordings=(
            ("number words", "within six hours after", "within 6 hours after"),
            ("unit spelled otherwise", "mix 50 g rye flour", "mix 50 grams of rye flour"),
        ),
    ),
    Passage(
        "smoke alarm",
        "technical",
        """Mount a smoke alarm on the ceiling, at least 50 cm from any wall or lamp, and one on each floor. Kitchens
        and bathrooms are not suitable, because steam sets it off. An optical alarm shines a light into a dark
        chamber; smoke scatters the light onto a sensor, which triggers the siren. Dust and spiders have the same
        effect, so that the openings should be vacuumed twice a year. Test it every month with the button. A chirp
        each minute means that the battery is low, not that there is a fire. If the alarm sounds and there is no fire,
        press the button, and it stays silent for ten minutes. Never paint it over. After ten years the whole device
        must be replaced, even if it still works, because the sensor becomes dull.""",
        (
            """A smoke alarm belongs on the ceiling, no less than 50 cm away from walls and lamps, and every floor
            needs one. Do not put it into a bathroom or a kitchen, where steam would set it off. In an optical alarm,
            light is sent into a chamber that is dark. When smoke enters, the light is scattered and hits a sensor,
            and the sensor sets off the siren. The same happens with spiders and dust, which is why you should vacuum
            the openings two times per year. Once a month, press the button as a test. If there is a chirp every
            minute, the battery is running low; it does not mean fire. In case of a false alarm, pressing the button
            silences the siren for ten minutes. The alarm must not be painted. When it is ten years old, replace all
            of it, working or not, since by then the sensor has gone dull.""",
            """Where do I put a smoke alarm? On the ceiling, with 50 cm or more between it and any lamp or wall. One
            is needed for each floor. Why not in the kitchen or the bathroom? Because of the steam, which triggers it.
            How does the optical kind work? It shines light into a dark chamber, and if there's smoke, the light gets
            scattered onto a sensor. The sensor starts the siren. What should I do to look after it? Test it monthly,
            with the button, and vacuum the openings twice a year, for spiders and dust can set it off just as smoke
            does. And don't paint it, ever. It chirps once a minute! Is there a fire? No, the battery is low. It's
            howling, but there is no fire! Press the button and you'll have ten minutes of silence. How long does it
            last? Ten years. Then the whole thing has to be replaced, even one that works, as the sensor has become
            dull.""",
        ),
        corruptions=(
            ("negated", "it does not mean fire", "it does mean fire"),
            (
                "roles swapped",
                "the light is scattered and hits a sensor, and the sensor sets off the siren",
                "the light is scattered and hits the siren, and the siren sets off a sensor",
            ),
            ("quantifier changed", "every floor needs one", "only one floor needs one"),
            ("antonym", "the battery is running low", "the battery is running hot"),
            ("negated", "The alarm must not be painted", "The alarm must be painted"),
            ("antonym", "It shines light into a dark chamber", "It shines light into a bright chamber"),
            ("unit changed", "you'll have ten minutes of silence", "you'll have ten hours of silence"),
            ("negated", "No, the battery is low.", "Yes, the battery is low."),
            (
                "names swapped",
                "Test it monthly, with the button, and vacuum the openings twice a year",
                "Vacuum the openings monthly, and test it twice a year, with the button",
            ),
            ("invented", "How long does it last?", "Smokers should hang up two of them. How long does it last?"),
        ),
        rewordings=(
            ("number words", "it is ten years old", "it is 10 years old"),
            ("synonyms", "Do not put it into a bathroom or a kitchen", "Do not install it in a bathroom or a kitchen"),
        ),
    ),
    Passage(
        "water softener",
        "technical",
        """A water softener passes hard water through a tank of resin beads loaded with sodium. The beads take up
        calcium and magnesium and give off sodium in exchange. When they are exhausted, a valve reverses the flow:
        first the bed is flushed upwards for about ten minutes to loosen dirt, then brine is drawn slowly through it,
        which drives the calcium and magnesium out, and finally the salt is rinsed away. All of this goes to the drain
        and takes an hour and a half, usually at night. Meanwhile the house receives hard water. The brine tank must
        always contain undissolved salt; use tablets, pellets, cubes, blocks or crystals, but no road salt. Iron above
        0.3 mg per litre clogs the beads and has to be filtered out beforehand. Softened water is not suitable for
        watering plants.""",
        (
            """Inside a water softener, hard water flows through a tank filled with resin beads that carry sodium.
            They exchange it: sodium goes into the water, magnesium and calcium go into the beads. Once these are used
            up, the flow is reversed by a valve. The bed is first flushed from below, for some ten minutes, in order
            to loosen the dirt. After that brine is slowly sucked through to expel magnesium and calcium, and at the
            end the salt is washed out. This takes one and a half hours, for the most part during the night;
            everything runs into the drain, and the water in the house is hard for as long as it lasts. There must be
            salt that has not dissolved in the brine tank at all times. It may come as crystals, tablets, blocks,
            cubes or pellets, but road salt is out of the question. If the water has more than 0.3 mg of iron per
            litre, a filter must remove it first, or the beads will clog. Plants should not be watered with softened
            water.""",
            """Think of the softener as a swap shop. Hard water comes in, full of calcium and magnesium. In the tank
            sit resin beads, full of sodium. The beads keep the calcium and the magnesium, and the water gets the
            sodium. At some point the beads can't take any more. Then a valve turns the flow round, and three things
            happen: ten minutes or so of flushing upwards, which loosens the dirt; then brine, drawn through slowly,
            pushing the calcium and magnesium out; and last, a rinse to get rid of the salt. It all ends up in the
            drain. The whole thing takes an hour and a half, mostly at night, and until it's over, the water in your
            house is hard. Make sure there's always some undissolved salt in the brine tank: blocks, pellets,
            crystals, tablets, cubes, it doesn't matter, only not road salt. More than 0.3 mg of iron per litre?
            Filter it out first, it clogs the beads. And don't give soft water to your plants.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "sodium goes into the water, magnesium and calcium go into the beads",
                "sodium goes into the beads, magnesium and calcium go into the water",
            ),
            ("events reordered", "The bed is first flushed from below", "The bed is last flushed from below"),
            (
                "negated",
                "There must be salt that has not dissolved in the brine tank",
                "There must be no salt that has not dissolved in the brine tank",
            ),
            (
                "antonym",
                "the water in the house is hard for as long as it lasts",
                "the water in the house is soft for as long as it lasts",
            ),
            (
                "unit changed",
                "more than 0.3 mg of iron per litre, a filter",
                "more than 0.3 g of iron per litre, a filter",
            ),
            ("antonym", "ten minutes or so of flushing upwards", "ten minutes or so of flushing downwards"),
            (
                "names swapped",
                "Hard water comes in, full of calcium and magnesium. In the tank sit resin beads, full of sodium",
                "Hard water comes in, full of sodium. In the tank sit resin beads, full of calcium and magnesium",
            ),
            ("quantifier changed", "it doesn't matter, only not road salt", "it doesn't matter, not even road salt"),
            ("negated", "And don't give soft water to your plants", "And give soft water to your plants"),
            (
                "invented",
                "It all ends up in the drain.",
                "It all ends up in the drain. Neighbours may notice a smell of chlorine.",
            ),
        ),
        rewordings=(
            ("list summarised", "as crystals, tablets, blocks, cubes or pellets, but", "in various forms, but"),
            (
                "list summarised",
                ": blocks, pellets, crystals, tablets, cubes, it doesn't matter",
                ": the form doesn't matter",
            ),
            (
                "list reordered",
                "tablets, pellets, cubes, blocks or crystals",
                "cubes, blocks, tablets, crystals or pellets",
            ),
            ("number words", "an hour and a half, mostly", "1.5 hours, mostly"),
        ),
    ),
)
