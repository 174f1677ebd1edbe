"""Passages full of numbers, which the gate's rules and thresholds have never seen."""

from fidelity_passage import Passage

HELD_OUT_NUMERIC = (
    Passage(
        "harvest",
        "numeric",
        """The cooperative's 212 farms harvested 48,300 tonnes of wheat in 2022, 6% less than in 2021, and 19,750
        tonnes of barley, 11% more. The average yield of wheat fell from 7.4 to 6.9 tonnes per hectare, mainly because
        only 41 mm of rain fell in May. Storage cost €14.20 per tonne, and drying another €6.80. Wheat was sold at an
        average price of €318 per tonne, the highest since the cooperative was founded in 1964. After all costs
        members received €11.6 million, of which 30% was paid in August and the rest in December. Nine farms left the
        cooperative during the year and four joined. For 2023 the board expects between 50,000 and 52,000 tonnes of
        wheat.""",
        (
            """In 2022 the 212 farms of the cooperative brought in 48,300 tonnes of wheat, down 6% from 2021, while
            barley rose by 11% to 19,750 tonnes. Wheat yields averaged 6.9 tonnes per hectare after 7.4 the year
            before; the main reason was that there were only 41 mm of rain in May. A tonne cost €14.20 to store and a
            further €6.80 to dry. The average selling price of wheat was €318 per tonne, higher than at any time since
            the cooperative's foundation in 1964. Members were paid €11.6 million after all costs: 30% in August, the
            remainder in December. During the year four farms joined and nine left. The board expects 50,000 to 52,000
            tonnes of wheat for 2023.""",
            """The wheat harvest of the cooperative, which has 212 farms, came to 48,300 tonnes in 2022. That was six
            percent less than in 2021; with barley it was the other way round, since 19,750 tonnes meant an increase
            of eleven percent. May had brought just 41 mm of rain, which is the chief reason why the average wheat
            yield dropped to 6.9 tonnes per hectare from 7.4. Per tonne, storage came to 14.20 euros and drying to
            6.80 euros. At 318 euros per tonne on average, wheat had never sold for so much since the cooperative was
            founded in 1964. What remained for the members after all costs was 11.6 million euros, 30% of it paid in
            August and 70% in December. Nine farms quit that year and four came in. In 2023 the board reckons with a
            wheat harvest of between 50,000 and 52,000 tonnes.""",
        ),
        corruptions=(
            ("number changed", "212", "221"),
            ("number off by one", "212", "213"),
            ("number times ten", "48,300", "483,000"),
            ("number swapped", "48,300 tonnes", "19,750 tonnes"),
            ("number changed", "41 mm", "14 mm"),
            ("number changed", "€14.20", "€12.40"),
            ("number changed", "14.20 euros", "41.20 euros"),
            ("number times ten", "11.6 million", "116 million"),
            ("number off by one", "1964", "1965"),
            ("number swapped", "from 7.4 to 6.9", "from 6.9 to 7.4"),
            ("number swapped", "6.9 tonnes per hectare after 7.4", "7.4 tonnes per hectare after 6.9"),
            ("number swapped", "to 6.9 tonnes per hectare from 7.4", "to 7.4 tonnes per hectare from 6.9"),
            ("number swapped", "between 50,000 and 52,000", "between 52,000 and 54,000"),
            ("number changed", "Nine farms", "Seven farms"),
            ("unit changed", "41 mm", "41 cm"),
            ("unit changed", "per hectare", "per acre"),
            ("unit changed", "€318", "$318"),
            ("unit changed", "318 euros", "318 dollars"),
            ("antonym", "6% less", "6% more"),
            ("antonym", "down 6%", "up 6%"),
            ("antonym", "six percent less", "six percent more"),
            ("antonym", "fell from", "rose from"),
            ("antonym", "the highest since", "the lowest since"),
            ("antonym", "higher than at any time", "lower than at any time"),
            (
                "roles swapped",
                "Nine farms left the cooperative during the year and four joined",
                "Nine farms joined the cooperative during the year and four left",
            ),
            ("roles swapped", "four farms joined and nine left", "four farms left and nine joined"),
            ("date changed", "in August", "in April"),
            ("invented", "Nine farms", "A new silo with 8 towers was opened. Nine farms"),
        ),
    ),
    Passage(
        "marathon",
        "numeric",
        """The 2019 city marathon had 14,208 starters from 63 countries, and 12,961 of them finished. Abel Kiprono won
        the men's race in 2:09:47, only 12 seconds ahead of Tomasz Zielinski. Among the women Hanna Lindqvist came
        first in 2:28:05, three minutes faster than in 2018, when she had been fourth. The start was at 8:30 am at a
        temperature of 9 °C, and by noon it was 17 °C. Helpers handed out 96,000 cups of water at 18 stations. The
        entry fee was $85, of which $10 went to a hospital. The oldest finisher was 81 and needed 5 hours and 52
        minutes. 214 runners were treated by doctors, but none had to stay in hospital overnight.""",
        (
            """Starters in the city marathon of 2019 numbered 14,208 and came from 63 countries; 12,961 reached the
            finish. The men's race was won by Abel Kiprono in 2:09:47. Tomasz Zielinski was just 12 seconds behind
            him. Hanna Lindqvist, fourth in 2018, was the first woman in 2:28:05 and improved by three minutes. It was
            9 °C at the start at 8:30 am and 17 °C by noon. At 18 stations helpers gave out 96,000 cups of water. Of
            the entry fee of $85, a hospital received $10. The oldest runner to finish, aged 81, took 5 hours 52
            minutes. Doctors treated 214 runners, none of whom had to remain in hospital overnight.""",
            """With 12,961 of its 14,208 starters at the finish, the 2019 city marathon drew runners from 63
            countries. Abel Kiprono's time of 2:09:47 was enough to win among the men, twelve seconds before Tomasz
            Zielinski. The women's winner was Hanna Lindqvist: she had come fourth in 2018 and was now three minutes
            faster, at 2:28:05. When the race began at 8:30 in the morning, the thermometer showed 9 °C, and at noon
            17 °C. There were eighteen stations, where 96,000 cups of water were handed out by helpers. Entry cost 85
            dollars, and 10 dollars of that went to a hospital. At 81 years the oldest finisher was on the road for 5
            hours and 52 minutes. No runner had to spend the night in hospital, though doctors treated 214.""",
        ),
        corruptions=(
            ("number changed", "14,208", "14,280"),
            ("number off by one", "63", "64"),
            ("number swapped", "14,208 starters", "12,961 starters"),
            ("number changed", "2:09:47", "2:07:49"),
            ("number changed", "2:28:05", "2:18:05"),
            ("number times ten", "96,000", "9,600"),
            ("number off by one", "18 stations", "19 stations"),
            ("number changed", "three minutes", "five minutes"),
            ("number swapped", "9 °C", "17 °C"),
            ("number changed", "81", "91"),
            ("number changed", "fourth", "fifth"),
            ("unit changed", "12 seconds", "12 minutes"),
            ("unit changed", "twelve seconds", "twelve minutes"),
            ("unit changed", "$85", "€85"),
            ("unit changed", "85 dollars", "85 euros"),
            ("unit changed", "5 hours", "5 days"),
            ("negated", "none had to stay", "all had to stay"),
            ("negated", "none of whom had to", "all of whom had to"),
            ("negated", "No runner had to", "Every runner had to"),
            ("antonym", "minutes faster", "minutes slower"),
            ("antonym", "The oldest", "The youngest"),
            ("antonym", "the oldest", "the youngest"),
            ("name replaced", "Hanna Lindqvist", "Ingrid Svensson"),
            ("names swapped", "Abel Kiprono", "Tomasz Zielinski"),
            (
                "roles swapped",
                "Tomasz Zielinski was just 12 seconds behind him",
                "Tomasz Zielinski was just 12 seconds ahead of him",
            ),
            ("antonym", "only 12 seconds ahead of", "only 12 seconds behind"),
            ("date changed", "in 2018", "in 2017"),
            ("invented", "The entry fee", "A brass band played at 7 places. The entry fee"),
            ("invented", "Entry cost", "The mayor fired the starting shot. Entry cost"),
        ),
    ),
    Passage(
        "climate",
        "numeric",
        """Bergen lies at 60 degrees north and has a mild and very wet climate. The mean temperature is 1.9 °C in
        January and 15.1 °C in July. The highest temperature ever measured was 33.4 °C on 26 July 2019, and the lowest
        was \u221216.3 °C in January 1987. About 2,495 millimetres of rain fall in a year, most of it from September to
        January, and it rains on 202 days. May is the driest month, with 106 mm. From 29 October 2006 to 21 January
        2007 it rained on 85 days in a row. The sun shines for 1,187 hours a year, fewer than in Oslo.""",
        (
            """At a latitude of 60° north, Bergen has a climate that is mild but very wet. Mean temperatures range
            from 1.9 °C in January to 15.1 °C in July. A maximum of 33.4 °C was recorded on July 26, 2019; the
            minimum, \u221216.3 °C, was in January 1987. The city gets some 2,495 mm of rain per year, spread over 202
            days, and the larger part falls between September and January. Driest of all is May, when there are 106
            millimetres. There were once 85 rainy days without a break, namely from October 29, 2006, to January 21,
            2007. With 1,187 hours of sunshine a year, Bergen has less of it than Oslo.""",
        ),
        rivals=(
            ("Bergen", "Oslo"),
            ("January", "July"),
        ),
        strangers=(
            ("Bergen", "Stavanger"),
            ("Oslo", "Trondheim"),
        ),
    ),
    Passage(
        "election",
        "numeric",
        """In the election of 12 May 2019, 61,480 of the 94,200 voters of Varn went to the polls. The Green List won
        24,310 votes and 18 of the 45 seats. The Citizens' Union lost four seats and kept 15, with 20,115 votes. The
        Harbour Party came third with 11,902 votes and nine seats. The remaining three seats went to independents.
        Ines Kolar of the Green List became mayor on 3 June, as the first woman in this office, and she succeeded
        Boris Tadin of the Citizens' Union, who had governed for 16 years. Turnout was 65 percent, after 58 percent in
        2014.""",
        (
            """Varn voted on May 12, 2019. Of its 94,200 voters, 61,480 took part, a turnout of 65% compared with 58%
            in 2014. Out of 45 seats, 18 fell to the Green List, for which 24,310 people voted. With 20,115 votes the
            Citizens' Union held on to 15 seats, four fewer than before. Third was the Harbour Party: nine seats,
            11,902 votes. Independents took the other three seats. On June 3 the office of mayor, until then always
            held by men, passed to Ines Kolar of the Green List; her predecessor, Boris Tadin from the Citizens'
            Union, had been in power for sixteen years.""",
        ),
        rivals=(
            ("Green List", "Citizens' Union"),
            ("Kolar", "Tadin"),
        ),
        strangers=(
            ("Kolar", "Horvat"),
            ("Varn", "Lesk"),
            ("Harbour Party", "Farmers' Party"),
        ),
    ),
    Passage(
        "dam",
        "numeric",
        """The Hoover Dam stands on the border of Nevada and Arizona and is 221 metres high. It is 379 metres long and
        200 metres thick at its base. Construction began in 1931 and was finished in 1936, more than two years ahead
        of schedule, at a cost of 49 million dollars. The dam contains 2.48 million cubic metres of concrete. Up to
        5,251 people worked on it at one time, and 96 of the workers were killed in accidents on the site. Seventeen
        turbines with a total power of 2,080 megawatts produce about 4 billion kilowatt-hours a year. Lake Mead behind
        it can hold 35 cubic kilometres of water.""",
        (
            """On the boundary between Arizona and Nevada rises the Hoover Dam: 221 m high, 379 m long and, at the
            base, 200 m thick. It was built from 1931 to 1936, which was over two years faster than planned, and cost
            $49 million. The quantity of concrete in it is 2.48 million cubic metres. At its peak the workforce was
            5,251, and accidents on the site killed 96 workers. Its 17 turbines have a combined power of 2,080 MW and
            yield some four billion kilowatt-hours annually. The reservoir behind the dam, Lake Mead, has room for 35
            cubic kilometres of water.""",
            """The 221-metre Hoover Dam, which is located where Nevada borders on Arizona, has a length of 379 metres
            and a thickness of 200 metres at the bottom. Work on it started in 1931 and ended in 1936, over two years
            before it was due; 49 million dollars were spent and 2.48 million cubic metres of concrete poured. As many
            as 5,251 labourers were busy there at once. Ninety-six of the workers died in accidents at the site. Every
            year about 4 billion kilowatt-hours come from its seventeen turbines, whose power adds up to 2,080
            megawatts. Up to 35 cubic kilometres of water fit into Lake Mead, which the dam holds back.""",
        ),
        strangers=(
            ("Nevada", "Utah"),
            ("Arizona", "Colorado"),
            ("Lake Mead", "Lake Powell"),
        ),
    ),
)
