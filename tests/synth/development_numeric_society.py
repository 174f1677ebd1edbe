"""Passages full of numbers on towns and businesses for development, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_NUMERIC_SOCIETY = (
    Passage(
        "bakery chain",
        "numeric",
        """The bakery chain Sonnleit opened 14 shops last year and closed 5, so that it now has 63. Sales grew by 11
        percent to 48.2 million euros, but the profit fell from 3.1 to 2.4 million euros, because flour cost 30
        percent more and electricity 45 percent more. Rolls brought in 19 million, bread 16 million, and cakes, coffee
        and everything else the rest. The number of employees rose to 820, of whom 310 work part-time. Wages were
        raised by 4 percent in April. A new bakehouse in Weiden, planned for 9 million euros, will be ready in 2026
        instead of 2025. The owners, three sisters, take no dividend this year. Two of the three wanted to sell the
        company; the youngest refused.""",
        (
            """Sonnleit, a chain of bakeries, has 63 shops now; in the past year 14 were opened and 5 closed. With an
            increase of 11%, sales reached €48.2 million. Since the price of flour was up by 30% and that of
            electricity by 45%, however, no more than €2.4 million was earned, after €3.1 million. Bread accounted for
            €16 million of the sales and rolls for €19 million, the remainder being cakes, coffee and all else. There
            are 820 employees, more than before, and 310 of them are part-timers. April brought a rise of 4% in wages.
            The new bakehouse planned in Weiden at a price of €9 million should have been finished in 2025 but will be
            in 2026. No dividend goes to the owners this year. These are three sisters, two of whom had been in favour
            of selling the company, to which the youngest said no.""",
            """So how is Sonnleit doing? It depends on how you look at it. The bakery chain opened 14 shops last year,
            it shut 5, and so there are 63 of them today. It sold 11 percent more than the year before, 48.2 million
            euros in all: 19 million from rolls, 16 million from bread, what's left from cakes, coffee and everything
            else. Sounds good, but the profit went down, from 3.1 million euros to 2.4. Why? Flour got 30 percent
            dearer, and electricity 45 percent. It has more people too, 820 by now, with 310 of them on part-time, and
            they all got 4 percent more pay in April. The bakehouse it is planning in Weiden, for 9 million euros,
            won't be ready in 2025, it'll be 2026. The company belongs to three sisters. They aren't taking any
            dividend this year, and if it had been up to two of them, they would have sold it. The youngest wouldn't
            have that.""",
        ),
        corruptions=(
            ("number swapped", "14 were opened and 5 closed", "5 were opened and 14 closed"),
            ("antonym", "With an increase of 11%, sales reached", "With a decrease of 11%, sales reached"),
            (
                "number swapped",
                "Bread accounted for €16 million of the sales and rolls for €19 million",
                "Bread accounted for €19 million of the sales and rolls for €16 million",
            ),
            ("negated", "No dividend goes to the owners this year", "A dividend goes to the owners this year"),
            (
                "roles swapped",
                "two of whom had been in favour of selling the company, to which the youngest said no",
                "the youngest of whom had been in favour of selling the company, to which two said no",
            ),
            (
                "number swapped",
                "Flour got 30 percent dearer, and electricity 45 percent",
                "Flour got 45 percent dearer, and electricity 30 percent",
            ),
            (
                "antonym",
                "but the profit went down, from 3.1 million euros to 2.4",
                "but the profit went up, from 2.4 million euros to 3.1",
            ),
            ("unit changed", "for 9 million euros, won't", "for 9 million dollars, won't"),
            ("events reordered", "won't be ready in 2025, it'll be 2026", "won't be ready in 2026, it'll be 2025"),
            (
                "invented",
                "The company belongs to three sisters.",
                "The company belongs to three sisters. Their father had lost it at cards.",
            ),
        ),
        rewordings=(
            ("unit spelled otherwise", "With an increase of 11%,", "With an increase of 11 percent,"),
            ("number words", "part-time, and they all got 4 percent", "part-time, and they all got four percent"),
        ),
    ),
    Passage(
        "reading survey",
        "numeric",
        """In March, 2,400 adults were asked how many books they had read in the past year. The answer was none for 23
        percent, one to five for 41 percent, and more than twenty for 8 percent. Women read 9 books on average and men
        6. Among people under thirty the share who read nothing was 17 percent, lower than in any other group, whereas
        among those over seventy it was 31 percent. Audiobooks counted as books; without them the average would be 6.2
        instead of 7.5. Of those who read, two thirds prefer paper. Asked why they did not read more, 52 percent named
        lack of time and 19 percent the price. Only 3 percent said that they disliked reading. The survey cost 38,000
        euros and is repeated every four years.""",
        (
            """A survey made in March put to 2,400 adults the question of how many books they had read within a year.
            Not one, said 23%; between one and five, said 41%; 8% had read over twenty. The average was 9 for women
            and 6 for men. People younger than thirty had the smallest share of non-readers of all groups, 17%, while
            of the people older than seventy 31% had read nothing. Audiobooks were included, and leaving them out
            would lower the average from 7.5 to 6.2. Two out of three readers like paper better. What keeps them from
            reading more is, for 52%, that they lack the time, and for 19% what books cost. A mere 3% stated a dislike
            of reading. Such a survey, which takes place every four years, costs €38,000.""",
            """Survey on reading, March, 2,400 adults, question: books read in the last year. 0 books: 23 percent. 1
            to 5: 41 percent. Above 20: 8 percent. Mean: men 6, women 9; all together 7.5 with audiobooks (they were
            counted), 6.2 without. Non-readers by age: below thirty 17 percent, the lowest share of any group; above
            seventy 31 percent. Paper is preferred by two thirds of those who do read. Reasons for not reading more:
            no time (52 percent), too expensive (19 percent). Don't like it: 3 percent, no more. Cost of the survey
            38,000 euros; next one in four years, as always.""",
        ),
        corruptions=(
            (
                "number swapped",
                "The average was 9 for women and 6 for men",
                "The average was 6 for women and 9 for men",
            ),
            (
                "antonym",
                "People younger than thirty had the smallest share of non-readers",
                "People younger than thirty had the largest share of non-readers",
            ),
            ("number changed", "lower the average from 7.5 to 6.2", "lower the average from 7.5 to 4.1"),
            (
                "names swapped",
                "for 52%, that they lack the time, and for 19% what books cost",
                "for 52%, what books cost, and for 19% that they lack the time",
            ),
            ("negated", "Audiobooks were included, and", "Audiobooks were not included, and"),
            ("number swapped", "1 to 5: 41 percent. Above 20: 8 percent", "1 to 5: 8 percent. Above 20: 41 percent"),
            (
                "antonym",
                "7.5 with audiobooks (they were counted), 6.2 without",
                "7.5 without audiobooks (they were not counted), 6.2 with",
            ),
            (
                "quantifier changed",
                "Paper is preferred by two thirds of those who do read",
                "Paper is preferred by all of those who do read",
            ),
            ("unit changed", "next one in four years, as always", "next one in four months, as always"),
            ("invented", "Don't like it: 3 percent", "Most felt watched while answering. Don't like it: 3 percent"),
        ),
        rewordings=(
            ("number words", "had read over twenty", "had read over 20"),
            ("unit spelled otherwise", "costs €38,000", "costs 38,000 euros"),
        ),
    ),
    Passage(
        "tram line",
        "numeric",
        """Line 12 of the tram was extended by 4.6 kilometres on 2 September and now has 31 stops. Building it took
        five years and cost 142 million crowns, 17 million more than had been planned; the state paid 60 percent and
        the city the rest. On weekdays the line carries 26,000 passengers, against 18,500 before. Trams run every 6
        minutes by day and every 20 minutes after nine in the evening, and the ride from end to end takes 43 minutes.
        Since the opening, car traffic on Mill Road has decreased by 9 percent, while the number of cyclists there has
        not changed. Three bus lines were given up. A ticket costs 30 crowns, and children under six ride free. In the
        first month there were 4 collisions, all at the same crossing, and nobody was hurt.""",
        (
            """Since September 2, when an extension of 4.6 km was opened, tram line 12 has had 31 stops. Its
            construction lasted five years. At 142 million crowns it came out 17 million dearer than planned, and the
            city's share was what the state, which bore 60%, had left over. Passengers number 26,000 on a weekday; it
            used to be 18,500. One can travel from one end to the other in 43 minutes, with a tram every 6 minutes in
            the daytime and every 20 after 9 p.m. There is 9% less car traffic on Mill Road than before the opening,
            but just as many cyclists. The city dropped three bus lines. Children of less than six years pay nothing,
            everybody else 30 crowns a ticket. All 4 of the collisions of the first month happened at one and the same
            crossing; no one was injured.""",
            """The tram called line 12 is longer now! On the second of September it got another 4.6 kilometres, and it
            stops 31 times. People had been building for five years. It cost 142 million crowns, and that is 17
            million crowns more than they had thought. Sixty percent of the money came from the state, and the city
            paid the rest. Before, 18,500 people took the tram on a working day. Today it is 26,000. In the day there
            is a tram every 6 minutes, but after nine in the evening you have to wait 20 minutes for the next one. It
            takes 43 minutes to go the whole way. There are fewer cars on Mill Road, 9 percent less than before the
            opening, and the number of bicycles there is the same. Three buses do not run any more. A ticket is 30
            crowns, but if you are not yet six, you need none. Was there any trouble? Yes, in the first month there
            were 4 collisions. They were all at one crossing, and luckily nobody got hurt.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "the city's share was what the state, which bore 60%, had left over",
                "the state's share was what the city, which bore 60%, had left over",
            ),
            (
                "number swapped",
                "Passengers number 26,000 on a weekday; it used to be 18,500",
                "Passengers number 18,500 on a weekday; it used to be 26,000",
            ),
            ("antonym", "it came out 17 million dearer than planned", "it came out 17 million cheaper than planned"),
            ("negated", "but just as many cyclists", "but not as many cyclists"),
            (
                "quantifier changed",
                "happened at one and the same crossing; no one was injured",
                "happened at one and the same crossing; almost everyone was injured",
            ),
            (
                "events reordered",
                "but after nine in the evening you have to wait",
                "but before nine in the evening you have to wait",
            ),
            (
                "number swapped",
                "there is a tram every 6 minutes, but after nine in the evening you have to wait 20 minutes",
                "there is a tram every 20 minutes, but after nine in the evening you have to wait 6 minutes",
            ),
            ("antonym", "There are fewer cars on Mill Road", "There are more cars on Mill Road"),
            ("detail changed", "Three buses do not run any more", "Three ferries do not run any more"),
            ("invented", "Was there any trouble?", "The seats are made of wood. Was there any trouble?"),
        ),
        rewordings=(
            ("unit spelled otherwise", "an extension of 4.6 km", "an extension of 4.6 kilometres"),
            ("number words", "stops 31 times", "stops thirty-one times"),
        ),
    ),
    Passage(
        "school budget",
        "numeric",
        """The school at Hollow Lane has 540 pupils and 38 teachers. Of its budget of 3.6 million pounds, 78 percent
        goes to salaries, 9 percent to the building, 6 percent to books and equipment, and 7 percent to meals. Heating
        alone costs 96,000 pounds, twice as much as three years ago. Because the roof leaked in four classrooms,
        150,000 pounds had to be spent on it in the summer, and the new laboratory was postponed until 2027. Parents
        raised 21,400 pounds, more than half of it at one summer fair, for instruments. One pupil in five receives
        free meals. Class sizes have gone down from 29 to 27, since 12 families moved away. The head expects a deficit
        of 40,000 pounds next year unless the council pays for the roof.""",
        (
            """At Hollow Lane, a school with 38 teachers and 540 pupils, the budget amounts to £3.6 million. Salaries
            take up 78% of it, the building 9%, meals 7%, and books and equipment 6%. For heating by itself £96,000 is
            paid, which is double what it was three years ago. Leaks in the roof above four classrooms made it
            necessary to spend £150,000 in the summer; the laboratory that was to be built will therefore not come
            before 2027. For instruments £21,400 was collected by the parents, and a single summer fair yielded over
            half of this. Every fifth pupil gets meals for free. There are now 27 in a class instead of 29, the reason
            being that 12 families have left. If the council does not pay for the roof, the head reckons on being
            £40,000 short next year.""",
            """Q: How big is the school at Hollow Lane? A: 540 pupils, 38 teachers. Q: What does it spend? A: 3.6
            million pounds, of which 78 percent on salaries, 9 on the building, 7 on meals, 6 on books and equipment.
            Q: What about energy? A: Heating is 96,000 pounds, twice the figure of three years ago. Q: Why no new
            laboratory? A: The roof was leaking in four classrooms. That took 150,000 pounds in summer, and the
            laboratory was put off until 2027. Q: Do parents help? A: They raised 21,400 pounds for instruments; one
            summer fair brought in more than half. Q: Who gets free meals? A: One out of five pupils. Q: Are classes
            getting bigger? A: Smaller. It was 29, it's 27, because 12 families moved. Q: And next year? A: There'll
            be a gap of 40,000 pounds, the head thinks, unless the council pays for that roof.""",
        ),
        corruptions=(
            ("number swapped", "the building 9%, meals 7%", "the building 7%, meals 9%"),
            ("antonym", "which is double what it was three years ago", "which is half what it was three years ago"),
            (
                "roles swapped",
                "If the council does not pay for the roof, the head reckons",
                "If the head does not pay for the roof, the council reckons",
            ),
            (
                "number swapped",
                "There are now 27 in a class instead of 29",
                "There are now 29 in a class instead of 27",
            ),
            (
                "quantifier changed",
                "a single summer fair yielded over half of this",
                "a single summer fair yielded less than half of this",
            ),
            ("antonym", "A: Smaller. It was 29, it's 27", "A: Bigger. It was 27, it's 29"),
            ("negated", "The roof was leaking in four classrooms", "The roof was not leaking in four classrooms"),
            ("quantifier changed", "A: One out of five pupils", "A: All but one out of five pupils"),
            (
                "names swapped",
                "9 on the building, 7 on meals, 6 on books",
                "9 on meals, 7 on books, 6 on the building",
            ),
            ("invented", "Q: Who gets free meals?", "Some teachers bake for it. Q: Who gets free meals?"),
        ),
        rewordings=(
            ("list reordered", "540 pupils, 38 teachers", "38 teachers, 540 pupils"),
            ("number words", "12 families have left", "twelve families have left"),
        ),
    ),
    Passage(
        "rent index",
        "numeric",
        """The city's rent index for 2024 is based on 5,120 flats. The average rent without heating is 9.84 euros per
        square metre, 6.7 percent above that of 2022. It is highest in the old town, at 13.20 euros, and lowest in
        Nordend, at 7.45. Flats of less than 30 square metres cost 12.60 euros on average, and flats of more than 120
        square metres 9.10, so that large flats are cheaper by the metre. Furnished flats, a tenth of the market, were
        left out. A landlord may raise the rent of a running contract by no more than 15 percent in three years; for a
        new contract, the index may be exceeded by 10 percent. Both limits do not apply to houses built after 2014.
        Since the last index, 1,900 flats have been built and 260 torn down.""",
        (
            """Flats to the number of 5,120 are the basis of the rent index which the city has published for 2024. It
            gives an average, heating excluded, of €9.84 for a square metre, up by 6.7% on 2022. Nordend has the
            lowest rents (€7.45), the old town the highest (€13.20). By the metre, big flats are the cheaper ones:
            those over 120 m² cost €9.10 on average, those under 30 m² €12.60. One flat in ten on the market is
            furnished, and these were not considered. In contracts that are running, rents may go up by 15% within
            three years at the most, whereas new contracts may be up to 10% above the index. For houses that were
            built after 2014 neither limit is valid. There have been 1,900 new flats since the previous index; 260
            have been demolished.""",
            """Rent index 2024, basis 5,120 flats, furnished ones (10 percent of the market) not among them. Mean:
            9.84 euros per square metre without heating; that's 6.7 percent more than in 2022. Extremes: Nordend 7.45
            euros, old town 13.20. By size: under 30 square metres 12.60 euros, over 120 square metres 9.10, in other
            words, the bigger the flat, the cheaper the metre. Rules: running contract, plus 15 percent in three years
            and not more; new contract, index plus 10 percent. Exception to both: houses from after 2014. Change in
            the stock since the last index: 1,900 flats built, 260 torn down.""",
        ),
        corruptions=(
            (
                "names swapped",
                "Nordend has the lowest rents (€7.45), the old town the highest (€13.20)",
                "The old town has the lowest rents (€7.45), Nordend the highest (€13.20)",
            ),
            ("antonym", "big flats are the cheaper ones", "big flats are the dearer ones"),
            ("negated", "and these were not considered", "and these were considered, too"),
            (
                "number swapped",
                "rents may go up by 15% within three years at the most, whereas new contracts may be up to 10%",
                "rents may go up by 10% within three years at the most, whereas new contracts may be up to 15%",
            ),
            (
                "events reordered",
                "For houses that were built after 2014 neither",
                "For houses that were built before 2014 neither",
            ),
            (
                "number swapped",
                "under 30 square metres 12.60 euros, over 120 square metres 9.10",
                "under 30 square metres 9.10 euros, over 120 square metres 12.60",
            ),
            ("antonym", "the bigger the flat, the cheaper the metre", "the bigger the flat, the dearer the metre"),
            (
                "quantifier changed",
                "Exception to both: houses from after 2014",
                "Exception to the first only: houses from after 2014",
            ),
            ("number swapped", "1,900 flats built, 260 torn down", "260 flats built, 1,900 torn down"),
            ("invented", "Extremes: Nordend", "Landlords have gone to court against it. Extremes: Nordend"),
        ),
        rewordings=(
            ("number words", "within three years at the most", "within 3 years at the most"),
            ("unit spelled otherwise", "Nordend 7.45 euros, old", "Nordend €7.45, old"),
        ),
    ),
)
