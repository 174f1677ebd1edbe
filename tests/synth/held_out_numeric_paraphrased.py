"""Passages full of numbers that the gate's rules and thresholds have never seen, each paraphrased in two styles."""

from fidelity_passage import Passage

HELD_OUT_NUMERIC_PARAPHRASED = (
    Passage(
        "emergency room",
        "numeric",
        """The emergency room treated 61,300 patients in 2023, 4,100 more than in 2022. On average they waited 74
        minutes, against 58 before, and 2,900 left without having been seen. Of all patients 22 percent arrived by
        ambulance and 31 percent had to stay in hospital. Mondays are the busiest days with 190 patients, Saturdays
        the quietest with 151. The commonest complaints were falls, chest pain, cuts, fever and back pain. A third of
        the 96 nurses work there for less than two years. Two doctors in ten are on leave or ill at any time. The new
        building, begun on 3 May, will have 42 beds instead of 28 and cost 37 million dollars. An ambulance takes 9
        minutes in town and 21 in the hills. Children are 18 percent of the patients. Fewer than 1 percent died.""",
        (
            """In 2023 the number of patients treated in the emergency room was 61,300, which is an increase of 4,100
            on 2022. Their average wait went from 58 up to 74 minutes; 2,900 of them were gone before anybody saw
            them. An ambulance brought 22% of the patients, and 31% were kept in hospital. There are 190 patients on
            Mondays, more than on other days, and 151 on Saturdays, when it is calmest. Back pain, fever, falls, cuts
            and chest pain were what people most frequently complained of. Among the nurses, 96 in number, one in
            three has been working there for under two years. At any time 20% of the doctors are ill or on leave. On
            May 3 work began on a new building with 42 beds, in place of 28, whose price is $37 million. In the hills
            an ambulance needs 21 minutes, in town 9. Children make up 18% of the patients. Less than 1% lost their
            lives.""",
            """Emergency room, figures for 2023. Patients: 61,300 (plus 4,100 on 2022); 18 percent of them children.
            Waiting time: 74 minutes on average, it used to be 58. Left unseen: 2,900. Came by ambulance: 22 percent.
            Stayed in hospital: 31 percent. Died: not even 1 percent. Busiest day: Monday, 190 patients. Quietest:
            Saturday, 151. Most common complaints: chest pain, falls, back pain, fever, cuts. Nurses: 96, a third of
            them there for less than two years. Doctors: two out of ten absent at any time, through leave or illness.
            Ambulance: 9 minutes in town, 21 in the hills. New building: begun 3 May, 37 million dollars, 42 beds
            where there are 28 now.""",
        ),
        corruptions=(
            (
                "number swapped",
                "Their average wait went from 58 up to 74 minutes",
                "Their average wait went from 74 down to 58 minutes",
            ),
            (
                "number swapped",
                "An ambulance brought 22% of the patients, and 31% were kept",
                "An ambulance brought 31% of the patients, and 22% were kept",
            ),
            ("negated", "were gone before anybody saw them", "were not gone before anybody saw them"),
            (
                "names swapped",
                "There are 190 patients on Mondays, more than on other days, and 151 on Saturdays",
                "There are 190 patients on Saturdays, more than on other days, and 151 on Mondays",
            ),
            ("quantifier changed", "Less than 1% lost their lives", "More than 1% lost their lives"),
            (
                "number swapped",
                "Ambulance: 9 minutes in town, 21 in the hills",
                "Ambulance: 21 minutes in town, 9 in the hills",
            ),
            ("antonym", "61,300 (plus 4,100 on 2022)", "61,300 (minus 4,100 on 2022)"),
            ("unit changed", "there for less than two years", "there for less than two months"),
            ("events reordered", "42 beds where there are 28 now", "42 beds now where there will be 28"),
            ("invented", "Left unseen: 2,900.", "Left unseen: 2,900. Parking: free for visitors."),
        ),
        rewordings=(
            ("list summarised", "falls, chest pain, cuts, fever and back pain", "injuries, pains and fever"),
            ("list summarised", "Back pain, fever, falls, cuts and chest pain were", "Injuries, pains and fever were"),
            ("list summarised", ": chest pain, falls, back pain, fever, cuts", ": pains, injuries, fever"),
            (
                "list reordered",
                "falls, chest pain, cuts, fever and back pain",
                "cuts, falls, back pain, chest pain and fever",
            ),
            (
                "list reordered",
                "Back pain, fever, falls, cuts and chest pain",
                "Falls, cuts, fever, chest pain and back pain",
            ),
            (
                "list reordered",
                "chest pain, falls, back pain, fever, cuts",
                "cuts, fever, chest pain, back pain, falls",
            ),
            ("other date format", "On May 3 work began", "On the third of May work began"),
            ("number words", "in ten are on leave", "in 10 are on leave"),
            ("unit spelled otherwise", "18% of the patients", "18 percent of the patients"),
        ),
        free=(3, 4, 5, 6, 8),
    ),
    Passage(
        "coral reef",
        "numeric",
        """Divers examined 140 km of the reef between 6 June and 2 July. Living coral covered 27 percent of it, after
        34 percent in 2016; the warm water of 2020, when 30 °C were exceeded on 61 days, killed most of what was lost.
        Below 18 m only 5 percent had died. Where fishing has been forbidden since 1998 there are 1,900 kilograms of
        fish per hectare, elsewhere 620. Crown-of-thorns starfish were counted as well: 4.2 per hectare in the north
        and 15 in the south, and from 10 on they do damage. Waste found on the reef consisted of ropes, bottles, nets,
        tyres and cans. Of 52 buoys 9 had torn loose. Three wrecks lie within the area. Boats must not anchor
        anywhere. Planting 8,000 pieces of coral cost 210,000 dollars, and two thirds of them are alive after five
        years.""",
        (
            """From June 6 to July 2, 140 kilometres of the reef were inspected by divers. The share covered by living
            coral was 27%; in 2016 it had been 34%. Most of the loss was due to the warm water of 2020, a year with 61
            days of more than 30 °C. Deeper than 18 metres, only 5% was dead. The ban on fishing, where there has been
            one since 1998, shows in 1,900 kg of fish a hectare as against 620 in other places. Of crown-of-thorns
            starfish there were 15 on a hectare in the south, 4.2 in the north; they are harmful in numbers of 10 and
            above. Cans, tyres, nets, bottles and ropes made up the waste on the reef. Nine buoys out of 52 were
            adrift. The area contains three wrecks, and anchoring is forbidden to boats everywhere. For 8,000 pieces
            of coral that were planted, at a cost of $210,000, the rate of survival after five years is two out of
            three.""",
            """What did the divers see between 6 June and 2 July? 140 kilometres of reef, and living coral on 27
            percent of it. Is that a lot? Less than in 2016, when it was 34 percent. What happened? Mostly the warm
            water in 2020. There were 61 days with over 30 degrees Celsius. Was it as bad further down? No, below 18
            metres only 5 percent died. Are there many fish? Where nobody has been allowed to fish since 1998, 1,900
            kilograms per hectare, and in other places 620. How about the starfish, the crown-of-thorns? 4.2 a hectare
            in the north, 15 in the south, and 10 is where the damage starts. What waste was there? Nets, cans, ropes,
            tyres, bottles. The buoys? Nine of the 52 had torn loose. Wrecks? Three in the area. Can I anchor my boat?
            No, nowhere. Does it help to plant coral? They planted 8,000 pieces for 210,000 dollars. Five years later
            two thirds are alive.""",
        ),
        corruptions=(
            ("antonym", "Deeper than 18 metres, only 5% was dead", "Shallower than 18 metres, only 5% was dead"),
            (
                "number swapped",
                "there were 15 on a hectare in the south, 4.2 in the north",
                "there were 4.2 on a hectare in the south, 15 in the north",
            ),
            ("number swapped", "was 27%; in 2016 it had been 34%", "was 34%; in 2016 it had been 27%"),
            (
                "negated",
                "and anchoring is forbidden to boats everywhere",
                "and anchoring is not forbidden to boats everywhere",
            ),
            (
                "roles swapped",
                "shows in 1,900 kg of fish a hectare as against 620 in other places",
                "shows in 620 kg of fish a hectare as against 1,900 in other places",
            ),
            ("negated", "Can I anchor my boat? No, nowhere.", "Can I anchor my boat? Yes, anywhere."),
            (
                "unit changed",
                "There were 61 days with over 30 degrees Celsius",
                "There were 61 hours with over 30 degrees Celsius",
            ),
            ("quantifier changed", "Five years later two thirds are alive", "Five years later all of them are alive"),
            (
                "number swapped",
                "1,900 kilograms per hectare, and in other places 620",
                "620 kilograms per hectare, and in other places 1,900",
            ),
            ("invented", "Wrecks? Three in the area.", "Wrecks? Three in the area. Sharks have become bolder."),
        ),
        rewordings=(
            ("list summarised", "ropes, bottles, nets, tyres and cans", "fishing gear and other rubbish"),
            ("list summarised", "Cans, tyres, nets, bottles and ropes made", "Fishing gear and other rubbish made"),
            ("list summarised", "Nets, cans, ropes, tyres, bottles.", "Fishing gear and all kinds of rubbish."),
            ("list reordered", "ropes, bottles, nets, tyres and cans", "tyres, cans, ropes, nets and bottles"),
            ("list reordered", "Cans, tyres, nets, bottles and ropes", "Ropes, cans, bottles, tyres and nets"),
            ("list reordered", "Nets, cans, ropes, tyres, bottles", "Bottles, ropes, cans, nets, tyres"),
            ("other date format", "From June 6 to July 2,", "From 6 June until 2 July,"),
            ("number words", "Nine buoys out of 52", "9 buoys out of 52"),
            ("unit spelled otherwise", "140 kilometres of the reef", "140 km of the reef"),
        ),
        free=(5, 6, 7, 8),
    ),
    Passage(
        "ferry company",
        "numeric",
        """The ferry company carried 3.4 million passengers and 880,000 cars in the year to 30 September, 6 percent
        and 2 percent more than in the year before. It has 11 ships, the oldest of which was built in 1974 and uses
        540 litres of diesel an hour, twice as much as the newest. Of 21,700 planned departures, 640 were cancelled:
        410 because of storms, 150 because of defects and 80 for lack of crew. A car with two people pays 62 euros in
        summer and 38 in winter. On board the company sells fish soup, beer, sandwiches, ice cream and perfume, which
        brings in 14 percent of its income. Islanders travel for half the price. Bicycles are free. Dogs pay 4 euros.
        The first electric ship, for 24 million euros, will run from 2026 on the shortest line, 5 km, and will be
        charged for 7 minutes at each end.""",
        (
            """In the twelve months to September 30, the passengers of the ferry company numbered 3.4 million, which
            was 6% more than a year earlier, and the cars 880,000, which was 2% more. Its fleet consists of 11 ships.
            The newest needs half as much diesel as the oldest, which dates from 1974 and burns 540 litres per hour.
            Of the 21,700 departures planned, 640 did not take place: storms prevented 410, defects 150, and a lack of
            crew 80. The price for two people with a car is €38 in winter and €62 in summer. Perfume, beer, fish soup,
            ice cream and sandwiches are sold on board and account for 14% of the income. For islanders tickets cost
            half; nothing is charged for bicycles, and €4 for a dog. From 2026 on the shortest line, of 5 kilometres,
            is to have an electric ship, the first, which costs €24 million and charges at each end for 7 minutes.""",
            """Here's how the ferries did, in the year that ended on 30 September. Passengers: 3.4 million, up 6
            percent. Cars: 880,000, up 2 percent. They've got 11 ships, and the oldest, from 1974, gets through 540
            litres of diesel an hour, when the newest makes do with half of that. They had planned 21,700 departures,
            but 640 of them were cancelled. Storms, mostly, 410 of them; 150 were defects, and for 80 there was no
            crew. If you go by car and there are two of you, it's 62 euros in the summer, 38 in the winter. Islanders
            pay half. A dog is 4 euros, and your bicycle goes free. On board they'll sell you sandwiches, ice cream,
            beer, perfume and fish soup, and that's 14 percent of what they earn. And from 2026 they'll have an
            electric ship, their first, on the shortest line they've got, that's 5 kilometres. It costs 24 million
            euros, and it'll charge for 7 minutes at each end.""",
        ),
        corruptions=(
            (
                "number swapped",
                "storms prevented 410, defects 150, and a lack of crew 80",
                "storms prevented 80, defects 150, and a lack of crew 410",
            ),
            (
                "antonym",
                "The newest needs half as much diesel as the oldest",
                "The newest needs twice as much diesel as the oldest",
            ),
            ("number swapped", "is €38 in winter and €62 in summer", "is €62 in winter and €38 in summer"),
            (
                "roles swapped",
                "nothing is charged for bicycles, and €4 for a dog",
                "nothing is charged for dogs, and €4 for a bicycle",
            ),
            ("unit changed", "of 5 kilometres, is to have", "of 5 metres, is to have"),
            (
                "number swapped",
                "Passengers: 3.4 million, up 6 percent. Cars: 880,000, up 2 percent",
                "Passengers: 3.4 million, up 2 percent. Cars: 880,000, up 6 percent",
            ),
            ("antonym", "Islanders pay half.", "Islanders pay double."),
            (
                "roles swapped",
                "A dog is 4 euros, and your bicycle goes free",
                "Your bicycle is 4 euros, and a dog goes free",
            ),
            (
                "events reordered",
                "And from 2026 they'll have an electric ship",
                "And until 2026 they'll have an electric ship",
            ),
            ("invented", "Islanders pay half.", "Islanders pay half. The captains get a bonus for being early."),
        ),
        rewordings=(
            ("list summarised", "fish soup, beer, sandwiches, ice cream and perfume", "food, drink and perfume"),
            (
                "list summarised",
                "Perfume, beer, fish soup, ice cream and sandwiches are",
                "Food, drink and perfume are",
            ),
            (
                "list summarised",
                "sandwiches, ice cream, beer, perfume and fish soup",
                "things to eat and drink, and perfume",
            ),
            (
                "list reordered",
                "fish soup, beer, sandwiches, ice cream and perfume",
                "perfume, beer, ice cream, sandwiches and fish soup",
            ),
            (
                "list reordered",
                "Perfume, beer, fish soup, ice cream and sandwiches",
                "Sandwiches, perfume, ice cream, fish soup and beer",
            ),
            (
                "list reordered",
                "sandwiches, ice cream, beer, perfume and fish soup",
                "beer, ice cream, perfume, fish soup and sandwiches",
            ),
            ("other date format", "to September 30, the passengers", "to the 30th of September, the passengers"),
            ("number words", "the twelve months", "the 12 months"),
            ("unit spelled otherwise", "for 14% of the income", "for 14 percent of the income"),
        ),
        free=(5, 6, 7),
    ),
)
